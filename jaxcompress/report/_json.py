"""Records that others wrote: JSON of a known shape, or one line that says what is wrong."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcompress.artifact import open_regular
from jaxcompress.text import shortened

_MOST_BYTES = 2**26

Kinds = Mapping[str, str]
"""By field what it is; with `?` behind it, it may be null or absent."""


def read_json(path: Path) -> Any:
    """Read JSON of a regular file.

    Raises:
        ValueError: it is no JSON, or longer than 64 MiB.
        OSError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        what = shortened(str(error).splitlines()[0])
        raise ValueError(f"{path}: must be JSON, got {what}; write it anew.") from None


def checked(path: str | os.PathLike[str], value: Any, kinds: Kinds, *, at: str = "") -> Any:
    """Return an object whose fields are of these kinds; more fields than these are allowed.

    Args:
        path: of the file, for the error.
        value: that should be an object.
        kinds: of its fields.
        at: the place in the file, for the error.

    Raises:
        ValueError: a field is missing, or of another kind.

    Example:
        >>> checked("a.json", {"n": 1}, {"n": "a number", "why": "a text?"})
        {'n': 1, 'why': None}
    """
    if not isinstance(value, dict):
        raise ValueError(f"{path}: {at or 'it'} must be an object, got {_kind(value)}; {_REMEDY}")
    found = dict(value)
    for name, kind in kinds.items():
        bare = kind.removesuffix("?")
        given = found.setdefault(name, None)
        if given is None and bare != kind:
            continue
        if not _IS[bare](given):
            what = shortened(repr(given)) if name in value else "nothing"
            where = f"{at}.{name}" if at else name
            raise ValueError(f"{path}: {shortened(where)} must be {bare}, got {what}; {_REMEDY}")
    return found


_REMEDY = "make it again."


def _kind(value: Any) -> str:
    return shortened(repr(value))


def is_number(value: Any) -> bool:
    """Return whether a value out of JSON is a finite number."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


_IS = {
    "a number": is_number,
    "a count": lambda value: type(value) is int and 0 <= value < 2**63,
    "a text": lambda value: isinstance(value, str),
    "true or false": lambda value: isinstance(value, bool),
    "an object": lambda value: isinstance(value, dict),
    "a list": lambda value: isinstance(value, list),
}
