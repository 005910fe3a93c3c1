"""Uniform quantization: weights between the same multiples of one step share a value."""

import numpy as np

from jaxcompress.checks import check_positive
from jaxcompress.cluster.cells import Cells
from jaxcompress.cluster.members import MOST_LEVELS, Members, share_leaves
from jaxcompress.cluster.weights import Weights
from jaxcompress.leaves import Clustered
from jaxcompress.trees import PyTree, Scope, kernels


def uniform(
    params: PyTree, step: float, *, mask: PyTree | None = None, scope: Scope = kernels
) -> PyTree:
    """Share the weights of every leaf in the scope by rounding, with one step for all of them.

    Weights of equal `round(w / step)` take their mean, and zero where that is 0; halves are rounded
    to even. (The mean costs what the multiple of the step would cost in a codebook, and is nearer.
    On trained networks the multiples themselves needed EVIDENCE more bytes for the same output.)

    Args:
        params: any pytree of concrete arrays.
        step: distance of neighbouring values, in the unit of the weights.
        mask: True where a weight is a member, as pruning gave it; default: the non-zero weights.
        scope: which leaves are shared.

    Returns:
        `params` with `Clustered` leaves in the scope. Zero has code 0; a codebook holds the other
        means in ascending order.

    Raises:
        ValueError: a step that is not above 0 or leaves more than 65535 values to a leaf, NaN or
            infinite weights, an empty scope, another mask tree.
        TypeError: `step` is no number; called under `jit`.

    Example:
        >>> shared = uniform({"kernel": np.array([[0.1, 0.6], [-1.2, 0.5]])}, 0.5)
        >>> shared["kernel"].codes.tolist(), shared["kernel"].codebook.round(3).tolist()
        ([[0, 2], [1, 2]], [-1.2, 0.55])

    Source: Farvardin and Modestino 1984, IEEE Transactions on Information Theory 30(3): uniform
    thresholds with the means between them come close to the best entropy-coded quantizer.
    """
    step = check_positive("step", step, "pass a fraction of the weights' standard deviation")
    return share_leaves("uniform", params, mask, scope, lambda members: _share(members, step))


def _share(members: Members, step: float) -> Clustered:
    """Round one tensor."""
    weights = Weights(members)
    with np.errstate(over="ignore"):
        levels = np.rint(weights.ordered / np.float64(step))
    changes = np.flatnonzero(levels[1:] != levels[:-1]) + 1
    starts = np.concatenate([[0], changes])[: levels.size]
    used = levels[starts]
    zero = int(np.searchsorted(used, 0))
    most = MOST_LEVELS + np.count_nonzero(used == 0)
    if len(used) > most or not np.isfinite(used).all():
        raise ValueError(
            f"{members.path}: step must leave at most {MOST_LEVELS} values beside zero, got "
            f"{len(used):,} with {step:.3g}; pass a larger one."
        )
    ends = np.append(starts, levels.size)
    if not np.any(used == 0):
        ends = np.insert(ends, zero, ends[zero])
    return weights.clustered(Cells(ends, zero))
