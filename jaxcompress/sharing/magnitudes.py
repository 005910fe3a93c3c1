"""Clusterings of numbers whose magnitudes differ by more than the digits of double precision.

`Runs` compares sums of squares. An outlier that is larger by twenty orders of magnitude hides the
differences of all other numbers there. If the two sides of a gap cost more in one cluster than some
clustering of all numbers, the best clustering cuts the gap. Such gaps part the numbers into pieces,
and each piece is clustered on its own scale.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from jaxcompress.sharing._runs import Runs

_SOUND = 2.0**-15  # of the spread: smaller errors are close to the rounding of sums of squares
_CLEAR = 1.001  # least ratio of a gap to an error
_SQUARABLE = 200  # binary exponents up to this one leave room for sums of squares
_SUMMABLE = 1000  # and up to this one for sums of millions
_OUTLYING = 2.0**20  # medians; a larger root mean square comes from outliers alone
_USUAL = 480  # largest binary exponents, up and down, of numbers with squares in range
_EXACT = 2.0**-16  # largest rounding error of the total sum, relative to the sum of a cluster
_BLOCK = (
    1 << 13
)  # numbers squared at a time: they fit the cache, and BLAS starts no threads for them


def best_means(ordered: np.ndarray, starts: np.ndarray, k: int) -> np.ndarray:
    """Return the means of the best `k` runs of sorted numbers.

    Args:
        ordered: numbers in ascending order, more than `k` of them distinct.
        starts: where they change, from `changes`.
        k: how many runs.
    """
    found = _clustering(ordered, k, starts)
    sizes = np.diff(found.places) * np.array(
        [_largest(run) for run in _parts(ordered, found.places)]
    )
    with np.errstate(over="ignore"):
        rounding = 2.0**-52 * ordered.size * _largest(ordered)
    if found.pieces is None and (rounding <= _EXACT * sizes).all():
        return np.ldexp(found.runs.means(found.ends), found.exponent)
    wide, exponent = _scaled(ordered, _SUMMABLE)
    parts = _parts(wide, found.places)
    means = np.array([np.clip(part.mean(dtype=np.float64), part[0], part[-1]) for part in parts])
    return np.ldexp(means, exponent)


def usual(root_mean_square: float, magnitudes: np.ndarray) -> float:
    """Return the root mean square, or the median if outliers or squares out of range dominate it.

    Args:
        root_mean_square: of some numbers.
        magnitudes: of a sample of them.

    Raises:
        ValueError: squares of such numbers are beyond double precision.
    """
    median = float(np.median(magnitudes))
    told = median / 2 <= root_mean_square <= _OUTLYING * median
    found = root_mean_square if told or not median else median
    if not 2.0**-_USUAL < found < 2.0**_USUAL:
        raise ValueError(
            f"params: weights must be between 1e-144 and 1e144, for their squares to be numbers, "
            f"got {found:.3g}; scale them to be near 1."
        )
    return found


class _Clustering(NamedTuple):
    """Runs of numbers near 1, their ends and the exponent, and better ends by pieces, if any."""

    runs: Runs
    ends: np.ndarray
    exponent: int
    pieces: np.ndarray | None

    @property
    def places(self) -> np.ndarray:
        """Where clusters end, 0 and the size included."""
        return self.runs.places(self.ends) if self.pieces is None else self.pieces


def _clustering(ordered: np.ndarray, k: int, starts: np.ndarray | None = None) -> _Clustering:
    scaled, exponent = _scaled(ordered, _SQUARABLE)
    runs = Runs(scaled, None if exponent else starts)  # scaled numbers may become equal
    ends = runs.best(k)
    return _Clustering(runs, ends, exponent, _by_pieces(ordered, runs.places(ends), k))


def _by_pieces(ordered: np.ndarray, places: np.ndarray, k: int) -> np.ndarray | None:
    """Return better places, found piece by piece; None if sums of squares are exact enough."""
    wide, found = _scaled(ordered, _SUMMABLE)[0], None
    error, cuts = _root_error(wide, places), np.empty(0, int)
    if error > _SOUND * _root_error(wide, [0, wide.size]):
        return None
    gaps = np.diff(wide.astype(np.float64)) / math.sqrt(2)
    while error:
        certain = np.flatnonzero(gaps > _CLEAR * error) + 1
        if len(certain) in (len(cuts), 0) or len(certain) >= k:
            break
        cuts = certain
        places = _shared_out(ordered, [0, *cuts.tolist(), ordered.size], k)
        before, error = error, _root_error(wide, places)
        if not error < before:
            break
        found = places
    return found


def _shared_out(ordered: np.ndarray, ends: Sequence[int], k: int) -> np.ndarray:
    """Return the best places of `k` clusters, none of which is in more than one piece."""
    pieces = list(_parts(ordered, ends))
    counts = [1] * len(pieces)
    many = [number for number, piece in enumerate(pieces) if piece[0] != piece[-1]]
    left = k - len(pieces)
    if len(many) == 1:
        counts[many[0]] += left
    elif many:
        for number, more in zip(many, _most_useful([pieces[n] for n in many], left), strict=True):
            counts[number] += more
    inner = [
        start + _clustering(piece, count).places[1:]
        for start, piece, count in zip(ends, pieces, counts, strict=False)
    ]
    return np.concatenate([[0], *inner])


def _most_useful(pieces: Sequence[np.ndarray], left: int) -> list[int]:
    """Return how many more clusters each piece gets, so that the total error is least.

    The error is convex in the number of clusters, so that a greedy choice is exact.
    """
    errors = []
    for piece in pieces:
        runs = Runs(_scaled(piece, _SQUARABLE)[0])
        most = min(left + 1, runs.distinct)
        grid = runs.grid(int(np.clip(32 * most, 512, 8192)))
        wide = _scaled(piece, _SUMMABLE)[0]
        errors.append(
            [_root_error(wide, runs.places(ends)) for ends in runs.optimal_up_to(grid, most)]
        )
    largest = max(own[0] for own in errors)
    saved = [-np.diff(np.square(np.array(own) / largest)) for own in errors]
    more = [0] * len(pieces)
    for _ in range(left):
        open_ = [number for number, own in enumerate(saved) if more[number] < len(own)]
        if not open_:
            break
        more[max(open_, key=lambda number: saved[number][more[number]])] += 1
    return more


def _parts(ordered: np.ndarray, ends: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
    return (ordered[start:stop] for start, stop in pairwise(ends))


def _largest(ordered: np.ndarray) -> float:
    return max(abs(float(ordered[0])), abs(float(ordered[-1])))


def _scaled(ordered: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Return scaled numbers with exponents in range, and the power of two that undoes the scaling.

    Numbers with exponents above `most`, or for sums of squares below `-most`, are scaled near 1.
    """
    exponent = math.frexp(_largest(ordered))[1]
    if exponent <= most and (exponent >= -most or most > _SQUARABLE):
        return ordered, 0
    target = 0 if most <= _SQUARABLE else most
    return np.ldexp(ordered, target - exponent), exponent - target


def _root_error(ordered: np.ndarray, places: Sequence[int] | np.ndarray) -> float:
    """Return the root of the sum of squared errors to the means, without overflow."""
    total = 0.0
    for run in _parts(ordered, places):
        mean = run.mean(dtype=np.float64)
        for start in range(0, run.size, _BLOCK):
            off = np.abs(run[start : start + _BLOCK] - mean)
            largest = float(off.max())
            if largest:
                total = math.hypot(total, largest * float(np.linalg.norm(off / largest)))
    return total
