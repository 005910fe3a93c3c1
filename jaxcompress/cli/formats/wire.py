"""The wire format of protobuf: where the fields of messages lie in a file.

Nothing is read but tags and lengths, so that a model may be larger than the memory. Lengths are
believed only as far as the message around them reaches.

Source: https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterable, Iterator
from io import BufferedReader
from typing import NamedTuple

import numpy as np

from jaxcompress.errors import ArtifactError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {VARINT: 0, FIXED64: 8, FIXED32: 4}
_LONGEST = 10  # bytes of a number
_LONGEST_TEXT = 1 << 20


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: which says what it means.
        kind: VARINT, FIXED64, BYTES or FIXED32.
        value: the number, of a VARINT; the length, of BYTES.
        head: position of that number.
        start: position of the contents.
        end: position behind them.
    """

    number: int
    kind: int
    value: int
    head: int
    start: int
    end: int


class Wire:
    """An open file of messages."""

    def __init__(self, file: BufferedReader) -> None:
        """Take a file that is open for reading."""
        self._file = file

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message that lies there.

        Raises:
            ArtifactError: it is none.
        """
        at = start
        while at < end:
            self._file.seek(at)
            head = self._file.read(2 * _LONGEST)
            tag, used = _number(head, 0)
            number, kind, value, place = tag >> 3, tag & 7, 0, at + used
            if kind in (VARINT, BYTES):
                value, used = _number(head, used)
            after = at + used + (value if kind == BYTES else _WIDTHS.get(kind, end))
            if number == 0 or kind not in (*_WIDTHS, BYTES) or after > end:
                raise ArtifactError("a field of protobuf is damaged, or ends too late", found=at)
            yield Field(number, kind, value, place, at + used, after)
            at = after

    def text(self, field: Field) -> str:
        """Return a string.

        Raises:
            ArtifactError: the field is of another kind, or too long for a name.
        """
        _check(field, BYTES)
        if field.value > _LONGEST_TEXT:
            raise ArtifactError(
                "a name is too long", expected=f"<= {_LONGEST_TEXT} bytes", found=field.value
            )
        self._file.seek(field.start)
        return self._file.read(field.value).decode("utf-8")

    def numbers(self, fields: Iterable[Field], most: int) -> list[int]:
        """Return the signed numbers of a repeated field, each by itself or all in one.

        Raises:
            ArtifactError: a field of another kind, or more numbers than `most`.
        """
        found: list[int] = []
        for field in fields:
            if field.kind == VARINT:
                found.append(signed(field))
                continue
            _check(field, BYTES)
            if field.value > most * _LONGEST:
                raise ArtifactError("too many numbers", expected=f"<= {most}")
            self._file.seek(field.start)
            data = np.frombuffer(self._file.read(field.value), np.uint8)
            found += decoded(data).view(np.int64).tolist()
        if len(found) > most:
            raise ArtifactError("too many numbers", expected=f"<= {most}", found=len(found))
        return found


def signed(field: Field) -> int:
    """Return the number of a field of a signed type.

    Raises:
        ArtifactError: the field is of another kind.
    """
    _check(field, VARINT)
    return field.value - (1 << 64) if field.value >> 63 else field.value


def decoded(data: np.ndarray) -> np.ndarray:
    """Return numbers that lie one behind the other, of 64 bits without sign.

    Raises:
        ArtifactError: the last one is not whole, or one is too long.

    Example:
        >>> decoded(np.array([5, 0x85, 1], np.uint8)).tolist()
        [5, 133]
    """
    ends = np.flatnonzero(data < 128)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: ends.size]
    lengths = ends - starts + 1
    if lengths.sum() != data.size or lengths.max(initial=0) > _LONGEST:
        raise ArtifactError("numbers of protobuf are damaged")
    if not ends.size:
        return np.empty(0, np.uint64)
    shifts = (np.arange(data.size) - np.repeat(starts, lengths)) * 7
    septets = (data & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.bitwise_or.reduceat(septets, starts)


def encoded(numbers: np.ndarray) -> bytes:
    r"""Return the bytes of numbers of 64 bits without sign, one behind the other.

    Example:
        >>> encoded(np.array([5, 133], np.uint64))
        b'\x05\x85\x01'
    """
    limits = np.array([1 << 7 * k for k in range(1, _LONGEST)], np.uint64)
    lengths = 1 + np.searchsorted(limits, numbers, side="right")
    starts = np.cumsum(lengths) - lengths
    data = np.zeros(int(lengths.sum()), np.uint8)
    for k in range(lengths.max(initial=0)):
        has = lengths > k
        septets = (numbers[has] >> np.uint64(7 * k)).astype(np.uint8) & 127
        data[starts[has] + k] = septets | (lengths[has] > k + 1) << 7
    return data.tobytes()


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and the position behind it."""
    value = 0
    for k, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & 127) << 7 * k
        if byte < 128:
            if value >> 64:
                break
            return value, at + k + 1
    raise ArtifactError("a number of protobuf is damaged")


def _check(field: Field, kind: int) -> None:
    if field.kind != kind:
        raise ArtifactError(
            f"field {field.number}: of another kind", expected=kind, found=field.kind
        )
