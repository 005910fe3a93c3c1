"""Cells of sorted weights, cut so that squared error and bits together cost least.

A cell of n out of N weights costs `n * log2(N / n)` bits, whatever the other cells. So the cost of
a partition is a sum over its cells, and dynamic programming finds the best partition, without
iteration and without a given number of cells.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

_AT_ONCE = 1 << 14
"""Cells whose costs are computed at once, about: their arrays fit a cache."""

_MOST_IN_TABLE = 8
"""Entries for each bin, at most, of a table of logarithms."""


class Bins(NamedTuple):
    """Weights in ascending order, in bins that are not cut.

    Attributes:
        low: `[b]` smallest weight of each bin.
        high: `[b]` largest.
        counts: `[b + 1]` how many weights lie before each bin, and in total.
        sums: `[b + 1]` their sum.
        middle: place of zero among the bins.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    middle: int

    def first(self, reach: float) -> np.ndarray:
        """Return for each bin the first one within a cell of width `reach`."""
        first = np.searchsorted(self.low, self.high - reach)
        return np.minimum(first, np.arange(len(self.low)))


class Cells(NamedTuple):
    """A partition of bins.

    Attributes:
        ends: `[cells + 1]` ascending places; two equal ones enclose an empty cell.
        zero: number of the cell of value zero; it may be empty.
    """

    ends: np.ndarray
    zero: int


class Price(NamedTuple):
    """The cost of a partition besides its squared error.

    Attributes:
        bit: squared error that a bit is worth.
        entry_bits: bits of an entry of the codebook.
        zeros: weights that are zero in any partition.
        total: number of all weights, zeros included.
    """

    bit: float
    entry_bits: int
    zeros: int
    total: int

    def bits(self, counts: np.ndarray) -> np.ndarray:
        """Return the bits of all weights in cells of `counts` weights."""
        return counts * np.log2(self.total / np.maximum(counts, 1))

    def reach(self) -> float:
        """Return the largest width of a cell in the best partition.

        A code of its own for one end of a cell would save `distance^2` and cost less than
        `entry_bits + log2(total) + 1 / ln(2)` bits, including the longer codes of the cell.
        """
        most_bits = self.entry_bits + np.log2(max(self.total, 1)) + 1.45
        return 2 * float(np.sqrt(self.bit * most_bits))


def best_cells(bins: Bins, price: Price) -> Cells:
    """Return the partition of least `squared error + price.bit * bits`, exactly.

    `best[end]` is the least cost of the bins before `end`, without the sum of their squares. In
    row 0 the cell of zero comes after `end`, in row 1 before it.
    """
    size = len(bins.low)
    best = np.full((2, size + 1), np.inf)
    start = np.zeros((2, size + 1), np.int64)
    is_zero = np.zeros(size + 1, bool)  # whether the last cell of row 1 is that of zero
    empty = price.bit * float(price.bits(np.array(price.zeros)))
    best[:, 0], is_zero[0] = (0, empty), True
    bits_of_zero = _bits(bins, price, price.zeros)
    for begin, end, cost in _costs(bins, price):
        for row in (0, 1):
            costs = best[row, begin:end] + cost
            place = int(costs.argmin())
            best[row, end], start[row, end] = costs[place], begin + place
        if best[0, end] + empty < best[1, end]:
            best[1, end], start[1, end], is_zero[end] = best[0, end] + empty, end, True
        if begin <= bins.middle <= end:
            stop = min(bins.middle + 1, end)
            of_zero = bits_of_zero(bins.counts[end] - bins.counts[begin:stop])
            costs = best[0, begin:stop] + price.bit * of_zero
            place = int(costs.argmin())
            if costs[place] < best[1, end]:
                best[1, end], start[1, end], is_zero[end] = costs[place], begin + place, True
    ends, row, behind = [size], 1, 0
    while row or ends[-1]:
        end = ends[-1]
        ends.append(int(start[row, end]))
        if row and is_zero[end]:
            row, behind = 0, len(ends) - 2
    return Cells(np.array(ends[::-1]), len(ends) - 2 - behind)


def _costs(bins: Bins, price: Price) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield by ascending end the first place of a cell there, the end, and the costs of cells.

    The costs are `[end - first]`, of a cell from each place on, without the sum of squares. Those
    of several ends are computed at once.
    """
    size, counts, sums = len(bins.low), bins.counts, bins.sums
    first = bins.first(price.reach())
    bits_of, low = _bits(bins, price, 0), 1
    while low <= size:
        base = int(first[low - 1])
        rows = max(min(_AT_ONCE // (low - base), low - base + 8), 1)
        ends = np.arange(low, min(low + rows, size + 1))
        top = ends[-1]
        number = np.maximum(counts[ends, None] - counts[base:top], 1)
        total = sums[ends, None] - sums[base:top]
        costs = price.bit * (bits_of(number) + price.entry_bits) - total * total / number
        for row, end in zip(costs, ends.tolist(), strict=True):
            begin = int(first[end - 1])
            yield begin, end, row[begin - base : end - base]
        low = int(top) + 1


def _bits(bins: Bins, price: Price, more: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the bits of cells of a number of weights and `more`; a table, if that is smaller."""
    if bins.counts[-1] > _MOST_IN_TABLE * len(bins.low):
        return lambda number: price.bits(number + more)
    table = price.bits(np.arange(bins.counts[-1] + 1) + more)
    return lambda number: table.take(number.astype(np.intp))
