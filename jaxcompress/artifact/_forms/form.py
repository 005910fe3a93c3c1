"""The description of a form, and functions of all forms."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from jaxcompress.artifact.coding import Fields
from jaxcompress.artifact.streams import NIBBLES, Reader, Writer
from jaxcompress.kinds import native as to_native

_BLOCK = 1 << 20


class Form(NamedTuple):
    """The form of one leaf type.

    Attributes:
        leaf: its type; None for ordinary arrays.
        prepare: checks a leaf, and returns it as it is stored.
        numbers: returns its arrays in the order of the digest.
        write: adds it to the streams, and returns the fields of the form.
        fields: names of the fields and a check of each, by version of the format that added them.
        read: returns the leaf of an entry, from the streams.
    """

    leaf: type | None
    prepare: Callable[[str, Any], Any]
    numbers: Callable[[Any], Iterable[np.ndarray]]
    write: Callable[[Any, str, str, Writer], Fields]
    fields: Mapping[int, Mapping[str, Callable[[Any], bool]]]
    read: Callable[[dict[str, Any], tuple[int, ...], str, Reader], Any]


def native(path: str, array: Any) -> np.ndarray:
    """Return the numbers in the one form that is stored and digested.

    Raises:
        TypeError: they are not concrete numbers.
    """
    if isinstance(array, Tracer | jax.ShapeDtypeStruct):
        raise TypeError(
            f"{path}: leaves must be concrete arrays, got {type(array).__name__}; save outside of "
            "jit, and values instead of shapes."
        )
    plain = np.asarray(to_native(array))
    if plain.dtype == bool:
        return plain.view(np.uint8) != 0
    if plain.dtype.name in NIBBLES:  # their upper bits may be anything
        return plain.astype(np.int8).astype(plain.dtype)
    return plain


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the numbers of an array, about a million at a time."""
    flat = np.ascontiguousarray(array).reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK]
