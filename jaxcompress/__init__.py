"""Compress neural networks in JAX: prune, share weights, pack into one small `.npz`.

Everything is a pure function over pytrees or an optax transform; `import jaxcompress as jc`.
"""

from jaxcompress.artifact.errors import ArtifactError
from jaxcompress.cluster import (
    entropy_constrained,
    high_rate_weight,
    kmeans,
    rate_weight_for,
    size_importance,
    uniform,
)
from jaxcompress.codec import inspect, load, load_compressed, load_into, save
from jaxcompress.leaves import Clustered, Sparse, dense, sparse, update_codebooks
from jaxcompress.metrics import count_distinct, entropy_bound_bytes, measure_sparsity
from jaxcompress.oneshot import compress
from jaxcompress.optim import current_mask, gradual_pruning, hold_mask, share_centroids
from jaxcompress.prune import (
    apply_mask,
    erk_sparsities,
    global_mask,
    layerwise_mask,
    magnitude,
    magnitude_mask,
    nm_mask,
    random_mask,
    random_score,
)
from jaxcompress.schedules import cubic_sparsity
from jaxcompress.trees import everything, kernels, matching

__version__ = "0.1.0"

__all__ = [
    "ArtifactError",
    "Clustered",
    "Sparse",
    "apply_mask",
    "compress",
    "count_distinct",
    "cubic_sparsity",
    "current_mask",
    "dense",
    "entropy_bound_bytes",
    "entropy_constrained",
    "erk_sparsities",
    "everything",
    "global_mask",
    "gradual_pruning",
    "high_rate_weight",
    "hold_mask",
    "inspect",
    "kernels",
    "kmeans",
    "layerwise_mask",
    "load",
    "load_compressed",
    "load_into",
    "magnitude",
    "magnitude_mask",
    "matching",
    "measure_sparsity",
    "nm_mask",
    "random_mask",
    "random_score",
    "rate_weight_for",
    "save",
    "share_centroids",
    "size_importance",
    "sparse",
    "uniform",
    "update_codebooks",
]
