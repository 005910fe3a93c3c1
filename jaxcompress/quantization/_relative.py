"""Ranges by step sizes relative to the weights of each grid, and scales of few digits."""

import functools

import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.quantization.grids import Grid
from jaxcompress.quantization.ranges import Estimator, Range, Samples, in_parts, min_max

_DIGITS = 8


def relative_step(step_size: float) -> Estimator:
    """Let a step be a fraction of the root mean square of the weights of its grid.

    `scale = step_size * sqrt(mean of w^2 over w != 0)`, or as much more as the largest magnitude
    needs. So each grid has about the same relative error, `step_size / sqrt(12)` where steps are
    small, whatever the magnitude of its weights. Few of the integers occur often, which makes them
    cheap to store near their entropy: of normal weights `2.05 - log2(step_size)` bits.

    Args:
        step_size: in root mean squares, 0.25 say.

    Raises:
        ValueError: it is not above 0.
        TypeError: it is not a number.

    Example:
        >>> from jaxcompress.quantization import make_grid
        >>> low, high = relative_step(0.5)(Samples(np.array([[3.0, -3.0, 0.0]])), make_grid(8))
        >>> float(high[0] / 127)
        1.5
    """
    step_size = check_positive("step_size", step_size, "0.1 is fine, 1 is coarse")
    return functools.partial(in_parts, functools.partial(_by_step, step_size))


def few_digits(estimate: Estimator) -> Estimator:
    """Round scales up to 8 binary digits, by less than a percent.

    Such scales take half the bytes or less, and integers are chosen for them, so that little is
    lost.

    Args:
        estimate: of the range.

    Example:
        >>> from jaxcompress.quantization import make_grid
        >>> samples = Samples(np.array([[1.0, -0.3]]))
        >>> float(few_digits(min_max)(samples, make_grid(8)).high[0] / 127 * 2**14)
        130.0
    """
    return functools.partial(_rounded_up, estimate)


def _by_step(step_size: float, samples: Samples, grid: Grid) -> Range:
    low, high = min_max(samples, grid)
    widest = np.maximum(-low, high)
    unit = np.where(widest > 0, widest, 1.0)[:, None]
    values = samples.values / unit.astype(samples.values.dtype)
    counts = (values != 0).astype(np.float64) if samples.counts is None else samples.counts
    counts = np.where(values != 0, counts, 0)
    squares = np.einsum("ij,ij,ij->i", values, values, counts, dtype=np.float64)
    root = unit[:, 0] * np.sqrt(squares / np.maximum(counts.sum(axis=1), 1))
    reach = np.maximum(step_size * root * grid.highest, widest)
    return Range(np.where(widest > 0, -reach, 0.0), np.where(widest > 0, reach, 0.0))


def _rounded_up(estimate: Estimator, samples: Samples, grid: Grid) -> Range:
    low, high = estimate(samples, grid)
    if grid.symmetric:
        high = grid.highest * _short(np.maximum(-low, high) / grid.highest)
        return Range(-high, high)
    steps = grid.highest - grid.lowest
    return Range(low, low + steps * _short((high - low) / steps))


def _short(scale: np.ndarray) -> np.ndarray:
    digits, exponent = np.frexp(scale)
    digits = np.ceil(np.ldexp(digits, _DIGITS) - 2.0**-20)  # what is short already stays
    return np.ldexp(digits, exponent - _DIGITS)
