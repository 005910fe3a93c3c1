"""The headers of a zip, with only one way to write each.

A size or a place of 4 GiB or more needs zip64: its field is all ones, and the number follows in an
extra field of eight bytes. It is written so where it is needed, and nowhere else.
"""

import struct
import zlib
from typing import NamedTuple

LONGEST_ENTRY = 128
"""Bytes of an entry of the directory, at most."""

MOST_MEMBERS = (1 << 16) - 2
"""One more, and the number of members would need zip64 too."""

_LOCAL, _CENTRAL, _END = "<4s2B4HL2L2H", "<4s4B4HL2L5H2L", "<4s4H2LH"
_END64, _LOCATOR = "<4sQ2H2L4Q", "<4sLQL"
_CENTRAL_SIZE, _END_SIZE = struct.calcsize(_CENTRAL), struct.calcsize(_END)
_END64_SIZE = struct.calcsize(_END64) + struct.calcsize(_LOCATOR)
_DATE = 1 << 5 | 1  # 1 January 1980: no clock in the file, same input, same bytes
_MODE = 0o600 << 16
_ELSEWHERE = 2**32 - 1  # in a field whose number is in the extra field
_LARGE = 2**32 - 1  # from here on


class Entry(NamedTuple):
    """What the headers say of a member.

    Attributes:
        name: of the array, without `.npy`.
        crc: CRC-32 of the bytes before compression.
        stored: number of compressed bytes.
        size: number of bytes before compression.
        offset: place of the local header.
    """

    name: str
    crc: int
    stored: int
    size: int
    offset: int

    @property
    def is_large(self) -> bool:
        """Whether it needs zip64."""
        return max(self.stored, self.size, self.offset) >= _LARGE


class End(NamedTuple):
    """What the end of a zip says of the directory.

    Attributes:
        members: how many there are.
        length: bytes of the directory.
        start: place of the directory.
    """

    members: int
    length: int
    start: int

    @property
    def is_large(self) -> bool:
        """Whether it needs zip64."""
        return max(self.length, self.start) >= _LARGE


def local_header(entry: Entry) -> bytes:
    """Return what stands before the bytes of a member."""
    sizes, extra = _sizes(entry)
    filename = f"{entry.name}.npy".encode()
    more = _extra(extra)
    fields = (b"PK\3\4", _needs(more), 0, 0, zlib.DEFLATED, 0, _DATE, entry.crc, *sizes)
    return struct.pack(_LOCAL, *fields, len(filename), len(more)) + filename + more


def central_header(entry: Entry) -> bytes:
    """Return the entry of the directory."""
    sizes, extra = _sizes(entry)
    offset = entry.offset
    if offset >= _LARGE:
        offset, extra = _ELSEWHERE, [*extra, offset]
    filename = f"{entry.name}.npy".encode()
    more = _extra(extra)
    needs = _needs(more)
    fields = (needs, 3, needs, 0, 0, zlib.DEFLATED, 0, _DATE, entry.crc, *sizes)
    lengths = (len(filename), len(more), 0, 0, 0)
    return struct.pack(_CENTRAL, b"PK\1\2", *fields, *lengths, _MODE, offset) + filename + more


def parsed(entries: bytes, offset: int) -> tuple[Entry, bytes]:
    """Return the first entry of a directory as it claims to be, and the bytes of it.

    It must be compared with `central_header`: anything may be in the fields.

    Raises:
        ValueError: it is cut short.
    """
    if len(entries) < _CENTRAL_SIZE:
        raise ValueError("the directory of the zip is cut short")
    fields = struct.unpack_from(_CENTRAL, entries)
    crc, stored, size, letters, extra = fields[9:14]
    after = _CENTRAL_SIZE + letters
    name = entries[_CENTRAL_SIZE:after].decode("ascii", "replace").removesuffix(".npy")
    if stored == size == _ELSEWHERE and extra >= 20 and len(entries) >= after + 20:
        size, stored = struct.unpack_from("<2Q", entries, after + 4)
    return Entry(name, crc, stored, size, offset), entries[: after + extra]


def end(found: End, comment: bytes) -> bytes:
    """Return what stands behind the directory."""
    count, length, start = found
    ahead = b""
    if found.is_large:
        numbers = (45, 45, 0, 0, count, count, length, start)
        ahead = struct.pack(_END64, b"PK\6\6", struct.calcsize(_END64) - 12, *numbers)
        ahead += struct.pack(_LOCATOR, b"PK\6\7", 0, start + length, 1)
    length, start = (_ELSEWHERE if number >= _LARGE else number for number in (length, start))
    numbers = (b"PK\5\6", 0, 0, count, count, length, start, len(comment))
    return ahead + struct.pack(_END, *numbers) + comment


def parsed_end(tail: bytes, comment_size: int) -> tuple[End, int] | None:
    """Return what the end of a zip claims, and its length; None if no zip ends so.

    Args:
        tail: the last bytes of the file, `TAIL_SIZE` more than the comment if there are so many.
        comment_size: bytes of the comment.

    It must be compared with `end`: anything may be in the fields.
    """
    at = len(tail) - comment_size - _END_SIZE
    if at < 0 or tail[at : at + 4] != b"PK\5\6":
        return None
    *_, count, length, start, _ = struct.unpack_from(_END, tail, at)
    if _ELSEWHERE in (length, start) and at >= _END64_SIZE:
        at -= _END64_SIZE
        *_, count, length, start = struct.unpack_from(_END64, tail, at)
    return End(count, length, start), len(tail) - at


TAIL_SIZE = _END64_SIZE + _END_SIZE


def _sizes(entry: Entry) -> tuple[tuple[int, int], list[int]]:
    """Return the sizes for the header, and those for the extra field: both of them or none."""
    if max(entry.stored, entry.size) >= _LARGE:
        return (_ELSEWHERE, _ELSEWHERE), [entry.size, entry.stored]
    return (entry.stored, entry.size), []


def _extra(numbers: list[int]) -> bytes:
    size = 8 * len(numbers)
    return struct.pack(f"<2H{len(numbers)}Q", 1, size, *numbers) if numbers else b""


def _needs(extra: bytes) -> int:
    """Return the version of zip that a reader needs, times ten."""
    return 45 if extra else 20
