"""Distances between tensors: the relative errors of reports, and how they look otherwise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.oneshot.outcomes import Outcome, Report, outcome_of

_BLOCK = 1 << 20


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
    outcome = outcome_of(path, reference, other)
    if not math.isfinite(outcome.squared_error):
        return Comparison(outcome._replace(squared_error=math.inf), np.zeros(3), math.inf)
    if not outcome.squared_error:
        return Comparison(outcome, np.full(3, outcome.square), 0.0)
    a, b = reference.reshape(-1), other.reshape(-1)
    angle, largest = np.zeros(3), 0.0
    for start in range(0, a.size, _BLOCK):  # in 64 bits they would take ten times their memory
        x, y = (_wide(part[start : start + _BLOCK]) for part in (a, b))
        angle += [np.vdot(x, x).real, np.vdot(y, y).real, np.vdot(x, y).real]
        largest = max(largest, float(np.abs(x - y).max()))
    return Comparison(outcome, angle, largest)


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


def _wide(array: np.ndarray) -> np.ndarray:
    """Return numbers of 64 bits, zeros where they are not finite: there both tensors agree."""
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    return np.where(np.isfinite(wide), wide, 0)
