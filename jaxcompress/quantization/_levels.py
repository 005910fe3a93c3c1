"""The levels of a layer that keep its outputs, and take few bits."""

import math
from typing import NamedTuple

import numpy as np

from jaxcompress.products.recursion import BLOCK, damped, sweep

_BLOCK = BLOCK
_UNSEEN = 0.5  # times a level is counted that does not occur
_MOST_LEVELS = 1 << 12  # levels further apart than that have the bits of the outermost


class Effort(NamedTuple):
    """How levels are searched for.

    Attributes:
        descents: how often all weights are set anew.
        rate_weight: price of a bit, as in `fit_rounding`.
    """

    descents: int
    rate_weight: float


class Channels(NamedTuple):
    """Weights with the same inputs, all `[n, channels]`, and what each may become.

    Attributes:
        weights: before rounding; those that are 0 stay so.
        scale: of a level.
        low: the lowest level.
        high: the highest level.
        binary: whether there are the levels -1 and 1 alone.
        table: ascending, the levels that there are; None for all integers.
    """

    weights: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    binary: bool = False
    table: np.ndarray | None = None

    def errors(self, levels: np.ndarray) -> np.ndarray:
        """Return by how much the weights are off."""
        return self.scale * levels - self.weights

    def rounded(self, row: int, targets: np.ndarray) -> np.ndarray:
        """Return the levels of a row of weights that are nearest to the targets."""
        wanted = targets / self.scale[row]
        if self.table is not None:
            nearest = self.table[places_in(self.table, wanted)]
        elif self.binary:
            nearest = np.where(wanted < 0, -1, 1)
        else:
            nearest = np.rint(wanted)
        return self.kept(row, np.clip(nearest, self.low[row], self.high[row]))

    def kept(self, row: int, levels: np.ndarray) -> np.ndarray:
        """Return levels with those of weights that are 0 set to 0."""
        return np.where(self.weights[row] == 0, 0, levels)

    def nearer_zero(self, levels: np.ndarray) -> np.ndarray:
        """Return for each level the next one towards 0."""
        if self.table is None:
            return levels - np.sign(levels)
        place = places_in(self.table, levels)
        return self.table[place - np.sign(levels).astype(np.intp)]


