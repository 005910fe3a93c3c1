"""The search for the range of least squared error.

A narrower range clips more. So a search from the widest range on ends as soon as clipping alone
costs more than the best range so far, and misses nothing.
"""

from collections.abc import Iterable

import numpy as np

from jaxcompress.quantization._rows import Rows
from jaxcompress.quantization.grids import Grid, qparams_for
from jaxcompress.quantization.ranges import Range, Samples, in_parts, min_max

_SHRINK = 2.0 ** (-np.arange(1, 64) / 8)  # factors of the whole range, down to 1 / 235
_WIDEN = 2.0 ** (np.arange(1, 9) / 8)
_FITS = 4  # rounds, after which the best scale no longer changes
_MOVES = 3
_CLEAR = 1 - 2.0**-14  # of an error: single precision rounds its sum by less
_EXACT = 2.0**-40  # of the sum of squares: an error below it comes from rounding numbers on a grid
_BETWEEN = 3  # ranges tried between two looks at what clipping alone costs
_PART = 1 << 18  # numbers searched together


def mse_optimal(samples: Samples, grid: Grid) -> Range:
    """Search for the range of least squared error, `sum(count * (value - rounded)^2)`.

    The search clips numbers to `2^(-i/8)` of the largest magnitude, down to 1/235 of it. On a
    symmetric grid it then fits the scale to the integers found, `sum(value * integer) /
    sum(integer^2)`, while that lowers the error. On an affine grid it moves each end by itself, by
    factors of `2^(i/8)`, and then fits the scale and moves the zero point in turns. With one bit
    the scale becomes the mean magnitude, which is the optimum; with two bits (ternary) it comes
    close to the optimum. The whole range is tried first. So the error is never above that of
    `min_max`, and numbers that already lie on such a grid keep it.

    Example:
        >>> from jaxcompress.quantization import Samples, make_grid
        >>> mse_optimal(Samples(np.array([[1.0, -2.0, 6.0, 0.0]])), make_grid(1)).high.tolist()
        [3.0]

    Source: Rastegari et al. 2016 (XNOR-Net), arXiv:1603.05279, for one bit; Li et al. 2016
    (ternary weight networks), arXiv:1605.04711, for two.
    """
    return in_parts(_symmetric if grid.symmetric else _affine, samples, grid, numbers=_PART)


def _symmetric(samples: Samples, grid: Grid) -> Range:
    """Return the best symmetric range of a few rows."""
    whole = min_max(samples, grid)
    widest = np.maximum(-whole.low, whole.high)
    search = _Search(samples, grid, Range(-widest, widest))
    if grid.bits > 1:
        search.descend(Range(-f * widest, f * widest) for f in _SHRINK)
    for _ in range(_FITS):
        # Not above the whole range: the highest integer must occur, to tell where the grid ends.
        high = np.minimum(search.rows.fitted(search.best) * grid.highest, widest)
        if not search.take(Range(-high, high)):
            break
    return search.best


def _affine(samples: Samples, grid: Grid) -> Range:
    """Return the best affine range of a few rows."""
    whole = min_max(samples, grid)
    search = _Search(samples, grid, whole)
    limits = (f * np.maximum(-whole.low, whole.high) for f in _SHRINK)
    search.descend(Range(np.maximum(whole.low, -t), np.minimum(whole.high, t)) for t in limits)
    low, high = search.best
    search.descend(Range(low / f, high) for f in _WIDEN)
    search.ascend(Range(np.maximum(f * low, whole.low), high) for f in _WIDEN)
    low, high = search.best
    search.descend(Range(low, high / f) for f in _WIDEN)
    search.ascend(Range(low, np.minimum(f * high, whole.high)) for f in _WIDEN)
    for _ in range(_MOVES):
        zero_point = qparams_for(*search.best, grid).zero_point.astype(int)
        better = search.take(_covered(search.rows.fitted(search.best), zero_point, grid))
        for step in (-1, 1):
            scale, zero_point = qparams_for(*search.best, grid)
            better |= search.take(_covered(scale, zero_point.astype(int) + step, grid))
        if not better:
            break
    return search.best


def _covered(scale: np.ndarray, zero_point: np.ndarray, grid: Grid) -> Range:
    """Return the range that an affine grid covers, with a zero point moved into the grid."""
    zero_point = np.clip(zero_point, grid.lowest, grid.highest)
    return Range(scale * (grid.lowest - zero_point), scale * (grid.highest - zero_point))


class _Search:
    """The best range of each row among those that were tried.

    Attributes:
        rows: the numbers.
        best: the range.
    """

    def __init__(self, samples: Samples, grid: Grid, whole: Range) -> None:
        """Try the whole range."""
        self.rows = Rows(samples, np.maximum(-whole.low, whole.high), grid)
        self.best = whole
        self._least = self.rows.errors(whole)
        self._floor = _EXACT * self.rows.squares()

    def take(self, ranges: Range) -> bool:
        """Take ranges where they are clearly better; return whether any is."""
        errors = self.rows.errors(ranges)
        better = (errors < _CLEAR * self._least) & (self._least > self._floor)
        self._least = np.where(better, errors, self._least)
        pairs = zip(ranges, self.best, strict=True)
        self.best = Range(*(np.where(better, new, old) for new, old in pairs))
        return bool(better.any())

    def descend(self, ranges: Iterable[Range]) -> None:
        """Try ranges, each within the one before, as long as one may be better."""
        for number, candidate in enumerate(ranges, 1):
            self.take(candidate)
            if number % _BETWEEN == 0 and (self.rows.clipped(candidate) >= self._least).all():
                break

    def ascend(self, ranges: Iterable[Range]) -> None:
        """Try ranges, each around the one before, until they no longer grow."""
        before = None
        for candidate in ranges:
            if before is not None and np.array_equal(candidate, before):
                break
            self.take(candidate)
            before = candidate
