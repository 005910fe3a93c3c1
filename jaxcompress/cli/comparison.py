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
        outcome: sums of squares of the reference and of the difference.
        angle: sums of `a^2`, `b^2` and `a * b`.
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
    unit = _unit(reference)
    squared_error = largest = 0.0
    angle = np.zeros(3)
    for start in range(0, reference.size, _BLOCK):  # in 64 bits they take many times their memory
        a, b = (part.reshape(-1)[start : start + _BLOCK] for part in (reference, other))
        x = _wide(a, unit)
        if _are_equal(a, b):
            angle += np.vdot(finite := _finite(x), finite).real
            continue
        y = _wide(b, unit)
        found = outcome_of(path, x, y)
        if not math.isfinite(found.squared_error):
            return _beyond(path, reference)
        x, y = _finite(x), _finite(y)  # there both agree
        squared_error += found.squared_error
        angle += [np.vdot(x, x).real, np.vdot(y, y).real, np.vdot(x, y).real]
        largest = max(largest, float(np.abs(x - y).max()))
    if largest and not squared_error:  # beside larger numbers its square is none
        squared_error = max(largest**2, math.ulp(0))
    outcome = Outcome(path, reference.size, None, squared_error, float(angle[0]))
    return Comparison(outcome, angle, largest / unit)


def _beyond(path: str, reference: np.ndarray) -> Comparison:
    """Return the comparison with a tensor that has NaN or infinity where the reference has not."""
    return Comparison(Outcome(path, reference.size, None, math.inf), np.zeros(3), math.inf)


def together(comparisons: Sequence[Comparison]) -> Error:
    """Return the distance of several tensors as if they were one."""
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


def _are_equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether all bits are equal, as most tensors are to what they are stored as."""
    if a.dtype != b.dtype:
        return False
    bits, others = a.view(np.uint8), b.view(np.uint8)
    return np.array_equal(bits, others)
