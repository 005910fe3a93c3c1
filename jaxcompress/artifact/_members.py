"""Arrays of one axis as compressed bytes, and back."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.artifact.source import Source
from jaxcompress.errors import ArtifactError

_HEADER_SIZE = 128
_PIECE = 1 << 20
_TRIAL, _TRIAL_PARTS, _OWN_CODE = 1 << 12, 8, 256
_SEARCHED = 1 << 16  # bytes; for more, the search for repetitions is less thorough
_STRATEGIES = {
    (zlib.Z_DEFAULT_STRATEGY, 0): 0.98,
    (zlib.Z_HUFFMAN_ONLY, 9): 1.0,
    (zlib.Z_DEFAULT_STRATEGY, 9): 1.0,
}
"""Strategies with the highest level of each, and what a byte costs.

Level 0 stores bytes as they are, at four times the speed: a gain of one percent is not worth more.
"""


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

    The best of three strategies is chosen on a sample, up to 4 KiB of each of the first parts: the
    search for repetitions is very slow where bytes have few different values. Codes and distances
    hardly repeat: for them literals alone, with Huffman codes, are smaller and fast. Each part of
    256 bytes or more has Huffman codes of its own.
    """
    chunks = [np.ascontiguousarray(part).data.cast("B") for part in parts]
    header = _npy_header(parts[0].dtype.str, sum(part.size for part in parts))
    sample = [chunk[:_TRIAL] for chunk in chunks[:_TRIAL_PARTS]]
    strategy = min(
        _STRATEGIES, key=lambda s: _STRATEGIES[s] * sum(map(len, _compressed(sample, *s)))
    )
    # The header has a block of its own: its bytes would spoil the Huffman code of the data.
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    head = compressor.compress(header) + compressor.flush(zlib.Z_SYNC_FLUSH)
    crc = zlib.crc32(header)
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
    size = len(header) + sum(map(len, chunks))
    return Deflated((head, *_compressed(chunks, *strategy)), crc, size)


def _compressed(chunks: Sequence[memoryview], strategy: int, most: int) -> list[bytes]:
    level = min(most, 9 if sum(map(len, chunks)) < _SEARCHED else 4)
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    segments = []
    for chunk in chunks:
        segments.append(compressor.compress(chunk))
        if len(chunk) >= _OWN_CODE:
            segments.append(compressor.flush(zlib.Z_BLOCK))
    return [*segments, compressor.flush()]


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
