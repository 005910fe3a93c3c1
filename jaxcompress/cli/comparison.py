"""Distances between two tensors."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.trees import is_floating

_BLOCK = 1 << 20
_BEYOND = np.array([math.inf, 1.0, 1.0, 0.0])
"""Sums of two tensors if one has NaN or infinity where the other has not."""


class Error(NamedTuple):
    """Distance of a tensor from a reference.

    Attributes:
        relative: `||a - b|| / ||a||`, with the reference `a`; infinite if only `a` is zero, or if
            only one of them has NaN or infinity somewhere.
        largest: `max |a - b|`.
        cosine: `<a, b> / (||a|| ||b||)`; 1 for equal tensors.
    """

    relative: float
    largest: float
    cosine: float


class Total:
    """Adds up errors of several floating-point tensors as if they were one.

    Other tensors are not weights: a table of positions would dominate the sum.
    """

    def __init__(self) -> None:
        self._sums = np.zeros(4)
        self._largest = 0.0

    def add(self, reference: np.ndarray, other: np.ndarray) -> Error:
        """Take two tensors of one shape, and return the error of these two."""
        sums, largest = _sums(reference, other)
        if is_floating(reference):
            self._sums += sums
            self._largest = max(self._largest, largest)
        return _error(sums, largest)

    def error(self) -> Error:
        """Return the error of all weights together."""
        return _error(self._sums, self._largest)


def _sums(reference: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sums of `(a - b)^2`, `a^2`, `b^2` and `a * b`, and the largest `|a - b|`."""
    a, b = reference.reshape(-1), other.reshape(-1)
    total, largest = np.zeros(4), 0.0
    for start in range(0, a.size, _BLOCK):  # in 64 bits they would take ten times their memory
        block = slice(start, start + _BLOCK)
        sums, distance = _sums_of_block(a[block], b[block])
        total, largest = total + sums, max(largest, distance)
    return (total, largest) if math.isfinite(largest) else (_BEYOND, math.inf)


def _sums_of_block(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    if a.dtype == b.dtype and np.array_equal(a.view(np.uint8), b.view(np.uint8)):
        a = b = _wide(a)
        square = float(np.vdot(a, a).real) if np.isfinite(a).all() else 1.0
        return np.array([0.0, square, square, square]), 0.0
    a, b = _wide(a), _wide(b)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(a - b)
        off = np.where(a == b, 0, off)  # infinities that agree
        if not np.isfinite(off).all():
            return _BEYOND, math.inf
        products = [off @ off, np.vdot(a, a).real, np.vdot(b, b).real, np.vdot(a, b).real]
    return np.array(products, np.float64), float(off.max(initial=0))


def _wide(array: np.ndarray) -> Any:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _error(sums: np.ndarray, largest: float) -> Error:
    off, square, other, product = map(float, sums)
    relative = 0.0 if off == 0 else math.sqrt(off / square) if square else math.inf
    cosine = 1.0 if off == 0 else product / math.sqrt(square * other) if square * other else 0.0
    return Error(relative, largest, cosine)
