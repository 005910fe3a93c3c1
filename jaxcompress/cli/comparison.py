"""Distances between tensors: the relative errors of reports, and how they look otherwise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.oneshot.outcomes import Outcome, Report, outcome_of

_BLOCK = 1 << 20
_MOST_EXPONENT = 480


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


class Comparison(NamedTuple):
    """Two tensors, compared.

    Attributes:
        outcome: norms of the reference and of the difference.
        angle: sums of `a^2`, `b^2` and `a * b`, of tensors that differ.
        largest: `max |a - b|`.
    """

    outcome: Outcome
    angle: np.ndarray
    largest: float

    @property
    def error(self) -> Error:
        """The distance."""
        return together([self])


def compare(path: str, reference: np.ndarray, other: np.ndarray) -> Comparison:
    """Compare two tensors of one shape.

    Example:
        >>> compare("w", np.array([3.0, 0, 0, 4]), np.array([3.0, 0, 0, 3])).error.relative
        0.2
    """
    outcome = outcome_of(path, reference, other)
    angle, largest = np.zeros(3), 0.0
    if not outcome.error_norm or not math.isfinite(outcome.error_norm):
        return Comparison(outcome, angle, outcome.error_norm)
    unit = _unit(reference)
    for start in range(0, reference.size, _BLOCK):  # in 64 bits they take many times their memory
        block = slice(start, start + _BLOCK)
        x, y = (_finite(_wide(part.reshape(-1)[block], unit)) for part in (reference, other))
        angle += [np.vdot(x, x).real, np.vdot(y, y).real, np.vdot(x, y).real]
        largest = max(largest, float(np.abs(x - y).max()))
    return Comparison(outcome, angle, largest / unit)


def together(comparisons: Sequence[Comparison]) -> Error:
    """Return the distance of several tensors, without equal ones, as if they were one."""
    relative = Report([each.outcome for each in comparisons]).relative_error
    largest = max((each.largest for each in comparisons), default=0.0)
    if relative == 0:
        return Error(relative, largest, 1.0)
    square, other, product = sum((each.angle for each in comparisons), np.zeros(3))
    lengths = math.sqrt(square) * math.sqrt(other)
    is_known = lengths > 0 and math.isfinite(largest)
    return Error(relative, largest, float(product) / lengths if is_known else 0.0)


def _unit(array: np.ndarray) -> float:
    """Return the power of two by which numbers of 64 bits are so large that squares are numbers.

    Beside other tensors they are as good as infinite, or zero, with it too.
    """
    if array.dtype.name not in ("float64", "complex128") or not array.size:
        return 1.0
    largest = float(np.abs(array).max(initial=0, where=np.isfinite(array)))
    exponent = math.frexp(largest)[1]
    nearest = min(max(exponent, -_MOST_EXPONENT), _MOST_EXPONENT)
    return 2.0 ** (nearest - exponent) if largest else 1.0


def _wide(array: np.ndarray, unit: float) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64) * unit


def _finite(array: np.ndarray) -> np.ndarray:
    return array if np.isfinite(array).all() else np.where(np.isfinite(array), array, 0)
