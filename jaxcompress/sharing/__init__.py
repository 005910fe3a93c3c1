"""Weight sharing: few values for many weights, by K-Means, one step size, or the price of a bit.

From the bottom up: `_members` (weights that take part), `_importance` (how much their errors
count), `_runs` and `magnitudes` (optimal clusterings of sorted numbers), `_kmeans`; `_cells` and
`_weights` (cells at a price of a bit), `_uniform`, `_entropy`.

    entropy_constrained  share weights at the least cost of squared error and bits
    equal_importance     a squared error counts the same in all leaves
    high_rate_weight     the rate weight that matches a uniform step size
    Importance           from path and leaf to the weight of its squared error
    kmeans               share weights by K-Means, one codebook a leaf
    rate_weight_for      the rate weight at which `entropy_constrained` fits into a size
    size_importance      an importance that is larger for smaller leaves
    uniform              share weights by rounding to multiples of one step size
"""

from jaxcompress.sharing._entropy import (
    entropy_constrained,
    high_rate_weight,
    rate_weight_for,
)
from jaxcompress.sharing._importance import Importance, equal_importance, size_importance
from jaxcompress.sharing._kmeans import kmeans
from jaxcompress.sharing._uniform import uniform

__all__ = [
    "Importance",
    "entropy_constrained",
    "equal_importance",
    "high_rate_weight",
    "kmeans",
    "rate_weight_for",
    "size_importance",
    "uniform",
]
