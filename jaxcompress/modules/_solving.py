"""Integers that give arrays the sizes that are wanted."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxcompress.modules._integers import Place

Shapes = dict[str, tuple[int, ...]]
"""From path to shape."""

_ROUNDS = 8
_MOST_FIELDS = 64
_ZERO = 1e-6


def solved(
    values: Mapping[Place, int],
    wanted: Shapes,
    shapes_of: Callable[[Mapping[Place, int]], Shapes | None],
) -> dict[Place, int] | None:
    """Return integers at which the shapes are those that are wanted; None if none are found.

    First numbers of layers: integers that change which arrays there are. Then sizes: each integer
    is doubled (or raised by one), which shows how the logarithm of each axis follows its own. Least
    squares say how to change all of them together, until every shape agrees. Integers that no shape
    follows stay as they are.

    Args:
        values: the integers, by place.
        wanted: the shapes.
        shapes_of: those for some integers; None where the code does not run with them.

    Raises:
        ValueError: other integers give the same shapes.

    Example:
        >>> def shapes(v):
        ...     return {"w": (3, v["heads",], v["width",] // v["heads",])}
        >>> solved({("heads",): 8, ("width",): 64}, {"w": (3, 2, 8)}, shapes)
        {('heads',): 2, ('width',): 16}
    """
    found = _as_deep(dict(values), wanted, shapes_of)
    for _ in range(_ROUNDS):
        now = shapes_of(found)
        if now is None or now.keys() != wanted.keys():
            return None
        if now == wanted:
            return found
        if any(len(now[path]) != len(wanted[path]) for path in wanted):
            return None
        new = _nearer(found, now, wanted, shapes_of)
        if new == found:
            return None
        found = new
    return None


def _as_deep(
    values: dict[Place, int],
    wanted: Shapes,
    shapes_of: Callable[[Mapping[Place, int]], Shapes | None],
) -> dict[Place, int]:
    """Return integers with which there are the arrays that are wanted, if one alone does it."""
    now = shapes_of(values)
    if now is None or now.keys() == wanted.keys():
        return values
    for place in list(values)[:_MOST_FIELDS]:
        for number in range(values[place] - 1, 0, -1):
            tried = values | {place: number}
            shapes = shapes_of(tried)
            if shapes is None or shapes.keys() == now.keys():
                break
            if shapes.keys() == wanted.keys():
                return tried
    return values


def _nearer(
    values: dict[Place, int],
    now: Shapes,
    wanted: Shapes,
    shapes_of: Callable[[Mapping[Place, int]], Shapes | None],
) -> dict[Place, int]:
    """Return integers at which the shapes are nearer to those that are wanted."""
    sizes, target = _flat(now, wanted), _flat(wanted, wanted)
    places, columns = [], []
    for place in list(values)[:_MOST_FIELDS]:
        value = values[place]
        for number in (2 * value, value + 1, value // 2, value - 1):
            shapes = shapes_of(values | {place: number}) if value > 0 < number else None
            if shapes is None or {p: len(s) for p, s in shapes.items()} != {
                p: len(s) for p, s in now.items()
            }:
                continue
            moved = np.log(_flat(shapes, wanted) / sizes) / np.log(number / value)
            if moved.any():
                places.append(place)
                columns.append(moved)
            break
    if not places:
        return values
    matrix = np.stack(columns, 1)
    change, _, rank, _ = np.linalg.lstsq(matrix, np.log(target / sizes), rcond=None)
    if rank < len(places):
        _check_unique(matrix, change, places)
    new = {
        place: max(round(values[place] * float(np.exp(each))), 1)
        for place, each in zip(places, change, strict=True)
    }
    return values | new


def _check_unique(matrix: np.ndarray, change: np.ndarray, places: Sequence[Place]) -> None:
    """Refuse changes of integers of which the shapes show the product alone, say.

    Raises:
        ValueError: other changes of the integers would do as well.
    """
    _, values, rows = np.linalg.svd(matrix, full_matrices=True)
    rank = int(np.sum(values > values[0] * _ZERO))
    free = np.abs(rows[rank:]).max(axis=0) > _ZERO
    moved = np.abs(change) > _ZERO
    if np.any(free & moved):
        names = [".".join(map(str, place)) for place, one in zip(places, free, strict=True) if one]
        raise ValueError(
            f"module: {' and '.join(names)} must be told apart by the shapes of its arrays, got "
            "the same shapes for several; pass the module with all but one of them as in the tree."
        )


def _flat(shapes: Shapes, like: Shapes) -> np.ndarray:
    """Return all sizes in one order; 0 counts as 1, as it has no logarithm."""
    return np.array([max(n, 1) for path in like for n in shapes[path]], np.float64)
