"""Which weights go: scores, and masks from scores."""

from jaxcompress.prune.masks import (
    apply_mask,
    erk_sparsities,
    global_mask,
    layerwise_mask,
    magnitude_mask,
    nm_mask,
    random_mask,
)
from jaxcompress.prune.scores import Score, magnitude, random_score

__all__ = [
    "Score",
    "apply_mask",
    "erk_sparsities",
    "global_mask",
    "layerwise_mask",
    "magnitude",
    "magnitude_mask",
    "nm_mask",
    "random_mask",
    "random_score",
]
