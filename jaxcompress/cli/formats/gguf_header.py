"""What lies before the numbers of a GGUF file: key-value metadata, and where each tensor is.

Each count and length is compared with what is left of the file before it is used.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli.formats.extent import Stamp, stamp_of
from jaxcompress.errors import ArtifactError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
UINT32, STRING, _ARRAY = 4, 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", 5: "i", 6: "f", 7: "B"}
_FORMATS |= {10: "Q", 11: "q", 12: "d"}
"""Formats of `struct` of the types of values, but for strings and arrays."""

_MOST_DEPTH = 8  # of arrays in arrays
MOST_DIMS = 4  # that ggml has
_LEAST_VALUE, _LEAST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8
"""The fewest bytes of a value with its key, and of what describes a tensor."""


class Value(NamedTuple):
    """A value with its key.

    Attributes:
        kind: number of its type.
        value: a number or a string; None of an array.
        data: key, type and value as the file has them.
    """

    kind: int
    value: int | float | str | None
    data: bytes


class Described(NamedTuple):
    """A tensor as the header describes it.

    Attributes:
        shape: as numpy counts axes, the last one contiguous.
        kind: number of its type.
        start: position of its numbers, from where those of all begin.
    """

    shape: tuple[int, ...]
    kind: int
    start: int


class Header(NamedTuple):
    """The header of a file.

    Attributes:
        values: key-value metadata, by key.
        tensors: by name.
        start: position of the first number.
        stamp: of the file.
    """

    values: dict[str, Value]
    tensors: dict[str, Described]
    start: int
    stamp: Stamp


def read_header(path: Path) -> Header:
    """Read the header of a file.

    Raises:
        ArtifactError: it is damaged, or no GGUF.
        OSError: the file cannot be read.
    """
    with reading(path), open_regular(path) as file:
        stamp = stamp_of(file.fileno())
        cursor = _Cursor(file, stamp[2])
        if (found := cursor.take(4)) != MAGIC:
            raise ArtifactError("not a GGUF file", expected=MAGIC, found=found)
        version = cursor.number("I")
        if version not in _VERSIONS:
            swapped = version & 0xFFFF == 0
            raise ArtifactError(
                "bytes are in the order of other machines" if swapped else "an unknown version",
                expected=" or ".join(map(str, _VERSIONS)),
                found=version,
            )
        tensors, values = cursor.number("Q"), cursor.number("Q")
        cursor.check(values, _LEAST_VALUE, "values")
        found_values = read_values(cursor, values)
        cursor.check(tensors, _LEAST_TENSOR, "tensors")
        described: dict[str, Described] = {}
        for _ in range(tensors):
            name, tensor = _tensor(cursor)
            if name in described:
                raise ArtifactError("a tensor is there twice", tensor=name)
            described[name] = tensor
        start = _aligned(cursor.at, alignment(found_values))
    return Header(found_values, described, start, stamp)


def values_in(data: bytes, count: int) -> dict[str, Value]:
    """Return the values that a header would have with these bytes.

    Raises:
        ArtifactError: they are damaged.
    """
    cursor = _Cursor(BytesIO(data), len(data))
    cursor.check(count, _LEAST_VALUE, "values")
    values = read_values(cursor, count)
    if cursor.at != len(data):
        raise ArtifactError("bytes after the last value", found=len(data) - cursor.at)
    return values


def alignment(values: Mapping[str, Value]) -> int:
    """Return the bytes of which positions of tensors are multiples.

    Raises:
        ArtifactError: it is no power of two.
    """
    kind, found, _ = values.get("general.alignment", Value(UINT32, 32, b""))
    if kind != UINT32 or not isinstance(found, int) or found <= 0 or found & (found - 1):
        raise ArtifactError("general.alignment must be a power of two", found=found)
    return found


def read_values(cursor: "_Cursor", count: int) -> dict[str, Value]:
    """Return the next values by their keys.

    Raises:
        ArtifactError: they are damaged, or a key is there twice.
    """
    found: dict[str, Value] = {}
    for _ in range(count):
        start = cursor.at
        key = cursor.text()
        kind = cursor.number("I")
        value = _value(cursor, kind, 0)
        if key in found:
            raise ArtifactError("a key is there twice", found=key)
        found[key] = Value(kind, value, cursor.again(start))
    return found


def _value(cursor: "_Cursor", kind: int, depth: int) -> int | float | str | None:
    if kind in _FORMATS:
        return cursor.number(_FORMATS[kind])
    if kind == STRING:
        return cursor.text()
    if kind != _ARRAY or depth >= _MOST_DEPTH:
        raise ArtifactError("an unknown type of value, or arrays nested too deep", found=kind)
    items, count = cursor.number("I"), cursor.number("Q")
    width = struct.calcsize(_FORMATS[items]) if items in _FORMATS else 8
    cursor.check(count, width, "items")
    if items in _FORMATS:
        cursor.skip(count * width)
    else:
        for _ in range(count):
            _value(cursor, items, depth + 1)
    return None


def _tensor(cursor: "_Cursor") -> tuple[str, Described]:
    name = cursor.text()
    dims = cursor.number("I")
    if dims > MOST_DIMS:
        raise ArtifactError("too many axes", tensor=name, expected=f"<= {MOST_DIMS}", found=dims)
    shape = tuple(cursor.number("Q") for _ in range(dims))[::-1]
    if math.prod(max(size, 1) for size in shape) >> 63:
        raise ArtifactError("too many numbers", tensor=name, found=shape)
    return name, Described(shape, cursor.number("I"), cursor.number("Q"))


def _aligned(position: int, multiple: int) -> int:
    return -(-position // multiple) * multiple


class _Cursor:
    """Reads from front to back, never beyond the end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.at = 0

    def check(self, count: int, each: int, what: str) -> None:
        """Refuse a count that the rest of the file cannot hold."""
        most = (self._size - self.at) // each
        if count > most:
            raise ArtifactError(
                f"more {what} than the file has", expected=f"<= {most}", found=count
            )

    def take(self, count: int) -> bytes:
        self.check(count, 1, "bytes")
        self.at += count
        return self._file.read(count)

    def skip(self, count: int) -> None:
        self.at += count
        self._file.seek(self.at)

    def again(self, start: int) -> bytes:
        """Return what was passed since a position."""
        self._file.seek(start)
        return self._file.read(self.at - start)

    def number(self, form: str) -> int:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8")
