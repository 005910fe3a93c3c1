"""How far one tensor is from another, in numbers."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.trees import is_floating

_BLOCK = 1 << 20
_BEYOND = np.array([math.inf, 1.0, 1.0, 0.0])
"""Sums of tensors of which one is not finite where the other is."""


class Error(NamedTuple):
    """Distance of a tensor from a reference.

    Attributes:
        relative: `||a - b|| / ||a||`, with the reference `a`; infinite if only `a` is zero, or if
            there are NaN that the other has not.
        largest: `max |a - b|`.
        cosine: `<a, b> / (||a|| ||b||)`; 1 for equal tensors.
    """

    relative: float
    largest: float
    cosine: float


class Total:
    """Adds up errors of several tensors of floating-point numbers as if they were one.

    Other tensors are no weights: a table of positions would outweigh them all.
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
    """Return the squares of difference, reference, other, their product, and the largest step."""
    a, b = reference.reshape(-1), other.reshape(-1)
    total, largest = np.zeros(4), 0.0
    for start in range(0, a.size, _BLOCK):  # in 64 bits they would take ten times their memory
        block = slice(start, start + _BLOCK)
        sums, step = _sums_of_block(a[block], b[block])
        total, largest = total + sums, max(largest, step)
    return (total, largest) if math.isfinite(largest) else (_BEYOND, math.inf)


def _sums_of_block(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    if a.dtype == b.dtype and np.array_equal(a.view(np.uint8), b.view(np.uint8)):
        a = b = _wide(a)
        square = float(np.vdot(a, a).real) if np.isfinite(a).all() else 1.0
        return np.array([0.0, square, square, square]), 0.0
    a, b = _wide(a), _wide(b)
    with np.errstate(invalid="ignore", over="ignore"):
        step = np.abs(a - b)
        step = np.where(a == b, 0, step)  # infinities that agree
        if not np.isfinite(step).all():
            return _BEYOND, math.inf
        products = [step @ step, np.vdot(a, a).real, np.vdot(b, b).real, np.vdot(a, b).real]
    return np.array(products, np.float64), float(step.max(initial=0))


def _wide(array: np.ndarray) -> Any:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _error(sums: np.ndarray, largest: float) -> Error:
    off, square, other, product = map(float, sums)
    relative = 0.0 if off == 0 else math.sqrt(off / square) if square else math.inf
    cosine = 1.0 if off == 0 else product / math.sqrt(square * other) if square * other else 0.0
    return Error(relative, largest, cosine)
