"""One-dimensional arrays as members of an `.npz` file, with only one way to write each.

The file is an ordinary zip of `.npy` members that `np.load` reads. Every byte outside of the
compressed data follows from names, sizes and checksums. So the reader computes these bytes again
and compares them: nothing unknown can be in the file. The comment of the zip is free for the
caller.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from jaxcompress.artifact.regular import open_regular
from jaxcompress.errors import ArtifactError

_LOCAL, _CENTRAL, _END = "<4s2B4HL2L2H", "<4s4B4HL2L5H2L", "<4s4H2LH"
_CENTRAL_SIZE, _END_SIZE = struct.calcsize(_CENTRAL), struct.calcsize(_END)
_DATE = 1 << 5 | 1  # 1 January 1980: no clock in the file, same input, same bytes
_MODE = 0o600 << 16
_HEADER_SIZE = 128
_LARGEST = 2**32 - 1
_PIECE = 1 << 20
_MOST_MEMBERS, _LONGEST_ENTRY = 64, 128
_TRIAL, _TRIAL_PARTS, _OWN_CODE = 1 << 12, 8, 256
_SEARCHED = 1 << 16  # bytes; for more, the search for repetitions is less thorough
_STRATEGIES = (zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY)


class Deflated(NamedTuple):
    """One array as a member of the archive.

    Attributes:
        segments: its compressed bytes, in order.
        crc: CRC-32 of the bytes before compression.
        size: number of bytes before compression.
    """

    segments: tuple[bytes, ...]
    crc: int
    size: int

    @property
    def stored(self) -> int:
        """Bytes in the file, without the headers."""
        return sum(map(len, self.segments))


class Member(NamedTuple):
    """The place of an array in the archive.

    Attributes:
        start: of its compressed bytes.
        stored: number of compressed bytes.
        crc: CRC-32 of the bytes before compression.
        size: number of bytes before compression.
    """

    start: int
    stored: int
    crc: int
    size: int


def deflate(parts: Sequence[np.ndarray]) -> Deflated:
    """Compress arrays of one dtype as one array of one axis.

    The better of two strategies is chosen on a sample, up to 4 KiB of each of the first parts: the
    search for repetitions is very slow where bytes have few different values. Codes and distances
    hardly repeat: for them literals alone, with Huffman codes, are smaller and fast. Each part of
    256 bytes or more has Huffman codes of its own.
    """
    chunks = [np.ascontiguousarray(part).data.cast("B") for part in parts]
    header = _npy_header(parts[0].dtype.str, sum(part.size for part in parts))
    sample = [chunk[:_TRIAL] for chunk in chunks[:_TRIAL_PARTS]]
    strategy = min(_STRATEGIES, key=lambda s: sum(map(len, _compressed(sample, s))))
    # The header has a block of its own: its bytes would spoil the Huffman code of the data.
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    head = compressor.compress(header) + compressor.flush(zlib.Z_SYNC_FLUSH)
    crc = zlib.crc32(header)
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
    size = len(header) + sum(map(len, chunks))
    return Deflated((head, *_compressed(chunks, strategy)), crc, size)


def _compressed(chunks: Sequence[memoryview], strategy: int) -> list[bytes]:
    level = 9 if sum(map(len, chunks)) < _SEARCHED else 4
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    segments = []
    for chunk in chunks:
        segments.append(compressor.compress(chunk))
        if len(chunk) >= _OWN_CODE:
            segments.append(compressor.flush(zlib.Z_BLOCK))
    return [*segments, compressor.flush()]


def archive(members: Mapping[str, Deflated], comment: bytes = b"") -> Iterator[bytes]:
    """Yield the bytes of the file.

    Raises:
        ValueError: it would be larger than 4 GiB, for which zip needs another format.
    """
    offset, directory = 0, []
    for name, member in members.items():
        if max(offset, member.size) + member.stored > _LARGEST:
            raise ValueError(
                f"{name}: a file must be smaller than 4 GiB, got {offset + member.size:,} bytes by "
                "here; save the tree in several files."
            )
        header = _local_header(name, member.crc, member.stored, member.size)
        directory.append(_central_header(name, member.crc, member.stored, member.size, offset))
        offset += len(header) + member.stored
        yield header
        yield from member.segments
    yield from directory
    yield _end(len(directory), sum(map(len, directory)), offset, comment)


class Source:
    """A regular file, read piece by piece."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on.

        Raises:
            ArtifactError: they are outside of the file.
        """
        if start < 0 or start + count > self.size:
            raise ArtifactError("cut short", expected=f">= {start + count}", found=self.size)
        self._file.seek(start)
        data = self._file.read(count)
        if len(data) != count:
            raise ArtifactError("cut short while it was read")
        return data


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a file for reading, without waiting for the other end of a pipe.

    Raises:
        ArtifactError: it is not a regular file.
        OSError: it cannot be opened.
    """
    with open_regular(path) as file:
        yield Source(file)


