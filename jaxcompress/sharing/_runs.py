"""Optimal clusterings of sorted numbers: where to cut them into k runs.

Minimising the squared error to the means is maximising `sum_runs (sum of run)^2 / (size of run)`.
The best start of the last run moves right with its end, so that dynamic programming over a grid
of `b` places takes `k * b * log(b)` operations by divide and conquer.
"""

import numpy as np

_MOST_ROUNDS = 10_000
_WINDOW = 33  # places considered for each cut in a round of refinement


class Runs:
    """Sorted numbers with prefix counts and sums, ready to be cut.

    Attributes:
        distinct: how many distinct numbers there are.
        values: `[size]` ascending numbers; equal ones are merged where there are many.
    """

    def __init__(self, ordered: np.ndarray, starts: np.ndarray | None = None) -> None:
        """Take at least one number, in ascending order, and where they change, if known."""
        starts = changes(ordered) if starts is None else starts
        self.distinct = len(starts) - 1
        sums = np.empty(ordered.size + 1)
        sums[0] = 0
        np.cumsum(ordered, dtype=np.float64, out=sums[1:])
        self._total = ordered.size
        self._mean = sums[-1] / ordered.size  # subtracting it keeps the squares small
        if 2 * self.distinct > ordered.size:
            self.values, self._counts, self._sums = ordered, None, sums
        else:
            self._counts = starts
            self.values, self._sums = ordered[starts[:-1]], sums[starts]
        self.size = self.values.size

    def _before(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return count and centred sum of the numbers that lie before each place."""
        counts = (places if self._counts is None else self._counts[places]).astype(np.float64)
        return counts, self._sums[places] - self._mean * counts

    def places(self, ends: np.ndarray) -> np.ndarray:
        """Return where runs end among the original numbers."""
        return ends if self._counts is None else self._counts[ends]

    def means(self, ends: np.ndarray) -> np.ndarray:
        """Return the mean of each run between neighbouring `ends`."""
        counts, sums = self._before(ends)
        return self._mean + np.diff(sums) / np.diff(counts)

    def grid(self, bins: int) -> np.ndarray:
        """Return places that cut the values into at most `bins` bins of roughly equal error.

        Bins of the largest `count * width^2` are halved at their middle value, so that the grid
        follows the density and covers the tails; if there are few values, each has its own bin.
        """
        edges = np.array([0, self.size])
        while True:
            low = self.values[edges[:-1]].astype(np.float64)
            high = self.values[edges[1:] - 1].astype(np.float64)
            error = np.diff(self._before(edges)[0]) * (high - low) ** 2
            room = bins - len(error)
            worst = np.argsort(-error, kind="stable")[: min(room, np.count_nonzero(error))]
            worst = worst[error[worst] >= error.mean()]
            if not len(worst):
                return edges
            middle = ((low + high) / 2)[worst].astype(self.values.dtype)
            split = np.searchsorted(self.values, middle, side="right")
            # Rounding may put the middle on an end of its bin, and the split with it.
            split = np.clip(split, edges[:-1][worst] + 1, edges[1:][worst] - 1)
            edges = np.unique(np.concatenate([edges, split]))

    def best(self, k: int) -> np.ndarray:
        """Return the ends of the best `k` runs, or of one run for each distinct number if fewer.

        They are exact for few values; for many values ends on a grid are refined.
        """
        if self.distinct <= k:
            return changes(self.values)
        grid = self.grid(int(np.clip(32 * k, 512, 8192)))
        ends = self.optimal(grid, k)
        return ends if len(grid) > self.size else self.refine(ends)

    def optimal(self, grid: np.ndarray, k: int) -> np.ndarray:
        """Return the ends of the best `k` runs with all ends on `grid`, exactly."""
        return grid[_traced_back(self._starts(grid, k), len(grid) - 1)]

    def optimal_up_to(self, grid: np.ndarray, k: int) -> list[np.ndarray]:
        """Return the ends of the best one, two, ... and `k` runs with all ends on `grid`."""
        starts = self._starts(grid, k)
        return [grid[_traced_back(starts[:run], len(grid) - 1)] for run in range(k)]

    def _starts(self, grid: np.ndarray, k: int) -> np.ndarray:
        """Return `[k - 1, b]`: where the last of 2, 3, ... runs starts, by its end."""
        counts, sums = self._before(grid)
        best = np.full(len(grid), -np.inf)
        best[1:] = sums[1:] ** 2 / counts[1:]
        starts = np.empty((k - 1, len(grid)), np.int32)
        for run, start in enumerate(starts, 1):
            best = _add_run(best, counts, sums, start, run)
        return starts

    def refine(self, ends: np.ndarray) -> np.ndarray:
        """Move all inner ends together until no window of places holds a better clustering.

        Dynamic programming over 33 places for each end finds the best combination; windows start
        with the width of the neighbouring runs and shrink to single values.
        """
        if len(ends) < 3:
            return ends
        offsets = np.linspace(-1, 1, _WINDOW)
        radius = (ends[2:] - ends[:-2]) / 2
        for _ in range(_MOST_ROUNDS):
            moved = self._best_in(ends, ends[1:-1, None] + np.rint(radius[:, None] * offsets))
            settled = np.array_equal(moved, ends)
            ends = moved
            if settled and radius.max() <= _WINDOW // 2:
                return ends
            if settled:
                radius = np.maximum(radius / 4, _WINDOW // 2)
        return ends  # rounded sums could make it alternate for ever

    def _best_in(self, ends: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the best ends with the i-th inner one at one of `places[i]`."""
        places = np.clip(places, 1, self.size - 1).astype(np.int64)
        counts, sums = self._before(places)
        best = sums[0] ** 2 / counts[0]
        last = sums[-1] ** 2 / (self._total - counts[-1])  # the centred sum of everything is zero
        length = counts[1:, :, None] - counts[:-1, None, :]  # [run, end, start]
        square = (sums[1:, :, None] - sums[:-1, None, :]) ** 2
        gains = np.where(length > 0, square / np.where(length > 0, length, 1), -np.inf)
        back = []
        columns = np.arange(places.shape[1])
        for gain in gains:
            candidates = best + gain
            back.append(candidates.argmax(axis=1))
            best = candidates[columns, back[-1]]
        choice = [int((best + last).argmax())]
        for start in back[::-1]:
            choice.append(int(start[choice[-1]]))
        moved = ends.copy()
        moved[1:-1] = places[np.arange(len(places)), choice[::-1]]
        return moved


def changes(ordered: np.ndarray) -> np.ndarray:
    """Return where sorted numbers change, 0 and the size included."""
    inner = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.concatenate([[0], inner, [ordered.size]]) if ordered.size else np.zeros(1, int)


def _traced_back(starts: np.ndarray, last: int) -> list[int]:
    """Return where runs end, from the starts of runs and the end of the last."""
    ends = [last]
    for start in starts[::-1]:
        ends.append(int(start[ends[-1]]))
    return [0, *ends[::-1]]


def _add_run(
    best: np.ndarray, counts: np.ndarray, sums: np.ndarray, start: np.ndarray, run: int
) -> np.ndarray:
    """Return the best gain of `run + 1` runs up to each place; write the last run's start.

    Args:
        best: `[b]` best gain of `run` runs up to each place.
        counts: `[b]` how many numbers lie before each place.
        sums: `[b]` their centred sum.
        start: `[b]` receives the place where the last run starts.
        run: number of runs before.
    """
    first, last = run + 1, len(best) - 1  # every run must have at least one value
    gain = np.full(len(best), -np.inf)
    start[:] = 0
    stride = 1 << (last - first + 1).bit_length()
    while stride := stride >> 1:
        places = np.arange(first + stride - 1, last + 1, 2 * stride)
        if not len(places):
            continue
        # The starts for the neighbours settled in earlier rounds bound the starts here.
        left, right = places - stride, places + stride
        low = np.where(left >= first, start[np.maximum(left, 0)], run)
        high = np.where(right <= last, start[np.minimum(right, last)], last)
        width = np.minimum(high, places - 1) - low + 1
        offset = np.cumsum(width) - width
        tried = np.arange(width.sum()) + np.repeat(low - offset, width)
        end = np.repeat(places, width)
        value = best[tried] + (sums[end] - sums[tried]) ** 2 / (counts[end] - counts[tried])
        gain[places] = np.maximum.reduceat(value, offset)
        hits = np.flatnonzero(value == np.repeat(gain[places], width))
        start[places] = tried[hits[np.searchsorted(hits, offset)]]
    return gain
