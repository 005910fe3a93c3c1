"""Vectors and small tensors in sixteen bits."""

import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves import Half
from jaxcompress.oneshot.outcomes import IN_HALF, Treated, treated
from jaxcompress.oneshot.survey import OUTSIDE, SMALL, THIN

HALVED = (OUTSIDE, THIN, SMALL)
"""Reasons for which tensors are kept that may be halved instead."""

_MOST_ERROR = 2.0**-8  # of a number


def in_half(path: str, tensor: np.ndarray, why: str, max_error: float) -> Treated | None:
    """Return a tensor in 16 bits, None if it shall be kept exactly.

    Args:
        path: of the tensor.
        tensor: its numbers.
        why: it is kept.
        max_error: largest relative error allowed.
    """
    half = halved(tensor) if why in HALVED else None
    if half is None:
        return None
    outcome = treated(path, tensor, half).outcome._replace(kept=IN_HALF)
    return Treated(half, outcome) if outcome.relative_error <= max_error else None


def halved(tensor: np.ndarray) -> Half | None:
    """Return a tensor in float16, or bfloat16 if its numbers are out of range of float16.

    None if it has no more than sixteen bits already, is not of real floating-point numbers, or if a
    number would change by more than one part in 256.

    Example:
        >>> halved(np.float32([1, 1e-8])).values.dtype.name, halved(np.arange(3))
        ('bfloat16', None)
    """
    if tensor.dtype.kind != "f" or tensor.dtype.itemsize <= 2:
        return None
    for dtype in (np.float16, jnp.bfloat16):
        with np.errstate(over="ignore", invalid="ignore"):
            values = tensor.astype(dtype)
            off = np.abs(values.astype(tensor.dtype) - tensor)
        if (off <= _MOST_ERROR * np.abs(tensor)).all():
            return Half(values=values, dtype=tensor.dtype)
    return None
