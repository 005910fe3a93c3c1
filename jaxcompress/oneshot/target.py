"""Files of a wanted size: the price of a bit, estimated from samples, corrected by real files."""

import functools
import math
from collections.abc import Callable, Iterable

import numpy as np

from jaxcompress.oneshot.quantizers import weights_left
from jaxcompress.oneshot.sources import Track, untracked
from jaxcompress.oneshot.stream import Pruning, Quantizer, by_technique
from jaxcompress.sharing import entropy_constrained, high_rate_weight
from jaxcompress.sharing.magnitudes import usual
from jaxcompress.trees import plain_bytes

_SAMPLE = 1 << 14  # weights of a tensor that stand for all of them
_ROUNDING = 0.4  # of a step size, not 0.5: the price of bits pulls weights towards zero
_FINEST, _COARSEST = 2.0**-10, 2.0**8  # step sizes tried, per root mean square weight
_ROUNDS = 6
_CLOSE = 0.985  # fraction of the size from which the search stops
_MARGIN = 0.996  # fraction aimed at after the first file, so that later ones do not overshoot

Attempt = Callable[[Quantizer, float], int]
"""`attempt(quantizer, rate_weight)` makes the file and returns its size in bytes."""


class Sketch:
    """A sample of each tensor, from which the size of the file is estimated by step size."""

    def __init__(self, tensors: Iterable[tuple[np.ndarray, float]]) -> None:
        """Take the tensors to be shared and their importance, one at a time."""
        random = np.random.default_rng(0)
        sampled = functools.partial(_sampled, random)
        # By `map`, which holds no tensor while the next is loaded.
        samples, sizes = zip(*map(sampled, tensors), strict=True)
        self._samples: list[np.ndarray] = list(samples)
        self._sizes: list[tuple[int, int]] = list(sizes)
        with np.errstate(over="ignore", invalid="ignore"):
            squares = [np.mean(sample**2) for sample in self._samples]
            weights = [size for size, _ in self._sizes]
            root = math.sqrt(np.average(squares, weights=weights))
        every = np.concatenate(self._samples)
        self.scale = usual(root, every[every > 0]) if every.any() else 1.0

    def guess_bytes(self, step_size: float) -> float:
        """Return about how many bytes codes and codebooks take for a step size.

        A tensor of importance i has the step size `step_size / sqrt(i)`.
        """
        total = 0.0
        for sample, (size, itemsize) in zip(self._samples, self._sizes, strict=True):
            with np.errstate(over="ignore"):
                levels = np.floor(np.minimum(sample / step_size, 1e6) + _ROUNDING).astype(np.int64)
            counts = np.bincount(levels)
            counts = counts[counts > 0]
            bits = counts @ np.log2(sample.size / counts) + np.count_nonzero(levels)  # and signs
            total += bits / 8 * size / sample.size + 2 * (len(counts) - 1) * itemsize
        return float(total)

    def step_size_for(self, size_bytes: float) -> float:
        """Return the smallest step size at which the estimate is at most `size_bytes`."""
        low, high = self.scale * _FINEST, self.scale * _COARSEST
        if self.guess_bytes(low) <= size_bytes:
            return low
        while high > 1.0005 * low:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.guess_bytes(middle) <= size_bytes else (middle, high)
        return high


def aim(pruning: Pruning, target_bytes: int, attempt: Attempt, *, track: Track = untracked) -> None:
    """Make files until one is at most `target_bytes` and close to it.

    Small tensors get finer values (`size_importance`); each file corrects the estimates of the
    sketch. `attempt` must keep the largest file that fits.

    Args:
        pruning: which weights are kept, and where they come from.
        target_bytes: largest size of the file.
        attempt: makes a file.
        track: shows progress.

    Raises:
        ValueError: no file fits; the message names the smallest size.
    """
    weigh = weights_left(pruning).importance()

    def weighed(leaf: tuple[int, np.ndarray]) -> tuple[np.ndarray, float]:
        index, tensor = leaf
        return tensor, weigh(pruning.source.paths[index], tensor)

    sketch = Sketch(map(weighed, pruning.leaves(track=track)))
    other_bytes = sum(
        plain_bytes(leaf)
        for leaf, pick in zip(pruning.source.leaves, pruning.chosen, strict=True)
        if not pick
    )
    seen: dict[float, tuple[float, int]] = {}
    wanted, smallest = float(target_bytes - other_bytes), math.inf
    for _ in range(_ROUNDS):
        step_size = sketch.step_size_for(max(wanted, 1.0))
        if step_size in seen:
            break
        rate_weight = high_rate_weight(step_size)
        technique = functools.partial(
            entropy_constrained, rate_weight=rate_weight, importance=weigh
        )
        size = attempt(by_technique(technique), rate_weight)
        if _CLOSE * target_bytes <= size <= target_bytes:
            return
        seen[step_size], smallest = (sketch.guess_bytes(step_size), size), min(smallest, size)
        wanted = _corrected(list(seen.values()), _MARGIN * target_bytes, other_bytes)
    if smallest > target_bytes:
        raise ValueError(
            f"target size: a file of at most {target_bytes:,} bytes cannot be made, the smallest "
            f"reached {smallest:,}; raise it, remove more weights, or take more tensors into the "
            "scope."
        )


def _sampled(
    random: np.random.Generator, weighed: tuple[np.ndarray, float]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return magnitudes of a sample of a tensor by its importance; its size, and bytes a number."""
    tensor, weight = weighed
    flat = tensor.ravel()
    if flat.size > _SAMPLE:
        flat = flat[random.integers(0, flat.size, _SAMPLE)]
    sample = math.sqrt(weight) * np.abs(flat.astype(np.float64))
    return sample, (tensor.size, tensor.itemsize)


def _corrected(points: list[tuple[float, int]], goal: float, other_bytes: int) -> float:
    """Return the estimate at which the size will be `goal`, on a line through two points.

    Args:
        points: estimates of the sketch, and the sizes of the files.
        goal: wanted size.
        other_bytes: about the size where the estimate is zero, the second point if there is one.
    """
    (guess, size), *others = sorted(points, key=lambda point: abs(point[1] - goal))
    across = [point for point in others if (point[1] > goal) != (size > goal)]
    before = [*across, *others, (0.0, min(other_bytes, size - 1))][0]
    rise, run = size - before[1], guess - before[0]
    return guess + (goal - size) * (run / rise if rise * run > 0 else 1.0)
