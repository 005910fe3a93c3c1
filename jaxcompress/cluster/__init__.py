"""Which values the weights of a layer share: by K-Means, by one step, by the price of a bit."""

from jaxcompress.cluster.entropy import (
    entropy_constrained,
    high_rate_weight,
    rate_weight_for,
)
from jaxcompress.cluster.importance import Importance, equal_importance, size_importance
from jaxcompress.cluster.kmeans import check_clusters, kmeans
from jaxcompress.cluster.uniform import uniform

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
