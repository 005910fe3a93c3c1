"""The arguments of one example call."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Example(NamedTuple):
    """The arguments of one example call of a module.

    Attributes:
        inputs: by position.
        keywords: by name.
    """

    inputs: Sequence[Any]
    keywords: Mapping[str, Any]
