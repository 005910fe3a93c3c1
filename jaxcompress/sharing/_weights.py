"""The sorted weights of a leaf, and the cells that quantize them at a given price of a bit."""

import math
from itertools import pairwise

import numpy as np

from jaxcompress.kinds import codes_dtype
from jaxcompress.leaves import Clustered
from jaxcompress.leaves.clustered import MOST_CODES
from jaxcompress.sharing._cells import Bins, Cells, Price, best_cells
from jaxcompress.sharing._members import Members, cells_of, round_down

_MOST_TRIALS = 1 << 24  # pairs of places tried by a search over single weights
_MOST_PLACES = 1 << 16  # places of a coarser search
_MOST_PER_STEP = 16
_LEAST_DECREASE = 1e-7
_WIDE = 2.0**16  # widest cells: more do not fit into codes, so wider gaps are cuts
_SQUARABLE = 2.0**480  # sums of squares of larger numbers are beyond double precision
_EXACT = 2.0**-20  # largest rounding error of the total sum, relative to the sum of a cell


class TooManyLevels(ValueError):
    """The price of a bit is so low that codes would not fit into two bytes."""


class Weights:
    """The shared weights of one leaf, ready to be quantized again and again.

    Attributes:
        ordered: the weights in ascending order.
        zeros: number of the other weights, which are always zero.
    """

    def __init__(self, members: Members, part: np.ndarray | None = None, zeros: int = 0) -> None:
        """Take the weights of a leaf, or a part of them in ascending order and its zeros."""
        self.ordered = ordered = members.ordered() if part is None else part
        self.zeros = members.values.size - ordered.size if part is None else zeros
        self._members, self._dtype = members, members.tensor.dtype
        self._sums = np.zeros(ordered.size + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            np.cumsum(ordered, dtype=np.float64, out=self._sums[1:])
            self._rounding = 2.0**-52 * max(self._sums.max(), -self._sums.min())
        changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        few = 0 < ordered.size and len(changes) < _MOST_PLACES
        self._distinct = self._binned(changes) if few else None

    def price(self, rate_weight: float) -> Price:
        """Return the price of partitions of these weights."""
        total = self._members.values.size
        return Price(rate_weight, 8 * self._dtype.itemsize, self.zeros, total)

    def quantized(self, rate_weight: float) -> Cells:
        """Return cells of least squared error and bits.

        Args:
            rate_weight: price of a bit in squared error.

        Raises:
            TooManyLevels: naming their number.
        """
        price = self.price(rate_weight)
        pieces = self._pieces(price.reach())
        if len(pieces) == 1:
            return self._quantized(price)
        if len(pieces) - 1 > MOST_CODES:
            raise TooManyLevels(f"{len(pieces) - 1:,}")
        ends, zero = [np.zeros(1, int)], 0
        for start, stop, has_zero in pieces:
            part = self.ordered[start:stop]
            inner = np.array([0, part.size])
            if has_zero or part[0] != part[-1]:
                own = Weights(self._members, part, self.zeros if has_zero else 0)
                inner, middle = own._quantized(own.price(rate_weight))
                if has_zero:
                    zero = sum(map(len, ends)) - 1 + middle
                else:  # far from zero the cell of zero is empty
                    inner = np.delete(inner, middle)
            ends.append(start + inner[1:])
        cells = Cells(np.concatenate(ends), zero)
        if len(cells.ends) - 2 > MOST_CODES:
            raise TooManyLevels(f"{len(cells.ends) - 2:,}")
        return cells

    def _pieces(self, reach: float) -> list[tuple[int, int, bool]]:
        """Return start and stop of pieces that no cell crosses, and whether each has zero.

        There is one piece if sums of squares are exact enough, as without extreme outliers.
        """
        size = self.ordered.size
        if not size:
            return [(0, 0, True)]
        least, median, most = self.ordered[[0, size // 2, -1]].astype(float).tolist()
        if max(median - least, most - median) <= _WIDE * reach and max(-least, most) < _SQUARABLE:
            return [(0, size, True)]
        ordered = self.ordered.astype(np.float64)
        with np.errstate(over="ignore"):
            middle = int(np.searchsorted(ordered, 0))
            cuts = np.flatnonzero(np.diff(np.insert(ordered, middle, 0)) > reach)
        ends = np.concatenate([[0], np.where(cuts < middle, cuts + 1, cuts), [size]])
        own = int(np.searchsorted(cuts, middle))
        return [(*pair, number == own) for number, pair in enumerate(pairwise(ends.tolist()))]

    def _quantized(self, price: Price) -> Cells:
        """Return cells of least squared error and bits, for weights with exact sums of squares."""
        if not self.ordered.size:
            return Cells(np.array([0, 0]), 0)
        bins, starts = self._bins(price)
        found = best_cells(bins, price)
        cells = Cells(starts[found.ends], found.zero)
        while True:
            cells = self.refined(cells, price)
            merged = self._merged(cells, price)
            if len(merged.ends) == len(cells.ends):
                break
            cells = merged
        if len(cells.ends) - 2 > MOST_CODES:
            raise TooManyLevels(f"{len(cells.ends) - 2:,}")
        return cells

    def counts(self, cells: Cells) -> np.ndarray:
        """Return the number of weights of each cell, those that are always zero included."""
        counts = np.diff(cells.ends)
        counts[cells.zero] += self.zeros
        return counts

    def values(self, cells: Cells) -> np.ndarray:
        """Return the value of each cell: its mean in the dtype of the leaf, and zero."""
        counts = np.diff(cells.ends)
        filled = counts > 0
        values = np.zeros(len(counts))
        starts = cells.ends[:-1][filled]
        low, high = self.ordered[starts], self.ordered[cells.ends[1:][filled] - 1]
        sizes = counts[filled] * np.maximum(abs(low), abs(high)).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.diff(self._sums[cells.ends])[filled] / counts[filled]
            if np.any(~(self._rounding <= _EXACT * sizes) & (np.flatnonzero(filled) != cells.zero)):
                sums = np.add.reduceat(self.ordered, starts, dtype=np.float64)
                means = sums / counts[filled]
        values[filled] = np.clip(means, low, high)  # a mean of equal weights must not be rounded
        values[cells.zero] = 0
        return values.astype(self._dtype)

    def cost(self, cells: Cells, price: Price) -> float:
        """Return squared error and priced bits, without the sum of the squared weights."""
        counts, values = self.counts(cells), self.values(cells).astype(np.float64)
        sums = np.diff(self._sums[cells.ends])
        error = np.sum(values * (values * counts - 2 * sums))
        entries = price.entry_bits * np.count_nonzero(np.delete(counts, cells.zero))
        return float(error + price.bit * (np.sum(price.bits(counts)) + entries))

    def size_bytes(self, cells: Cells) -> float:
        """Return the entropy bound of codes and codebook, in bytes."""
        entries = np.count_nonzero(np.delete(np.diff(cells.ends), cells.zero))
        bits = np.sum(self.price(0.0).bits(self.counts(cells)))
        return float(bits) / 8 + entries * self._dtype.itemsize

    def clustered(self, cells: Cells, values: np.ndarray) -> Clustered:
        """Return the leaf whose weights have the codes of their cells, with `values`."""
        filled = np.diff(cells.ends) > 0
        entries = filled & (values != 0)
        code = np.where(entries, np.cumsum(entries), 0)[filled]
        cuts = self.ordered[cells.ends[1:][filled][:-1] - 1]
        table = code.astype(codes_dtype(int(np.count_nonzero(entries))))
        if not len(code):
            table = np.zeros(1, np.uint8)
        places = cells_of(self._members.values, cuts)
        return self._members.clustered(table[places], values[entries])

    def refined(self, cells: Cells, price: Price) -> Cells:
        """Return cells after Lloyd's iteration, which never increases the cost."""
        cost, least = self.cost(cells, price), _LEAST_DECREASE * price.bit * price.total
        while True:
            moved = self._moved(cells, price)
            before, cost = cost, self.cost(moved, price)
            if not cost < before:
                return cells
            cells = moved
            if before - cost <= least:
                return cells

    def _moved(self, cells: Cells, price: Price) -> Cells:
        """Return the cells in which every weight has its best value at the present bits.

        Without w^2 the cost of weight w is `value^2 - 2 * w * value + price.bit * bits(value)`: a
        line in w for each value. A cell is the interval where its line is the lowest.
        """
        counts, values = self.counts(cells), self.values(cells).astype(np.float64)
        # A mean of zero is the value zero, without another entry.
        counts[cells.zero] = counts[values == 0].sum()
        used = counts > 0
        used[values == 0] = False
        used[cells.zero] = counts[cells.zero] > 0
        order = np.flatnonzero(used)
        order = order[np.argsort(values[order], kind="stable")]
        heights = values[order] ** 2 + price.bit * np.log2(price.total / counts[order])
        lowest, cuts = _lowest(values[order], heights)
        cuts = round_down(cuts, self.ordered.dtype)
        inner = np.searchsorted(self.ordered, cuts, side="right")
        ends = np.concatenate([[0], inner, [self.ordered.size]])
        found = np.flatnonzero(order[lowest] == cells.zero)
        if len(found):
            return _without_empty(Cells(ends, int(found[0])))
        zero = int(np.searchsorted(values[order[lowest]], 0))
        return _without_empty(Cells(np.insert(ends, zero, ends[zero]), zero))

    def _merged(self, cells: Cells, price: Price) -> Cells:
        """Return the best of the partitions that merge whole cells."""
        counts, values = self.counts(cells), self.values(cells).astype(np.float64)
        zeros, middle = int(counts[cells.zero]), cells.zero
        values, counts = np.delete(values, middle), np.delete(counts, middle).astype(np.float64)
        if not len(values):
            return cells
        before = np.concatenate([[0], np.cumsum(counts)])
        sums = np.concatenate([[0], np.cumsum(counts * values)])
        bins = Bins(values, values, before, sums, middle)
        found = best_cells(bins, price._replace(zeros=zeros))
        places, zero = found
        if places[zero] == places[zero + 1]:  # an empty cell may be at any place
            places = np.delete(places, zero)
            zero = int(np.searchsorted(places, middle))
            if places[zero] != middle:
                return cells
            places = np.insert(places, zero, middle)
        behind = (places > middle) | ((places == middle) & (np.arange(len(places)) > zero))
        return Cells(cells.ends[places + behind], zero)

    def _bins(self, price: Price) -> tuple[Bins, np.ndarray]:
        """Return bins to search over, and the places among the weights where they begin.

        They are single values if these are few enough to try all pairs. Otherwise their width is a
        sixteenth of the uniform step size at this price, or larger if these were too many.
        """
        if self._distinct is not None:
            bins, starts = self._distinct
            trials = np.arange(1, len(starts)) - bins.first(price.reach())
            if trials.sum() <= _MOST_TRIALS:
                return self._distinct
        step, per_step = math.sqrt(6 * price.bit / math.log(2)), _MOST_PER_STEP
        while True:
            with np.errstate(over="ignore"):
                bin_of = np.floor(self.ordered * np.float64(per_step / step))
            changes = np.flatnonzero(bin_of[1:] != bin_of[:-1]) + 1
            if len(changes) < _MOST_PLACES:
                return self._binned(changes)
            if per_step == 1:
                raise TooManyLevels(f"about {len(changes) + 1:,}")
            per_step //= 2

    def _binned(self, changes: np.ndarray) -> tuple[Bins, np.ndarray]:
        """Return bins that begin at the first weight and at `changes`."""
        starts = np.concatenate([[0], changes, [self.ordered.size]])
        middle = np.searchsorted(starts, np.searchsorted(self.ordered, 0))
        return Bins(
            low=self.ordered[starts[:-1]].astype(np.float64),
            high=self.ordered[starts[1:] - 1].astype(np.float64),
            counts=starts.astype(np.float64),
            sums=self._sums[starts],
            middle=int(middle),
        ), starts


def _lowest(slopes: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which lines `height - 2 * slope * w` are lowest somewhere, and where they change.

    A line that is not below the crossing of its neighbours is never the lowest.
    """
    lowest = np.arange(len(slopes))
    while True:
        cuts = np.diff(heights[lowest]) / (2 * np.diff(slopes[lowest]))
        hidden = cuts[1:] <= cuts[:-1]
        if not hidden.any():
            return lowest, cuts
        lowest = np.delete(lowest, np.flatnonzero(hidden) + 1)


def _without_empty(cells: Cells) -> Cells:
    """Return the cells without empty ones; the cell of zero is always kept."""
    empty = np.diff(cells.ends) == 0
    empty[cells.zero] = False
    kept = np.append(~empty, True)
    return Cells(cells.ends[kept], cells.zero - int(np.count_nonzero(empty[: cells.zero])))
