"""Which of some networks no other beats, and the volume that they dominate.

A point has three coordinates in [0, 1], all of them better when smaller: bytes, milliseconds and
the fraction of wrong answers, each as a fraction of the worst on a scale of logarithms, on which 1
is the whole network (or all answers wrong) and 0 a thousandth of that.
"""

import itertools
import math
from collections.abc import Sequence

Point = tuple[float, float, float]

_LEAST = 1e-3  # of a fraction; what is below counts as this
WORST: Point = (1.0, 1.0, 1.0)

Goal = tuple[int, ...]
"""The coordinates that a search makes small; what is within a budget need not be smaller."""

VOLUME: Goal = (0, 1, 2)
ERRORS: Goal = (2,)


def point(size_fraction: float, time_fraction: float, accuracy: float | None) -> Point:
    """Return the point of a network.

    Args:
        size_fraction: bytes, of those of the whole network.
        time_fraction: milliseconds, of those of the whole network.
        accuracy: in [0, 1]; None where training diverged, the worst.

    Example:
        >>> [round(x, 3) for x in point(0.1, 1.0, 0.999)]
        [0.667, 1.0, 0.0]
    """
    wrong = 1.0 if accuracy is None else 1.0 - accuracy
    first, second, third = (
        1 - math.log(min(max(each, _LEAST), 1.0)) / math.log(_LEAST)
        for each in (size_fraction, time_fraction, wrong)
    )
    return first, second, third


def towards(goal: Goal, point: Point) -> Point:
    """Return a point whose coordinates beside the goal are as good as can be.

    Example:
        >>> towards(ERRORS, (0.5, 0.25, 0.125))
        (0.0, 0.0, 0.125)
    """
    first, second, third = (x if n in goal else 0.0 for n, x in enumerate(point))
    return first, second, third


def beats(one: Point, other: Point) -> bool:
    """Return whether one is at least as good in all coordinates, and better in one.

    Example:
        >>> beats((0.1, 0.5, 0.5), (0.2, 0.5, 0.5)), beats((0.1, 0.9, 0.5), (0.2, 0.5, 0.5))
        (True, False)
    """
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def front(points: Sequence[Point]) -> list[int]:
    """Return the places of points that no other beats, of equal ones the first.

    Example:
        >>> front([(0.5, 0.5, 0.5), (0.6, 0.5, 0.5), (0.9, 0.1, 0.5), (0.5, 0.5, 0.5)])
        [0, 2]
    """
    return [
        place
        for place, mine in enumerate(points)
        if mine not in points[:place] and not any(beats(other, mine) for other in points)
    ]


def hypervolume(points: Sequence[Point]) -> float:
    """Return the volume of the part of the unit cube that some point is at least as good as.

    It grows with each point that no other beats: 0 without points, 1 for a network of a thousandth
    of bytes, milliseconds and errors.

    Example:
        >>> hypervolume([(0.5, 0.5, 0.5)]), hypervolume([(0.5, 0.5, 0.5), (0.0, 0.75, 0.75)])
        (0.125, 0.15625)
    """
    heights = sorted({p[2] for p in points if p[2] < 1})
    total = 0.0
    for low, high in itertools.pairwise([*heights, 1.0]):
        total += (high - low) * _area([p[:2] for p in points if p[2] <= low])
    return total


def _area(points: Sequence[tuple[float, float]]) -> float:
    """Return the area of the unit square that some point is at least as good as."""
    total, lowest = 0.0, 1.0
    for x, y in sorted(points):
        if y < lowest:
            total += (1 - x) * (lowest - y)
            lowest = y
    return total


def widest(points: Sequence[Point], count: int) -> list[int]:
    """Return the places of so many points, each of which adds most to the volume of those before.

    Where none adds anything, those of fewer errors come first, then those of lower places.

    Example:
        >>> widest([(0.5, 0.5, 0.5), (0.6, 0.6, 0.6), (0.0, 0.75, 0.75)], 2)
        [0, 2]
    """
    chosen: list[int] = []
    while len(chosen) < min(count, len(points)):
        left = [place for place in range(len(points)) if place not in chosen]
        kept = [points[place] for place in chosen]
        chosen.append(
            max(left, key=lambda n: (hypervolume([*kept, points[n]]), -points[n][2], -n))  # noqa: B023
        )
    return sorted(chosen)