def places_in(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the places of the nearest entries of an ascending table."""
    return np.searchsorted((table[1:] + table[:-1]) / 2, values)


class Price:
    """What levels cost, by how often they occur.

    Args:
        levels: `[n, channels]` of now.
        table: as of `Channels`.
        weight: of a bit, above 0.
    """

    def __init__(self, levels: np.ndarray, table: np.ndarray | None, weight: float) -> None:
        self._table = table
        self._lowest = 0 if table is not None else max(int(levels.min()), -_MOST_LEVELS)
        places = self._places(levels)
        counts = np.bincount(places.ravel(), minlength=1 if table is None else table.size)
        self._costs = -weight * np.log2(np.maximum(counts, _UNSEEN) / places.size)

    def of(self, levels: np.ndarray) -> np.ndarray:
        """Return the price of each level: `weight * -log2(p)`."""
        return self._costs.take(self._places(levels), mode="clip")

    def _places(self, levels: np.ndarray) -> np.ndarray:
        if self._table is not None:
            return places_in(self._table, levels)
        found = levels.astype(np.int64) - self._lowest
        return np.clip(found, 0, 2 * _MOST_LEVELS)


def best_levels(
    channels: Channels, levels: np.ndarray, gram: np.ndarray, effort: Effort
) -> np.ndarray:
    """Return the levels of least squared error of the outputs, plus the price of their bits.

    Args:
        channels: the weights.
        levels: `[n, channels]` to begin with; a channel keeps them where they are better.
        gram: `[n, n]` second moments of the inputs.
        effort: how long to search.
    """
    mean = np.mean(np.diag(gram)) if len(gram) else 0.0
    if mean <= 0:  # inputs that are always zero, or no weights
        return levels
    order = np.argsort(np.diag(gram), kind="stable")
    matrix = damped(gram)[np.ix_(order, order)]
    # Scaled by the coarsest grid of each channel, in single precision: twice as fast.
    coarsest = channels.scale.max(axis=0)
    sorted_ = Channels(
        weights=(channels.weights / coarsest)[order].astype(np.float32),
        scale=(channels.scale / coarsest)[order].astype(np.float32),
        low=channels.low[order].astype(np.float32),
        high=channels.high[order].astype(np.float32),
        binary=channels.binary,
        table=None if channels.table is None else channels.table.astype(np.float32),
    )
    factor = np.linalg.cholesky(matrix).T
    rate = effort.rate_weight
    weight = rate * _slope(sorted_, levels, factor) if rate else 0.0

    def price_of(levels: np.ndarray, table: np.ndarray | None) -> Price | None:
        return Price(levels, table, weight) if weight else None

    factor, matrix = factor.astype(np.float32), matrix.astype(np.float32)
    found = levels[order].astype(np.float32)
    price = price_of(found, sorted_.table)
    found = _sweep(sorted_, np.zeros_like(found), factor, np.square(np.diag(factor)), price)
    for _ in range(effort.descents):
        price = price_of(found, sorted_.table)
        found = _sweep(sorted_, found, matrix, np.diag(matrix), price)
    new = np.empty_like(levels)
    new[order] = found
    price = price_of(new, channels.table)

    def loss(levels: np.ndarray) -> np.ndarray:
        errors = channels.errors(levels)
        squares = np.einsum("nc,nc->c", errors, gram @ errors) / mean
        return squares + coarsest**2 * price.of(levels).sum(axis=0) if price else squares

    return np.where(loss(new) < loss(levels), new, levels)


def _slope(channels: Channels, levels: np.ndarray, factor: np.ndarray) -> float:
    """Return by how much one bit a weight lowers the squared error at this step size.

    Of fine steps `s` the error is `h s^2 / 12` a weight and falls by a factor of 4 with a bit, by
    `(ln 2 / 6) h s^2` a bit at the margin, where `h` is the geometric mean of the squared diagonal
    of the factor: the part of an input that the others do not tell.
    """
    spread = math.exp(float(np.mean(np.log(np.square(np.diag(factor))))))
    step = channels.scale
    if channels.table is not None:
        used = np.unique(levels)
        gaps = np.diff(used) if used.size > 1 else np.abs(used)
        step = step * float(np.median(gaps))
    return math.log(2) / 6 * spread * float(np.mean(np.square(step)))


def _sweep(
    channels: Channels,
    levels: np.ndarray,
    matrix: np.ndarray,
    curvature: np.ndarray,
    price: Price | None,
) -> np.ndarray:
    """Return levels, each row set in turn, last to first, to the best given all others.

    Args:
        channels: the weights.
        levels: of now.
        matrix: as for `sweep`.
        curvature: `[n]`, what the square of an error of a row counts.
        price: of levels; None for the least error.
    """
    levels = levels.copy()

    def choose(row: int, best: np.ndarray) -> np.ndarray:
        targets = channels.weights[row] + best
        found = channels.rounded(row, targets)
        if price is not None and not channels.binary:
            found = _cheapest(channels, row, targets, found, curvature[row], price)
        levels[row] = found
        return channels.scale[row] * found - channels.weights[row]

    sweep(matrix, channels.errors(levels), choose, block=_BLOCK)
    return levels


def _cheapest(
    channels: Channels,
    row: int,
    targets: np.ndarray,
    nearest: np.ndarray,
    curvature: float,
    price: Price,
) -> np.ndarray:
    """Return the nearest level, the next one towards 0, or 0: whichever costs least."""
    options = np.stack([nearest, channels.nearer_zero(nearest), np.zeros_like(nearest)])
    options = np.clip(options, channels.low[row], channels.high[row])
    costs = curvature * np.square(options * channels.scale[row] - targets)
    costs += price.of(options)
    best = np.take_along_axis(options, np.argmin(costs, axis=0)[None], axis=0)[0]
    return channels.kept(row, best)