def directory(
    source: Source, names: Container[str], comment_sizes: Sequence[int]
) -> tuple[dict[str, Member], bytes]:
    """Return the places of the members, and the comment, after every byte is accounted for.

    Args:
        source: the file.
        names: that members may have.
        comment_sizes: that the comment may have.

    Raises:
        ArtifactError: a byte is not as `archive` writes it for these members.
    """
    for size in comment_sizes:
        at = source.size - size - _END_SIZE
        if at >= 0 and source.read(at, 4) == b"PK\5\6":
            break
    else:
        raise ArtifactError("not an .npz of this format, or cut short: no zip ends here")
    end = source.read(at, _END_SIZE + size)
    *_, count, length, start, _ = struct.unpack_from(_END, end)
    if start + length != at or count > _MOST_MEMBERS or length > count * _LONGEST_ENTRY:
        raise ArtifactError("the directory of the zip does not fit", found=f"{count} members")
    comment = end[_END_SIZE:]
    if end != _end(count, length, start, comment):
        raise ArtifactError("the end of the zip is not in its one form")
    entries = source.read(start, length)
    members: dict[str, Member] = {}
    offset = 0
    for _ in range(count):
        name, member, entries = _first_entry(source, entries, offset)
        if name not in names:
            raise ArtifactError("an unknown member", found=name)
        if name in members:
            raise ArtifactError("a member is there twice", found=name)
        members[name] = member
        offset = member.start + member.stored
        if offset > start:
            raise ArtifactError(f"{name}: its bytes run into the directory of the zip")
    if entries or offset != start:
        raise ArtifactError("bytes that belong to no member")
    return members, comment


def _first_entry(source: Source, entries: bytes, offset: int) -> tuple[str, Member, bytes]:
    """Return the member of the first entry of the directory, and the other entries."""
    if len(entries) < _CENTRAL_SIZE:
        raise ArtifactError("the directory of the zip is cut short")
    fields = struct.unpack_from(_CENTRAL, entries)
    crc, stored, size, letters = fields[9:13]
    after = _CENTRAL_SIZE + letters
    name = entries[_CENTRAL_SIZE:after].decode("ascii", "replace").removesuffix(".npy")
    header = _local_header(name, crc, stored, size)
    if (
        entries[:after] != _central_header(name, crc, stored, size, offset)
        or source.read(offset, len(header)) != header
    ):
        raise ArtifactError("a header of the zip is not in its one form", found=name)
    if stored > size + size // 32 + 1000:  # blocks of 256 incompressible bytes grow by 2 %
        raise ArtifactError(f"{name}: more bytes than incompressible ones take", found=stored)
    return name, Member(offset + len(header), stored, crc, size), entries[after:]


def inflate(source: Source, name: str, member: Member, descrs: Sequence[str]) -> np.ndarray:
    """Return the array of a member.

    Args:
        source: the file.
        name: of the member, for errors.
        member: its place.
        descrs: the dtypes it may have, as numpy writes them.

    Raises:
        ArtifactError: it is not one array of one axis and of such a dtype, or it is damaged.
    """
    content = _decompressed(source, name, member)
    if zlib.crc32(content) != member.crc:
        raise ArtifactError(f"{name}: the checksum differs")
    for descr in descrs:
        count, rest = divmod(member.size - _HEADER_SIZE, np.dtype(descr).itemsize)
        if count >= 0 and not rest and content.startswith(_npy_header(descr, count)):
            array = np.frombuffer(content, descr, offset=_HEADER_SIZE)
            array.flags.writeable = False
            return array
    raise ArtifactError(
        f"{name}: not an array of one axis as numpy writes it", expected=" or ".join(descrs)
    )


def _decompressed(source: Source, name: str, member: Member) -> bytearray:
    """Return the bytes of a member, decompressed in pieces: zlib alone would hold them twice."""
    decompressor = zlib.decompressobj(-15)
    content, filled = bytearray(member.size), 0
    start, stop = member.start, member.start + member.stored
    try:
        while not decompressor.eof:
            piece = decompressor.unconsumed_tail
            if not piece:
                piece = source.read(start, min(_PIECE, stop - start))
                start += len(piece)
            data = decompressor.decompress(piece, _PIECE)
            if filled + len(data) > member.size or not (data or piece):
                break
            content[filled : filled + len(data)] = data
            filled += len(data)
    except zlib.error as error:
        raise ArtifactError(f"{name}: the compressed bytes are damaged ({error})") from None
    whole = decompressor.eof and filled == member.size and start == stop
    if not whole or decompressor.unused_data:
        raise ArtifactError(f"{name}: another number of bytes than declared", expected=member.size)
    return content


def _npy_header(descr: str, count: int) -> bytes:
    """Return the header of numpy for an array of one axis, format 1.0."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({count},), }}"
    start = b"\x93NUMPY\1\0" + (_HEADER_SIZE - 10).to_bytes(2, "little")
    return start + text.encode().ljust(_HEADER_SIZE - 11) + b"\n"


def _local_header(name: str, crc: int, stored: int, size: int) -> bytes:
    filename = f"{name}.npy".encode()
    fields = (b"PK\3\4", 20, 0, 0, zlib.DEFLATED, 0, _DATE, crc, stored, size, len(filename), 0)
    return struct.pack(_LOCAL, *fields) + filename


def _central_header(name: str, crc: int, stored: int, size: int, offset: int) -> bytes:
    filename = f"{name}.npy".encode()
    fields = (20, 3, 20, 0, 0, zlib.DEFLATED, 0, _DATE, crc, stored, size, len(filename))
    return struct.pack(_CENTRAL, b"PK\1\2", *fields, 0, 0, 0, 0, _MODE, offset) + filename


def _end(count: int, length: int, start: int, comment: bytes) -> bytes:
    numbers = (b"PK\5\6", 0, 0, count, count, length, start, len(comment))
    return struct.pack(_END, *numbers) + comment
