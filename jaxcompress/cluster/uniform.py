"""Uniform quantization: every weight takes the nearest multiple of one step."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress.cluster.members import MOST_LEVELS, Members, check_positive, share_leaves
from jaxcompress.leaves import Clustered
from jaxcompress.trees import PyTree, Scope, kernels

_DIRECT = 1 << 24  # levels counted in an array; above, they are sorted


def uniform(
    params: PyTree, step: float, *, mask: PyTree | None = None, scope: Scope = kernels
) -> PyTree:
    """Share the weights of every leaf in the scope by rounding, with one step for all of them.

    `w = step * round(w / step)`; halves go to the even multiple. Small weights become zero.

    Args:
        params: any pytree of concrete arrays.
        step: distance of neighbouring values, in the unit of the weights.
        mask: True where a weight is a member, as pruning gave it; default: the non-zero weights.
        scope: which leaves are shared.

    Returns:
        `params` with `Clustered` leaves in the scope. Zero has code 0; a codebook holds the other
        multiples that occur, in ascending order and in the dtype of the leaf.

    Raises:
        ValueError: a step that is not above 0 or leaves more than 65535 values to a leaf, NaN or
            infinite weights, an empty scope, another mask tree.
        TypeError: `step` is no number; called under `jit`.

    Example:
        >>> shared = uniform({"kernel": np.array([[0.1, 0.6], [-1.2, 0.9]])}, 0.5)
        >>> shared["kernel"].codes.tolist(), shared["kernel"].codebook.tolist()
        ([[0, 2], [1, 3]], [-1.0, 0.5, 1.0])

    Source: Sullivan 1996, IEEE Transactions on Information Theory 42(5): at high rates no scalar
    quantizer needs fewer bits for the same squared error.
    """
    step = check_positive("step", step, "pass a fraction of the weights' standard deviation")
    return share_leaves("uniform", params, mask, scope, lambda members: _share(members, step))


def _share(members: Members, step: float) -> Clustered:
    """Round one tensor."""
    dtype = members.tensor.dtype
    with np.errstate(over="ignore"):
        levels = np.rint(members.values / np.float64(step))
    levels[~members.member] = 0
    used, codes = _distinct(levels)
    entries = _in_dtype(used * step, dtype)
    # In a small dtype multiples may become equal, or zero.
    codebook, merged = np.unique(np.append(entries, dtype.type(0)), return_inverse=True)
    zero = merged[-1]
    if not np.isfinite(used).all() or len(codebook) - 1 > MOST_LEVELS:
        raise ValueError(
            f"{members.path}: step must leave at most {MOST_LEVELS} values beside zero, got "
            f"{len(codebook) - 1:,} with {step}; pass a larger one."
        )
    code = np.arange(len(codebook)) + (np.arange(len(codebook)) < zero)
    code[zero] = 0
    narrow = code.astype(np.uint8 if len(codebook) <= 256 else np.uint16)
    return members.clustered(narrow[merged[:-1]][codes], np.delete(codebook, zero))


def _distinct(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ascending distinct levels and the place of each level among them."""
    low, high = levels.min(), levels.max()
    if not high - low < _DIRECT:
        return np.unique(levels, return_inverse=True)
    offset = (levels - low).astype(np.int32)
    used = np.flatnonzero(np.bincount(offset))
    place = np.zeros(int(high - low) + 1, np.int32)
    place[used] = np.arange(len(used))
    return used + low, place[offset]


def _in_dtype(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the values in a dtype, the largest finite number in place of larger ones."""
    most = float(jnp.finfo(dtype).max)
    return np.clip(values, -most, most).astype(dtype)
