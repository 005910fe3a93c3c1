"""What dataclasses, mappings and sequences hold, and others that hold something else."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def is_record(value: Any) -> bool:
    """Return whether a value is a dataclass with its fields, as modules are."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def parts_of(value: Any) -> dict[Any, Any]:
    """Return what a mapping or a sequence holds, by key or number; nothing of anything else.

    Example:
        >>> parts_of((3, 4)), parts_of("no container")
        ({0: 3, 1: 4}, {})
    """
    if isinstance(value, Mapping):
        return dict(value)
    return dict(enumerate(value)) if isinstance(value, (list, tuple)) else {}


def like(value: Any, parts: Mapping[Any, Any]) -> Any:
    """Return a mapping or a sequence of the same type that holds other parts.

    Example:
        >>> like((3, 4), {0: 5, 1: 6})
        (5, 6)
    """
    kind: Any = type(value)  # FrozenDict or a named tuple, say
    if isinstance(value, Mapping):
        return kind(parts)
    listed = list(parts.values())
    return kind(*listed) if hasattr(value, "_fields") else kind(listed)
