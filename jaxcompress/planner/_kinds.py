"""What fields of a record are, where a person may have written something else."""

import math
from collections.abc import Callable
from typing import Any

TEXT, TEXTS, BY_NAME, TRUTH, NUMBER = "a text", "texts", "by name", "true or false", "a number"


def is_of(kind: str, value: Any) -> bool:
    """Return whether a value out of JSON is of a kind.

    Example:
        >>> [is_of(NUMBER, value) for value in (1, 0.5, True, float("nan"), 10**400, -1)]
        [True, True, False, False, False, False]
    """
    return _KINDS[kind](value)


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and 0 <= value and math.isfinite(value)
    except OverflowError:
        return False


_KINDS: dict[str, Callable[[Any], bool]] = {
    TEXT: lambda value: isinstance(value, str),
    TEXTS: lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    BY_NAME: lambda value: isinstance(value, dict),
    TRUTH: lambda value: isinstance(value, bool),
    NUMBER: _is_number,
}
