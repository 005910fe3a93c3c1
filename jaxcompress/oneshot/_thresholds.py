"""The global magnitude threshold of tensors that are seen one at a time.

The bits of a magnitude, read as an unsigned integer, are in the order of the magnitudes. Counting
sixteen of them at a time, from the top, settles the k-th smallest exactly in two passes over
float32 and in four over float64, with one histogram of 65 536 counts in memory.
"""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

_DIGIT_BITS = 16
_BLOCK = 1 << 20  # numbers counted at a time; counting takes eight bytes for each


class Threshold(NamedTuple):
    """The magnitude up to which weights of a tensor are removed.

    Attributes:
        bits: bits of the largest removed magnitude, read as an unsigned integer.
        width: of these bits, 32 or 64.
        ties_kept: how many weights of exactly that magnitude are kept; in all tensors that are
            ranked together these are the first in order.
    """

    bits: int
    width: int
    ties_kept: int


def find_thresholds(
    tensors: Callable[[], Iterable[np.ndarray]], removed: int, *, width: int = 32
) -> list[Threshold]:
    """Return for each tensor what removes the `removed` smallest magnitudes of all together.

    `remove_smallest` with it removes the same weights as `magnitude_mask`.

    Args:
        tensors: each call gives the floating-point tensors anew, one at a time, free of NaN.
        removed: how many weights to remove, at least 1 and at most all.
        width: 64 if any tensor is float64, else 32.

    Example:
        >>> found = find_thresholds(lambda: [np.float32([1, -1]), np.float32([0, 1])], 2)
        >>> [threshold.ties_kept for threshold in found]
        [2, 0]
    """
    found, rank, digit = 0, removed, 0
    each: list[_Counts] = []
    for shift in range(width - _DIGIT_BITS, -1, -_DIGIT_BITS):
        counts = np.zeros(1 << _DIGIT_BITS, np.int64)
        count = functools.partial(_count_digits, width=width, shift=shift, prefix=found)
        each = []
        # By `map`, which holds no tensor while the next is loaded.
        for found_here in map(count, tensors()):
            counts[found_here.digits] += found_here.counts
            each.append(found_here)
        up_to = np.cumsum(counts)
        digit = int(np.searchsorted(up_to, rank))
        rank -= int(up_to[digit] - counts[digit])
        found = found << _DIGIT_BITS | digit
    ties = [here.of(digit) for here in each]
    up_to = np.minimum(np.cumsum(ties), sum(ties) - rank)  # the first ties are kept
    return [Threshold(found, width, kept) for kept in np.diff(up_to, prepend=0).tolist()]


def remove_smallest(tensor: np.ndarray, threshold: Threshold) -> np.ndarray:
    """Return the tensor with zeros where its magnitudes are too small.

    Args:
        tensor: one of those that `find_thresholds` saw.
        threshold: from `find_thresholds`, of this tensor.
    """
    ties_kept = threshold.ties_kept
    flat = tensor.ravel()
    kept = np.zeros_like(flat)
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        bits = _magnitude_bits(flat[block], threshold.width)
        keep = bits > bits.dtype.type(threshold.bits)
        if ties_kept:
            ties = np.flatnonzero(bits == bits.dtype.type(threshold.bits))[:ties_kept]
            keep[ties] = True
            ties_kept -= len(ties)
        np.copyto(kept[block], flat[block], where=keep)
    return kept.reshape(tensor.shape)


class _Counts(NamedTuple):
    """How often digits occur in a tensor; those that do not occur take no memory."""

    digits: np.ndarray
    counts: np.ndarray

    def of(self, digit: int) -> int:
        return int(self.counts[self.digits == digit].sum())


def _count_digits(tensor: np.ndarray, *, width: int, shift: int, prefix: int) -> _Counts:
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
    used = np.flatnonzero(counts).astype(np.uint16)
    return _Counts(used, counts[used])


def _magnitude_bits(values: np.ndarray, width: int) -> np.ndarray:
    """Return the bits of `|values|`, widened exactly, as unsigned integers of `width` bits."""
    wide = values.astype(np.float32 if width == 32 else np.float64)
    return np.abs(wide, out=wide).view(np.uint32 if width == 32 else np.uint64)
