"""Optax transforms that keep an invariant while training, or add a penalty to the loss.

Their state is part of `opt_state`: checkpoints and sharding need nothing more. From the bottom up:
`_by_leaf` (trees matched leaf by leaf), `_schedules`, `_masking`, `_sharing`, `_penalty`,
`_limit`.

    add_penalty      add a penalty to the loss; before the optimizer
    cubic_sparsity   the schedule that prunes fast at first and slowly at the end
    current_mask     the mask in an optimizer state
    gradual_pruning  prune while training; last in the chain
    hold_mask        keep pruned weights at zero; last in the chain
    limit_penalty    add a penalty at the price that brings it to a limit
    Penalty          from parameters to a scalar
    share_centroids  train centroids instead of weights; around the optimizer
"""

from jaxcompress.optim._limit import limit_penalty
from jaxcompress.optim._masking import current_mask, gradual_pruning, hold_mask
from jaxcompress.optim._penalty import Penalty, add_penalty
from jaxcompress.optim._schedules import cubic_sparsity
from jaxcompress.optim._sharing import share_centroids

__all__ = [
    "Penalty",
    "add_penalty",
    "cubic_sparsity",
    "current_mask",
    "gradual_pruning",
    "hold_mask",
    "limit_penalty",
    "share_centroids",
]
