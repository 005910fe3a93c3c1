"""Rows of numbers that are rounded again and again, with few passes over memory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxcompress.quantization.grids import Grid, QParams, qparams_for
from jaxcompress.quantization.ranges import Range, Samples

_SHORT, _LONG = 512, 4096
_BLOCK = 1 << 16  # numbers rounded at a time: they fit the cache

Block = Any
"""The index of some rows, or of pieces of them."""

Pair = tuple[np.ndarray, np.ndarray]
"""Two arrays of the shape of a block."""


class Rows:
    """The numbers of some rows, to be rounded to a grid of each row.

    Each row is multiplied by a power of two that brings it near 1: squares do not overflow, and
    nothing is rounded. Magnitudes suffice for a symmetric grid. Rows shorter than 512 stand side by
    side, so that operations run along many of them. Rows longer than 4096 are cut into pieces of
    one length, filled up with zeros, which are exact on every grid.
    """

    def __init__(self, samples: Samples, widest: np.ndarray, grid: Grid) -> None:
        """Take the numbers, the largest magnitude of each row, and the grid."""
        size, self._dtype = samples.values.shape[1], samples.values.dtype
        self._grid, self._finfo = grid, np.finfo(self._dtype)
        self._short, self._pieces = size < _SHORT, max(-(-size // _LONG), 1)
        limits = self._finfo.minexp + 4, self._finfo.maxexp - 4
        self._unit = np.ldexp(1.0, np.clip(np.frexp(widest)[1], *limits))
        factor = self._along(1 / self._unit)
        self._numbers = np.multiply(self._laid(samples.values), factor, order="C")
        if grid.symmetric:
            np.abs(self._numbers, out=self._numbers)
        self._counts = None if samples.counts is None else self._laid(samples.counts)
        count, size = self._numbers.shape[::-1] if self._short else self._numbers.shape
        step = max(_BLOCK // max(size, 1), 1)
        parts = [slice(start, start + step) for start in range(0, count, step)]
        self._blocks = [(slice(None), part) if self._short else part for part in parts]
        first = self._numbers[self._blocks[0]]
        # Arrays of the shape of a block: numpy is slower with one number for all, or for a row.
        self._exact, self._rounded = np.empty((2, *first.shape), self._dtype)
        self._highest = np.full_like(first, grid.highest)

    def _laid(self, table: np.ndarray) -> np.ndarray:
        """Return a table `[rows, n]` as it is summed."""
        if self._short:
            return table.T
        if self._pieces == 1:
            return table
        rows, size = table.shape
        width = -(-size // self._pieces)
        padded = np.pad(table, [(0, 0), (0, self._pieces * width - size)])
        return padded.reshape(rows * self._pieces, width)

    def _along(self, numbers: np.ndarray) -> np.ndarray:
        """Return a number for each row, in the dtype and so that it broadcasts to the numbers."""
        numbers = numbers.astype(self._dtype)
        return numbers[None] if self._short else np.repeat(numbers, self._pieces)[:, None]

    def _sums(self, factors: Callable[[Block], Pair]) -> np.ndarray:
        """Return the sum of products of each row, counted, in double precision.

        Args:
            factors: returns those of a block.
        """
        sums = []
        for block in self._blocks:
            first, second = factors(block)
            if self._counts is not None:
                first = first * self._counts[block]
            # Pieces are too short for single precision to lose digits, or for BLAS to use threads.
            sums.append(_summed_over_rows(first, second, side_by_side=self._short))
        total = np.concatenate(sums).astype(np.float64)
        return total if self._short else total.reshape(-1, self._pieces).sum(axis=1)

    def squares(self) -> np.ndarray:
        """Return the sum of squares of each row, after its scaling."""
        return self._sums(lambda block: (self._numbers[block], self._numbers[block]))

    def errors(self, ranges: Range) -> np.ndarray:
        """Return the squared error of each row on grids that cover ranges, after its scaling.

        It is infinite where a grid ends beyond the dtype.
        """
        qparams = self._qparams(ranges)
        integers = self._integers(qparams)

        def distances(block: Block) -> Pair:
            exact, rounded = integers(block)
            rounded -= exact
            return rounded, rounded

        scale = qparams.scale.astype(self._dtype).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            errors = self._sums(distances) * scale**2
            ends = self._farthest(qparams) * self._unit
        return np.where((ends <= self._finfo.max) & ~np.isnan(errors), errors, np.inf)

    def fitted(self, ranges: Range) -> np.ndarray:
        """Return the scale of each row that fits its integers best."""
        integers = self._integers(self._qparams(ranges))
        products = self._sums(lambda block: (integers(block)[1], self._numbers[block]))

        def rounded(block: Block) -> Pair:
            _, result = integers(block)
            return result, result

        squares = self._sums(rounded)
        return self._unit * products / np.maximum(squares, 1e-300)

    def clipped(self, ranges: Range) -> np.ndarray:
        """Return a squared error of each row that no grid within ranges is below."""
        low, high = (end / self._unit for end in ranges)
        if not self._grid.symmetric:  # a rounded zero point moves the ends by half a step
            slack = (high - low) / (self._grid.highest - self._grid.lowest)
            low, high = low - slack, high + slack
        low, high = self._along(low), self._along(high)

        def beyond(block: Block) -> Pair:
            numbers = self._numbers[block]
            above, below = _like(numbers, self._rounded), _like(numbers, self._exact)
            np.maximum(numbers, high[block], out=above)
            above -= high[block]
            if not self._grid.symmetric:
                np.minimum(numbers, low[block], out=below)
                below -= low[block]
                above += below  # one of the two is zero
            return above, above

        return self._sums(beyond)

    def _qparams(self, ranges: Range) -> QParams:
        with np.errstate(over="ignore"):  # beyond the dtype; such a grid is never the best
            low, high = ranges.low / self._unit, ranges.high / self._unit
        return qparams_for(low, high, self._grid)

    def _farthest(self, qparams: QParams) -> np.ndarray:
        """Return the magnitude of the end of each grid that is farther from zero."""
        zero = 0 if qparams.zero_point is None else qparams.zero_point.astype(int)
        ends = zero - self._grid.lowest, self._grid.highest - zero
        return qparams.scale * np.maximum(*ends)

    def _integers(self, qparams: QParams) -> Callable[[Block], Pair]:
        """Return a function to the numbers of a block in steps, exact and rounded to integers."""
        grid, scale = self._grid, self._along(qparams.scale)
        nearest = np.ceil if grid.bits == 1 else np.rint  # one bit: zero is 0, other magnitudes 1
        lowest = highest = scale
        if qparams.zero_point is not None:
            zero_point = qparams.zero_point.astype(int)
            lowest = self._along(grid.lowest - zero_point)
            highest = self._along(grid.highest - zero_point)

        def integers(block: Block) -> Pair:
            numbers = self._numbers[block]
            exact, rounded = _like(numbers, self._exact), _like(numbers, self._rounded)
            np.divide(numbers, scale[block], out=exact)
            nearest(exact, out=rounded)
            if qparams.zero_point is None:
                np.minimum(rounded, _like(numbers, self._highest), out=rounded)
            else:
                np.maximum(rounded, lowest[block], out=rounded)
                np.minimum(rounded, highest[block], out=rounded)
            return exact, rounded

        return integers


def _summed_over_rows(first: np.ndarray, second: np.ndarray, *, side_by_side: bool) -> np.ndarray:
    """Return the sum of products of each row."""
    return np.einsum("nr,nr->r", first, second) if side_by_side else np.vecdot(first, second)


def _like(block: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Return as much memory as a block takes."""
    return memory[: block.shape[0], : block.shape[1]]
