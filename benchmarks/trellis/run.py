"""Trellis-coded quantization beside the scalar rounding of `fit_rounding`: bits at equal error.

    taskset -c 0 python -m benchmarks.trellis

Independent weights, 64 rows of 1,500 in each. Two grids take turns: even multiples of a step size,
and odd ones with 0. Which one is next follows from the parity of the levels before (4 or 8 states),
so that levels of one grid reach the values of both. A level is coded with the frequencies of its
grid. The Viterbi algorithm finds the levels of least error plus price of bits. Bits are entropies.

For each source the convex hull of all step sizes and prices is compared, at the error where scalar
rounding takes the bits of the row.

Source: Marcellin and Fischer 1990, doi:10.1109/26.46532; the grids, as the dependent quantization
of video and of NNCodec: Schwarz et al. 2019, doi:10.1109/DCC.2019.00025. The transitions are those
of the Versatile Video Coding standard (4 states) and of its successor's test model (8 states).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxcompress as jc
from benchmarks.lib.record import write
from benchmarks.trellis.table import TRELLIS

SHAPE = (64, 1500)
BITS = (3.5, 2.5, 1.5, 0.75)
STEP_SIZES = 2.0 ** np.arange(-3.5, 1.6, 0.5)
PRICES = (0.1, 0.25, 0.5, 0.75, 1.0)
ROUNDS = 3  # levels, then frequencies
_MOST = 128  # the largest level
_FAR = 1e30


class Trellis(NamedTuple):
    """Which grid is next.

    Attributes:
        after: `[states, 2]` the state after a level, by its parity.
        grid: `[states]` 0 for even multiples, 1 for odd ones and 0.
    """

    after: tuple[tuple[int, int], ...]
    grid: tuple[int, ...]


TRELLISES = {
    4: Trellis(((0, 2), (2, 0), (1, 3), (3, 1)), (0, 0, 1, 1)),
    8: Trellis(
        ((0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5)),
        (0, 1, 0, 1, 0, 1, 0, 1),
    ),
}

Point = tuple[float, float]
"""Bits a weight and mean squared error."""


def sources() -> Iterator[tuple[str, np.ndarray]]:
    """Yield weights of variance 1 by name."""
    random = np.random.default_rng(0)
    yield "Gaussian", random.normal(size=SHAPE)
    yield "Laplacian", random.laplace(size=SHAPE) / np.sqrt(2)


def scalar(weights: np.ndarray) -> Iterator[Point]:
    """Yield what `fit_rounding` makes of weights whose inputs do not tell of each other."""
    entries = np.arange(weights.size).reshape(1, *weights.shape)
    layer = jc.quantization.Layer(entries, np.eye(len(weights))[None])
    moments, tree = jc.quantization.Moments({"w": [layer]}, {}), {"w": weights}
    for step_size in STEP_SIZES:
        rounded = jc.quantization.round_to_step_sizes(tree, {"w": float(step_size)})
        for price in (0.0, *PRICES):
            fitted = jc.fit_rounding(tree, rounded, moments, descents=0, rate_weight=price)
            off = np.asarray(fitted["w"].dense()) - weights
            yield entropy(np.asarray(fitted["w"].values)), float(np.mean(off**2))


def coded(weights: np.ndarray, trellis: Trellis) -> Iterator[Point]:
    """Yield what the trellis makes of weights."""
    for step_size in STEP_SIZES / 2:  # of both grids together
        for price in PRICES:
            costs = np.tile(1 + np.abs(np.arange(-_MOST, _MOST + 1)) / 2, (2, 1))
            slope = price * np.log(2) / 6 * (2 * step_size) ** 2
            levels = grids = np.zeros(weights.shape, int)
            for _ in range(ROUNDS):
                levels, grids = best_path(
                    weights / step_size, trellis, costs * slope / step_size**2
                )
                costs = np.stack([bits_of(levels[grids == grid]) for grid in (0, 1)])
            off = step_size * numbers(levels, grids) - weights
            parts = [levels[grids == grid] for grid in (0, 1)]
            bits = sum(entropy(part) * part.size for part in parts if part.size) / weights.size
            yield float(bits), float(np.mean(off**2))


def numbers(levels: np.ndarray, grids: np.ndarray) -> np.ndarray:
    """Return levels as multiples of the step size."""
    return 2 * levels - grids * np.sign(levels)


def best_path(
    weights: np.ndarray, trellis: Trellis, costs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of least squared error plus costs, and the grid of each.

    Args:
        weights: `[length, n]` in steps; each column is a path from state 0.
        trellis: which grid is next.
        costs: `[2, 2 * _MOST + 1]` of levels, by grid.
    """
    states, (length, n) = len(trellis.grid), weights.shape
    total = np.full((states, n), _FAR)
    total[0] = 0
    before = np.zeros((length, states, n), np.int8)
    chosen = np.zeros((length, states, n), np.int16)
    for place, targets in enumerate(weights):
        options = [candidates(targets, grid, costs[grid]) for grid in (0, 1)]
        new = np.full((states, n), _FAR)
        for state, grid in enumerate(trellis.grid):
            for parity, (cost, levels) in enumerate(options[grid]):
                after = trellis.after[state][parity]
                better = total[state] + cost < new[after]
                new[after] = np.where(better, total[state] + cost, new[after])
                before[place, after] = np.where(better, state, before[place, after])
                chosen[place, after] = np.where(better, levels, chosen[place, after])
        total = new
    state, every = total.argmin(axis=0), np.arange(n)
    levels, grids = np.empty((2, length, n), int)
    for place in reversed(range(length)):
        levels[place] = chosen[place, state, every]
        state = before[place, state, every]
        grids[place] = np.array(trellis.grid)[state]
    return levels, grids


