"""Estimators: functions from samples to the range of numbers that a grid covers.

A wide range clips nothing and has a coarse step size; a narrow one clips and has a fine one. Exact
zeros lie on every grid, so they never count.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.quantization.grids import Grid

_PART = 1 << 16  # numbers seen at a time
_BINS, _THRESHOLDS = 2048, 128


class Samples(NamedTuple):
    """Numbers to be rounded, one row for each grid.

    Attributes:
        values: `[rows, n]` finite numbers.
        counts: `[rows, n]` how often each occurred, such as the counts of a histogram whose middles
            of bins are the values; None for once each.
        low: `[rows]` smallest number, if it is known more exactly than from `values`.
        high: `[rows]` largest number, likewise.
    """

    values: np.ndarray
    counts: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class Range(NamedTuple):
    """The range that a grid covers, one for each row; other numbers are clipped to it.

    Attributes:
        low: `[rows]` smallest numbers, at most 0.
        high: `[rows]` largest numbers, at least 0.
    """

    low: np.ndarray
    high: np.ndarray


Estimator = Callable[[Samples, Grid], Range]
"""Decides from samples which range a grid covers."""


def min_max(samples: Samples, grid: Grid) -> Range:
    """Cover all numbers: from the smallest to the largest, and 0.

    Example:
        >>> from jaxcompress.quantization import make_grid
        >>> low, high = min_max(Samples(np.array([[0.5, 2.0], [-3.0, 1.0]])), make_grid(8))
        >>> low.tolist(), high.tolist()
        ([0.0, -3.0], [2.0, 1.0])
    """
    del grid
    values = samples.values
    low = values.min(axis=1, initial=0) if samples.low is None else samples.low
    high = values.max(axis=1, initial=0) if samples.high is None else samples.high
    return Range(
        np.minimum(np.asarray(low, np.float64), 0), np.maximum(np.asarray(high, np.float64), 0)
    )


def percentile(*, keep: float) -> Estimator:
    """Cover a fraction of the numbers that are not zero.

    On a symmetric grid these are the numbers of the smallest magnitude; on an affine grid all
    except `(1 - keep) / 2` at each end.

    Args:
        keep: the fraction, above 0 and at most 1.

    Raises:
        ValueError: `keep` is out of range.
        TypeError: `keep` is not a number.

    Example:
        >>> from jaxcompress.quantization import make_grid
        >>> percentile(keep=0.75)(Samples(np.array([[1.0, -2.0, 3.0, -90.0, 0.0]])), make_grid(8))
        Range(low=array([-3.]), high=array([3.]))
    """
    fraction = check_positive("keep", keep, "pass 0.999, say")
    if fraction > 1:
        raise ValueError(f"keep: must be at most 1, got {keep}; pass a fraction, 0.999 say.")

    return functools.partial(in_parts, functools.partial(_inside, fraction))


def kl_optimal(samples: Samples, grid: Grid) -> Range:
    """Search for the clipping that keeps most information, by divergence of histograms.

    Magnitudes make a histogram of 2048 bins. For each of up to 128 thresholds, P is the histogram
    below the threshold, with all clipped numbers added to its last bin. Q is the same histogram
    without the clipped numbers, averaged over the bins of each level that are not empty. The
    threshold of least `KL(P || Q)` is chosen, for both signs. The method is made for activations;
    `mse_optimal` suits weights better.

    Example:
        >>> from jaxcompress.quantization import make_grid
        >>> values = np.append(np.linspace(0.01, 1, 10_000), 100.0)[None]
        >>> bool(kl_optimal(Samples(values), make_grid(8)).high[0] < 10)
        True

    Source: Migacz 2017, 8-bit inference with TensorRT, GPU Technology Conference.
    """
    return in_parts(_least_divergent, samples, grid)


def in_parts(search: Estimator, samples: Samples, grid: Grid, *, numbers: int = _PART) -> Range:
    """Return the result of `search`, which sees a few rows at a time to save memory."""
    whole = min_max(samples, grid)
    low, high = np.empty_like(whole.low), np.empty_like(whole.high)
    rows = max(numbers // max(samples.values.shape[1], 1), 1)
    for start in range(0, len(low), rows):
        part = slice(start, start + rows)
        counts = None if samples.counts is None else samples.counts[part]
        few = Samples(samples.values[part], counts, whole.low[part], whole.high[part])
        low[part], high[part] = search(few, grid)
    return Range(low, high)


def _inside(fraction: float, samples: Samples, grid: Grid) -> Range:
    """Return the range in which a fraction of the numbers lies."""
    if grid.symmetric:
        high = _quantile(np.abs(samples.values), samples, fraction)
        return Range(-high, high)
    low = -_quantile(-samples.values, samples, (1 + fraction) / 2)
    high = _quantile(samples.values, samples, (1 + fraction) / 2)
    return Range(np.minimum(low, 0), np.maximum(high, 0))


def _least_divergent(samples: Samples, grid: Grid) -> Range:
    """Return the range with the least divergence of histograms."""
    whole = min_max(samples, grid)
    most = np.maximum(-whole.low, whole.high)
    one_sided = not grid.symmetric and not whole.low.any()
    levels = grid.highest - grid.lowest if one_sided else grid.highest
    counts = _histograms(samples, most)
    best, least = np.full(len(counts), _BINS), np.full(len(counts), np.inf)
    # From the widest to the narrowest: of equal ones the widest is kept.
    for bins in np.unique(np.linspace(_BINS, levels + 1, _THRESHOLDS).astype(int))[::-1]:
        divergence = _divergence(counts, int(bins), levels)
        better = divergence < least
        best[better], least[better] = bins, divergence[better]
    threshold = most * best / _BINS
    return Range(np.maximum(whole.low, -threshold), np.minimum(whole.high, threshold))


def _quantile(values: np.ndarray, samples: Samples, fraction: float) -> np.ndarray:
    """Return for each row the least value that a fraction of the non-zero ones do not exceed."""
    order = np.argsort(values, axis=1)
    kept = samples.values != 0
    counts = kept.astype(np.float64) if samples.counts is None else kept * samples.counts
    below = np.cumsum(np.take_along_axis(counts, order, axis=1), axis=1)
    # Sums are rounded: a relative gap of 1e-12 to the fraction counts as reaching it.
    place = np.argmax(below >= fraction * below[:, -1:] * (1 - 1e-12), axis=1)
    found = np.take_along_axis(order, place[:, None], axis=1)
    chosen = np.take_along_axis(values, found, axis=1)[:, 0].astype(np.float64)
    return np.where(below[:, -1] > 0, chosen, 0.0)


def _blocks(samples: Samples) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield values and counts, some columns at a time where rows are long."""
    rows, n = samples.values.shape
    columns = max(_PART // max(rows, 1), 1)
    for start in range(0, n, columns):
        part = (slice(None), slice(start, start + columns))
        yield samples.values[part], None if samples.counts is None else samples.counts[part]


def _histograms(samples: Samples, most: np.ndarray) -> np.ndarray:
    """Return how many magnitudes lie in each bin from 0 to `most`, without exact zeros."""
    unit = np.where(most > 0, most, 1.0)[:, None]
    result = np.zeros((len(most), _BINS))
    for values, counts in _blocks(samples):
        places = np.minimum((np.abs(values) / unit * _BINS).astype(np.int64), _BINS - 1)
        places += _BINS * np.arange(len(most))[:, None]
        weights = (values != 0) * (1.0 if counts is None else counts)
        found = np.bincount(places.ravel(), weights.ravel(), minlength=result.size)
        result += found.reshape(result.shape)
    return result


def _divergence(counts: np.ndarray, bins: int, levels: int) -> np.ndarray:
    """Return KL(P || Q) of each row for the range of its first `bins`."""
    inside = counts[:, :bins]
    total = counts.sum(axis=1, keepdims=True)
    p = inside.copy()
    p[:, -1] += total[:, 0] - inside.sum(axis=1)
    starts = np.arange(levels) * bins // levels
    lengths = np.diff(starts, append=bins)
    sums = np.add.reduceat(inside, starts, axis=1)
    filled = np.add.reduceat((inside > 0).astype(np.float64), starts, axis=1)
    q = np.repeat(sums / np.maximum(filled, 1), lengths, axis=1) * (inside > 0)
    # A last bin with clipped numbers only is empty in Q: that makes the divergence large.
    p, q = p / np.maximum(total, 1e-300), q / np.maximum(q.sum(axis=1, keepdims=True), 1e-300)
    terms = p * np.log(np.maximum(p, 1e-300) / np.maximum(q, 1e-12))
    return np.where(p > 0, terms, 0).sum(axis=1)
