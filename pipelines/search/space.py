"""The members of a family: networks on a grid of sizes, from the whole network down."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nets.families import FAMILIES

FRACTIONS = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125, 0.09375, 0.0625, 0.03125)
"""Of each width; neighbours differ by a quarter to a half."""

Levels = tuple[int, ...]
"""A place on the grid: for each axis the number of a value, 0 for the largest."""


class Axis(NamedTuple):
    """A size that varies.

    Attributes:
        field: of the configuration.
        place: in the tuple of the field; None for a field of one integer.
        values: the largest first.
        is_width: whether it counts units of a layer.
    """

    field: str
    place: int | None
    values: tuple[int, ...]
    is_width: bool

    @property
    def name(self) -> str:
        """Its name, such as `widths[0]`."""
        return self.field if self.place is None else f"{self.field}[{self.place}]"


def axes_of(config: Any) -> tuple[Axis, ...]:
    """Return the axes of the family of a network, whose sizes are the largest.

    Example:
        >>> from nets.resnet import ResNetConfig
        >>> [(axis.name, axis.values[:3]) for axis in axes_of(ResNetConfig())][2:]
        [('widths[2]', (64, 48, 32)), ('blocks', (3, 2, 1))]
    """
    family, found = FAMILIES[type(config)], []
    for name in family.widths:
        most = getattr(config, name)
        for place, width in enumerate(most) if isinstance(most, tuple) else [(None, most)]:
            values = {max(round(fraction * width), 1) for fraction in FRACTIONS}
            found.append(Axis(name, place, tuple(sorted(values, reverse=True)), is_width=True))
    for name in family.depths + family.heads:
        values = tuple(range(getattr(config, name), 0, -1))
        found.append(Axis(name, None, values, is_width=False))
    for name, values in family.searched.items():
        allowed = tuple(value for value in values if value <= getattr(config, name))
        found.append(Axis(name, None, allowed, is_width=False))
    return tuple(found)


def sizes_at(config: Any, axes: Sequence[Axis], levels: Levels) -> dict[str, Any]:
    """Return the sizes of a member, as JSON; a width becomes a multiple of its heads.

    Args:
        config: of the whole network.
        axes: of its family.
        levels: of the member.

    Example:
        >>> from nets.resnet import ResNetConfig
        >>> sizes_at(ResNetConfig(), axes_of(ResNetConfig()), (2, 2, 2, 1))
        {'widths': [8, 16, 32], 'blocks': 2}
    """
    sizes: dict[str, Any] = {}
    for axis, level in zip(axes, levels, strict=True):
        value = axis.values[level]
        if axis.place is None:
            sizes[axis.field] = value
        else:
            sizes.setdefault(axis.field, []).append(value)
    for width, heads in FAMILIES[type(config)].multiples.items():
        sizes[width] = max(sizes[width] // sizes[heads], 1) * sizes[heads]
    return sizes


def nearest(axes: Sequence[Axis], sizes: Mapping[str, Any]) -> Levels:
    """Return the place on the grid whose sizes are nearest to some.

    Example:
        >>> axes = (Axis("widths", 0, (8, 4), True), Axis("blocks", None, (3, 2, 1), False))
        >>> nearest(axes, {"widths": [5], "blocks": 3})
        (1, 0)
    """
    found = []
    for axis in axes:
        size = sizes[axis.field] if axis.place is None else sizes[axis.field][axis.place]
        found.append(min(range(len(axis.values)), key=lambda n: abs(axis.values[n] - size)))  # noqa: B023
    return tuple(found)


def narrower(axes: Sequence[Axis], levels: Levels) -> Iterator[Levels]:
    """Yield ever smaller members: first all widths a level down, at last depth and resolution.

    Example:
        >>> axes = (Axis("width", None, (4, 2), True), Axis("blocks", None, (2, 1), False))
        >>> list(narrower(axes, (0, 0)))
        [(1, 0), (1, 1)]
    """
    for widths in (True, False):
        while True:
            lower = tuple(
                min(level + 1, len(axis.values) - 1) if axis.is_width == widths else level
                for axis, level in zip(axes, levels, strict=True)
            )
            if lower == levels:
                break
            yield (levels := lower)


def even(axes: Sequence[Axis], level: int) -> Levels:
    """Return the member whose widths are all at one level, at full depth and resolution."""
    return tuple(min(level, len(axis.values) - 1) if axis.is_width else 0 for axis in axes)


def anywhere(axes: Sequence[Axis], rng: np.random.Generator) -> Levels:
    """Return a member at random, each level as probable as the others of its axis."""
    return tuple(int(rng.integers(len(axis.values))) for axis in axes)


def corners(axes: Sequence[Axis]) -> list[Levels]:
    """Return the members of the smallest widths, at each depth, number of heads and resolution."""
    found: list[Levels] = [()]
    for axis in axes:
        last = len(axis.values) - 1
        choices = [last] if axis.is_width else range(last + 1)
        found = [(*levels, level) for levels in found for level in choices]
    return found