def candidates(
    targets: np.ndarray, grid: int, costs: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each parity the least cost and its level: near the target, or 0."""
    nearest = np.sign(targets) * np.rint((np.abs(targets) + grid) / 2)
    levels = np.stack([nearest + d for d in (-2, -1, 0, 1, 2)] + [0 * nearest]).astype(int)
    levels = np.clip(levels, -_MOST, _MOST)
    cost = (numbers(levels, np.full(levels.shape, grid)) - targets) ** 2 + costs[levels + _MOST]
    found = []
    for parity in (0, 1):
        own = np.where(levels % 2 == parity, cost, _FAR)
        best = own.argmin(axis=0)[None]
        found.append(tuple(np.take_along_axis(a, best, axis=0)[0] for a in (own, levels)))
    return found


def bits_of(levels: np.ndarray) -> np.ndarray:
    """Return the bits of each level by how often it occurs."""
    counts = np.bincount(levels + _MOST, minlength=2 * _MOST + 1)
    return -np.log2(np.maximum(counts, 0.5) / max(levels.size, 1))


def entropy(levels: np.ndarray) -> float:
    """Return the bits a level."""
    p = np.unique(levels, return_counts=True)[1] / levels.size
    return float(-np.sum(p * np.log2(p)))


def on_hull(points: Sequence[Point], at: float, of: int) -> float:
    """Return the other coordinate where the lower convex hull has one, over log2 of the error.

    Args:
        points: bits and error.
        at: bits if `of` is 1, log2 of the error if it is 0.
        of: 0 for bits, 1 for log2 of the error.
    """
    line: list[Any] = []
    for bits, error in sorted((b, float(np.log2(e))) for b, e in points):
        while len(line) > 1 and _turns_up(line[-2], line[-1], (bits, error)):
            line.pop()
        if not line or error < line[-1][1]:
            line.append((bits, error))
    bits, errors = np.array(line).T
    return float(np.interp(at, bits, errors) if of else np.interp(-at, -errors, bits))


def _turns_up(a: Point, b: Point, c: Point) -> bool:
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


def main() -> None:
    """Measure and write the record."""
    figures = []
    for name, weights in sources():
        one = list(scalar(weights))
        others = {states: list(coded(weights, each)) for states, each in TRELLISES.items()}
        for bits in BITS:
            error = on_hull(one, bits, 1)
            row: dict[str, Any] = {"source": name, "bits": bits, "error": 2.0**error}
            row |= {f"bits_{k}": on_hull(points, error, 0) for k, points in others.items()}
            print(row, flush=True)
            figures.append(row)
    write(TRELLIS, seeds=[0], figures=figures)


if __name__ == "__main__":
    main()
