"""Optax transforms that keep an invariant while training, or add a penalty to the loss.

Their state lives in `opt_state`: checkpoints and sharding come free.
"""

from jaxcompress.optim._masking import current_mask, gradual_pruning, hold_mask
from jaxcompress.optim._penalty import add_penalty
from jaxcompress.optim._schedules import cubic_sparsity
from jaxcompress.optim._sharing import share_centroids

__all__ = [
    "add_penalty",
    "cubic_sparsity",
    "current_mask",
    "gradual_pruning",
    "hold_mask",
    "share_centroids",
]
