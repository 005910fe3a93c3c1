"""The integers that a module is built from: those of its fields, and of what these hold."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from jaxcompress.modules._containers import is_record, like, parts_of

Place = tuple[Any, ...]
"""Names of fields, keys and numbers on the way to an integer."""

_OWN = ("parent", "name")  # fields of every Linen module, which are no settings


def integers(value: Any, place: Place = ()) -> Iterator[tuple[Place, int]]:
    """Yield the places and values of integers, in order.

    Example:
        >>> dict(integers({"features": (8, 16), "is_wide": True, "rate": 0.5}))
        {('features', 0): 8, ('features', 1): 16}
    """
    if isinstance(value, int) and not isinstance(value, bool):
        yield place, value
        return
    for key, part in _parts(value).items():
        yield from integers(part, (*place, key))


def replaced(value: Any, new: Mapping[Place, int]) -> Any:
    """Return a value with other integers at the given places; everything else is kept.

    Example:
        >>> replaced({"features": (8, 16)}, {("features", 1): 4})
        {'features': (8, 4)}
    """
    if () in new:
        return new[()]
    parts = _parts(value)
    changed = {
        key: replaced(part, inside)
        for key, part in parts.items()
        if (inside := {place[1:]: n for place, n in new.items() if place[0] == key})
    }
    return _with(value, changed) if changed else value


def _parts(value: Any) -> dict[Any, Any]:
    if is_record(value):
        names = [f.name for f in dataclasses.fields(value) if f.init and f.name not in _OWN]
        return {name: getattr(value, name, None) for name in names}
    return parts_of(value)


def _with(value: Any, changed: Mapping[Any, Any]) -> Any:
    if hasattr(value, "clone"):  # a Linen module
        return value.clone(**changed)
    if is_record(value):
        return dataclasses.replace(value, **changed)
    return like(value, {**_parts(value), **changed})
