"""The global magnitude threshold of tensors that are seen one at a time.

The bits of a magnitude, read as an unsigned integer, are in the order of the magnitudes. Counting
sixteen of them at a time, from the top, settles the k-th smallest exactly in two passes over
float32 and in four over float64, with one histogram of 65 536 counts in memory.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

_DIGIT_BITS = 16
_BLOCK = 1 << 20  # numbers counted at a time; counting takes eight bytes for each


class Threshold(NamedTuple):
    """The magnitude up to which weights are removed.

    Attributes:
        bits: bits of the largest removed magnitude, read as an unsigned integer.
        width: of these bits, 32 or 64.
        ties_kept: how many weights of exactly that magnitude are kept, the first in order.
    """

    bits: int
    width: int
    ties_kept: int


def find_threshold(
    tensors: Callable[[], Iterable[np.ndarray]], removed: int, *, width: int = 32
) -> Threshold:
    """Return the threshold that removes the `removed` smallest magnitudes of all tensors together.

    `remove_smallest` with it removes the same weights as `magnitude_mask`.

    Args:
        tensors: each call gives the floating-point tensors anew, one at a time, free of NaN.
        removed: how many weights to remove, at least 1 and at most all.
        width: 64 if any tensor is float64, else 32.

    Example:
        >>> find_threshold(lambda: [np.float32([1, -1]), np.float32([0, 1])], 2).ties_kept
        2
    """
    found, rank, ties = 0, removed, 0
    for shift in range(width - _DIGIT_BITS, -1, -_DIGIT_BITS):
        counts = np.zeros(1 << _DIGIT_BITS, np.int64)
        for tensor in tensors():
            counts += _count_digits(tensor, width, shift, found)
        up_to = np.cumsum(counts)
        digit = int(np.searchsorted(up_to, rank))
        ties = int(counts[digit])
        rank -= int(up_to[digit]) - ties
        found = found << _DIGIT_BITS | digit
    return Threshold(found, width, ties - rank)


def remove_smallest(
    tensor: np.ndarray, threshold: Threshold, ties_left: int
) -> tuple[np.ndarray, int]:
    """Return the tensor with zeros where its magnitudes are too small, and the ties left after it.

    Args:
        tensor: the next of the tensors that `find_threshold` saw, in the same order.
        threshold: from `find_threshold`.
        ties_left: `threshold.ties_kept` for the first tensor, then the result of the last call.
    """
    flat = tensor.ravel()
    bits = _magnitude_bits(flat, threshold.width)
    keep = bits > bits.dtype.type(threshold.bits)
    ties = np.flatnonzero(bits == bits.dtype.type(threshold.bits))[:ties_left]
    keep[ties] = True
    return np.where(keep, flat, flat.dtype.type(0)).reshape(tensor.shape), ties_left - len(ties)


def _count_digits(tensor: np.ndarray, width: int, shift: int, prefix: int) -> np.ndarray:
    """Count the digits at `shift` of the magnitudes whose bits above it are `prefix`."""
    counts = np.zeros(1 << _DIGIT_BITS, np.int64)
    flat = tensor.ravel()
    for start in range(0, flat.size, _BLOCK):
        bits = _magnitude_bits(flat[start : start + _BLOCK], width)
        if shift + _DIGIT_BITS < width:
            above = bits.dtype.type(shift + _DIGIT_BITS)
            bits = bits[bits >> above == bits.dtype.type(prefix)]
        digits = (bits >> bits.dtype.type(shift)).astype(np.uint16)
        counts += np.bincount(digits, minlength=len(counts))
    return counts


def _magnitude_bits(values: np.ndarray, width: int) -> np.ndarray:
    """Return the bits of `|values|`, widened exactly, as unsigned integers of `width` bits."""
    wide = values.astype(np.float32 if width == 32 else np.float64)
    return np.abs(wide, out=wide).view(np.uint32 if width == 32 else np.uint64)
