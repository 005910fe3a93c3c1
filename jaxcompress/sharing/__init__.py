"""Weight sharing: weights take few values, by K-Means, by one step, or by the price of a bit.

From the bottom up: `_members` (weights that take part), `_importance` (how much their errors
count), `_runs` and `magnitudes` (optimal clusterings of sorted numbers), `_kmeans`; `_cells` and
`_weights` (cells at a price of a bit), `_uniform`, `_entropy`.
"""

from jaxcompress.sharing._entropy import (
    entropy_constrained,
    high_rate_weight,
    rate_weight_for,
)
from jaxcompress.sharing._importance import Importance, equal_importance, size_importance
from jaxcompress.sharing._kmeans import check_clusters, kmeans
from jaxcompress.sharing._uniform import uniform

__all__ = [
    "Importance",
    "check_clusters",
    "entropy_constrained",
    "equal_importance",
    "high_rate_weight",
    "kmeans",
    "rate_weight_for",
    "size_importance",
    "uniform",
]
