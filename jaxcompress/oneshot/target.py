"""Files of a wanted size: one step size for all, estimated from samples, corrected by files."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxcompress.checks import is_finite
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.sources import Track, untracked
from jaxcompress.oneshot.stream import Pruning
from jaxcompress.sharing.magnitudes import usual

_SAMPLE = 1 << 14  # weights of a tensor that stand for all of them
_ROUNDING = 0.5  # of a step size
_FINEST, _COARSEST = 2.0**-10, 2.0**8  # step sizes tried, per root mean square weight
ROUNDS = 8
CLOSE = 0.985
"""Fraction of the size from which the search stops."""

MARGIN = 0.995
"""Fraction aimed at, so that a file does not overshoot."""

_SAME = 1.0005
_MOST_DOUBLINGS = 20.0

Attempt = Callable[[Treatments], int]
"""Makes the file and returns its size in bytes."""


class _Sample(NamedTuple):
    """Magnitudes of a tensor in root mean squares; its size, bytes a number, and finer steps."""

    magnitudes: np.ndarray
    size: int
    itemsize: int
    finer: float


class Sketch:
    """A sample of each tensor, from which the size of the file is estimated by step size."""

    def __init__(
        self, pruning: Pruning, treatments: Treatments, *, track: Track = untracked
    ) -> None:
        """Sample the tensors of the usual fineness; the others count as they are."""
        random = np.random.default_rng(0)
        self._samples: list[_Sample] = []
        paths = pruning.source.paths
        usual = [i for i in pruning.chosen if treatments.aims(paths[i])]
        sampled = []
        for index in track(usual, "sampling", pruning.bytes_of):
            sample = _sampled(random, pruning.pruned(index), pruning.finer(index))
            if is_finite(sample.magnitudes):
                self._samples.append(sample)
                sampled.append(index)
        others = set(range(len(pruning.kept))).difference(sampled)
        self.numbers = sum(sample.size for sample in self._samples) or 1
        self.other_bytes = sum(pruning.bytes_of(index) for index in others)

    def guess_bytes(self, step_size: float) -> float:
        """Return about how many bytes codes take for a step size in root mean squares."""
        total = 0.0
        for magnitudes, size, itemsize, finer in self._samples:
            scaled = np.minimum(magnitudes * (finer / step_size), 1e6)
            levels = np.floor(scaled + _ROUNDING).astype(np.int64)
            counts = np.bincount(levels)
            counts = counts[counts > 0]
            bits = counts @ np.log2(magnitudes.size / counts) + np.count_nonzero(levels)  # signs
            total += bits / 8 * size / max(magnitudes.size, 1) + 2 * (len(counts) - 1) * itemsize
        return float(total)

    def step_size_for(self, size_bytes: float, low: float, high: float) -> float:
        """Return the smallest step size between two at which the estimate is at most a size."""
        if self.guess_bytes(low) <= size_bytes:
            return low
        while high > _SAME * low:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.guess_bytes(middle) <= size_bytes else (middle, high)
        return high


def aim(
    pruning: Pruning,
    treatments: Treatments,
    target_bytes: int,
    attempt: Attempt,
    *,
    track: Track = untracked,
) -> None:
    """Make files until one is at most `target_bytes` and close to it.

    All tensors have the same step size relative to their weights, small ones a finer one; each file
    corrects the estimates of the sketch. `attempt` must keep the largest file that fits.

    Args:
        pruning: which weights are kept, and where they come from.
        treatments: with a step size.
        target_bytes: largest size of the file.
        attempt: makes a file.
        track: shows progress.

    Raises:
        ValueError: no file fits; the message names the smallest size.
    """
    sketch = Sketch(pruning, treatments, track=track)
    low, high = _FINEST, _COARSEST  # sizes are too large up to the one, and fit from the other
    goal, sizes, step_size = MARGIN * target_bytes, [], low
    wanted, points = goal - sketch.other_bytes, []
    for _ in range(ROUNDS):
        guessed = sketch.step_size_for(max(wanted, 1.0), low, high)
        is_wrong = sizes and not _SAME * low < guessed < high / _SAME
        if is_wrong or (len(sizes) > 1 and sizes[-1] == sizes[-2]):  # whole bits have plateaus
            doublings = 8 * (sizes[-1] - goal) / sketch.numbers  # a bit fewer for each
            guessed = step_size * 2 ** min(max(doublings, -_MOST_DOUBLINGS), _MOST_DOUBLINGS)
            if not _SAME * low < guessed < high / _SAME:
                guessed = math.sqrt(low * high)
        step_size = guessed
        size = attempt(treatments.with_step_size(step_size))
        sizes.append(size)
        if CLOSE * target_bytes <= size <= target_bytes:
            return
        low, high = (low, step_size) if size <= target_bytes else (step_size, high)
        is_finest = step_size == _FINEST and size <= target_bytes
        if is_finest:
            if not pruning.thresholds and treatments.allow_exact:
                attempt(treatments._replace(is_exact=True))  # it may fit without any loss
        if is_finest or high <= _SAME * low:
            break
        points.append((sketch.guess_bytes(step_size), size))
        wanted = _corrected(points, goal, sketch.other_bytes)
    if min(sizes) > target_bytes:
        raise ValueError(
            f"target_bytes: a file of at most {target_bytes:,} bytes cannot be made with errors of "
            f"at most {pruning.max_error:.3g} in each tensor, the smallest has {min(sizes):,}; "
            "raise it, allow larger errors (max_error), remove more weights, or take more tensors "
            "into the scope; rules that say bits, clusters or a step size stay as they are."
        )


def _sampled(random: np.random.Generator, tensor: np.ndarray, finer: float) -> _Sample:
    """Return a sample of the magnitudes of a tensor, relative to their root mean square."""
    flat = tensor.reshape(-1)
    if flat.size > _SAMPLE:
        flat = flat[random.integers(0, flat.size, _SAMPLE)]
    magnitudes = np.abs(flat.astype(np.float64))
    largest = magnitudes.max(initial=0)
    if 0 < largest < math.inf:
        magnitudes /= largest
        positive = magnitudes[magnitudes > 0]
        magnitudes /= usual(math.sqrt(np.mean(np.square(positive))), positive)
    return _Sample(magnitudes, tensor.size, tensor.itemsize, finer)


def _corrected(points: list[tuple[float, int]], goal: float, other_bytes: int) -> float:
    """Return the estimate at which the size will be `goal`, on a line through two points.

    Args:
        points: estimates of the sketch, and the sizes of the files.
        goal: wanted size.
        other_bytes: about the size where the estimate is zero, the second point if there is one.
    """
    (guess, size), *others = sorted(points, key=lambda point: abs(point[1] - goal))
    others = [point for point in others if point[1] != size]  # grids of whole bits have plateaus
    across = [point for point in others if (point[1] > goal) != (size > goal)]
    before = [*across, *others, (0.0, min(other_bytes, size - 1))][0]
    rise, run = size - before[1], guess - before[0]
    return guess + (goal - size) * (run / rise if rise * run > 0 else 1.0)
