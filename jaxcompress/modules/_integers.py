"""The integers that a module is built from: those of its fields, and of what these hold."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from jaxcompress.modules._containers import is_record, like, parts_of

Place = tuple[Any, ...]
"""Names of fields, keys and numbers on the way to an integer."""

_OWN = ("parent", "name")  # fields of every Linen module, which are no settings


def integers(value: Any) -> Iterator[tuple[Place, int]]:
    """Yield the places and values of integers, in order; of an object in several places the first.

    Example:
        >>> dict(integers({"features": (8, 16), "is_wide": True, "rate": 0.5}))
        {('features', 0): 8, ('features', 1): 16}
    """
    return _integers(value, (), set())


def _integers(value: Any, place: Place, seen: set[int]) -> Iterator[tuple[Place, int]]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield place, value
        return
    if is_record(value):
        if id(value) in seen:
            return
        seen.add(id(value))
    for key, part in _parts(value).items():
        yield from _integers(part, (*place, key), seen)


def replaced(value: Any, new: Mapping[Place, int]) -> Any:
    """Return a value with other integers at the given places; everything else is kept.

    An object in several places, of which the first is given, is one object again.

    Example:
        >>> replaced({"features": (8, 16)}, {("features", 1): 4})
        {'features': (8, 4)}
    """
    return _replaced(value, new, (), {})


def _replaced(value: Any, new: Mapping[Place, int], place: Place, made: dict[int, Any]) -> Any:
    if place in new:
        return new[place]
    if id(value) in made:
        return made[id(value)]
    parts = _parts(value)
    changed = {
        key: found
        for key, part in parts.items()
        if (found := _replaced(part, new, (*place, key), made)) is not part
    }
    result = _with(value, changed) if changed else value
    if is_record(value):
        made[id(value)] = result
    return result


def _parts(value: Any) -> dict[Any, Any]:
    if is_record(value):
        names = [f.name for f in dataclasses.fields(value) if f.init and f.name not in _OWN]
        return {name: getattr(value, name, None) for name in names}
    if isinstance(value, functools.partial):
        return {"args": value.args, "keywords": value.keywords}
    return parts_of(value)


def _with(value: Any, changed: Mapping[Any, Any]) -> Any:
    if hasattr(value, "clone"):  # a Linen module
        return value.clone(**changed)
    if is_record(value):
        return dataclasses.replace(value, **changed)
    if isinstance(value, functools.partial):
        parts = {**_parts(value), **changed}
        return type(value)(value.func, *parts["args"], **parts["keywords"])
    return like(value, {**_parts(value), **changed})
