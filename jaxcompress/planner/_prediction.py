"""From the damage of a plan to the quality that it loses, and how sure that is."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

_NORMAL_90 = 1.645
_NEAREST = 4
_LEAST = 0.01  # of the largest loss
_OF_MEDIAN = 1.4826  # a standard deviation, of normal numbers


class Prediction(NamedTuple):
    """A predicted loss of quality.

    Attributes:
        drop: the most likely.
        low: the loss is between this and `high` with a confidence of 90 %.
        high: see `low`.
    """

    drop: float
    low: float
    high: float


def predicted_drop(
    anchors: Sequence[tuple[float, float]], noise: float, damage: float
) -> Prediction:
    """Return the loss of quality of a plan, from those of plans that were measured.

    The measured losses are made monotone in the damage (isotonic medians) and joined by lines
    over the root of the damage. The interval has the noise of two evaluations, and what the nearest
    anchors are off when they are predicted from the others (leave-one-out), or what half of all
    are: two networks that lose nothing still answer differently.

    Args:
        anchors: damage and loss of quality of each plan measured; one of no damage belongs to them.
        noise: standard deviation of one evaluation.
        damage: of the plan.

    Example:
        >>> predicted_drop([(0.0, 0.0), (0.01, 0.5), (0.04, 2.0)], 0.0, 0.04).drop
        2.0
    """
    at, losses = _points(anchors)
    root = math.sqrt(damage)
    drop = _line(at, losses, root)
    misfit = 0.0
    if len(at) > 1:
        off = np.array(
            [
                abs(losses[n] - _line(np.delete(at, n), np.delete(losses, n), float(at[n])))
                for n in range(len(at))
            ]
        )
        nearest = np.argsort(np.abs(at - root), kind="stable")[:_NEAREST]
        near = float(np.sqrt(np.mean(np.square(off[nearest]))))
        misfit = max(near, _OF_MEDIAN * float(np.median(off)))
    half = _NORMAL_90 * math.sqrt(2 * noise**2 + misfit**2)
    return Prediction(drop, drop - half, drop + half)


def likely_drop(anchors: Sequence[tuple[float, float]], damage: float) -> float:
    """Return the most likely loss of quality of a plan, without the interval, which takes longer.

    Example:
        >>> likely_drop([(0.0, 0.0), (0.01, 0.5), (0.04, 2.0)], 0.04)
        2.0
    """
    return _line(*_points(anchors), math.sqrt(damage))


def _points(anchors: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the roots of damages, ascending, and the losses."""
    damages, losses = zip(*sorted(anchors), strict=True)
    return np.sqrt(damages), np.array(losses, np.float64)


def _line(at: np.ndarray, losses: np.ndarray, root: float) -> float:
    """Return the rising line through losses at a place."""
    fitted = isotonic(losses)
    drop = float(np.interp(root, at, fitted))
    if root > at[-1] and len(at) > 1:  # beyond the last: along the last line
        rise = (fitted[-1] - fitted[-2]) / max(at[-1] - at[-2], 1e-30)
        drop += float(rise * (root - at[-1]))
    return drop


def in_proportion(losses: np.ndarray) -> np.ndarray:
    """Return losses on a scale of proportions (`arcsinh`) above a hundredth of the largest.

    Between one point and two there is as much to know as between twenty and forty.
    """
    return np.arcsinh(losses / max(losses.max(initial=0.0) * _LEAST, 1e-30))


def isotonic(values: np.ndarray) -> np.ndarray:
    """Return the rising numbers of least distance, `sum |a - b|` (pool adjacent violators).

    A plan that happens to be bad has no weight of its own, as it would with squares.
    """
    blocks: list[list[float]] = []
    medians: list[float] = []
    for value in values.tolist():
        blocks.append([value])
        medians.append(value)
        while len(blocks) > 1 and medians[-2] > medians[-1]:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
            medians[-2:] = [median(blocks[-1])]
    return np.repeat(np.array(medians, np.float64), [len(block) for block in blocks])
