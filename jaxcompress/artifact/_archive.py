"""Members of an `.npz` file, with only one way to write them.

The file is an ordinary zip of `.npy` members that `np.load` reads. Every byte outside of the
compressed data follows from names, sizes and checksums. So the reader computes these bytes again
and compares them: nothing unknown can be in the file. The comment of the zip is free for the
caller.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from jaxcompress.artifact._members import Deflated, Member
from jaxcompress.artifact._zip import (
    LONGEST_ENTRY,
    MOST_MEMBERS,
    TAIL_SIZE,
    End,
    Entry,
    central_header,
    end,
    local_header,
    parsed,
    parsed_end,
)
from jaxcompress.artifact.source import Source
from jaxcompress.errors import ArtifactError


class Archive:
    """A zip that is written member by member; it keeps the directory only.

    Attributes:
        is_large: whether it needs zip64 so far.
    """

    def __init__(self) -> None:
        self.is_large = False
        self._offset = 0
        self._directory: list[bytes] = []

    def member(self, name: str, member: Deflated) -> Iterator[bytes]:
        """Yield the bytes of the next member.

        Raises:
            ValueError: there are too many.
        """
        if len(self._directory) == MOST_MEMBERS:
            raise ValueError(
                f"{name}: a file must have at most {MOST_MEMBERS:,} members, got more; save the "
                "tree in several files."
            )
        entry = Entry(name, member.crc, member.stored, member.size, self._offset)
        self.is_large |= entry.is_large
        header = local_header(entry)
        self._directory.append(central_header(entry))
        self._offset += len(header) + member.stored
        yield header
        yield from member.segments

    def end(self, comment: bytes = b"") -> Iterator[bytes]:
        """Yield the directory, and the end of the file."""
        length = sum(map(len, self._directory))
        yield from self._directory
        yield end(End(len(self._directory), length, self._offset), comment)


class Directory(NamedTuple):
    """The directory of a zip.

    Attributes:
        members: their places, in the order of the file.
        comment: of the zip.
        is_large: whether it needs zip64.
    """

    members: dict[str, Member]
    comment: bytes
    is_large: bool


def directory(
    source: Source, is_name: Callable[[str], bool], comment_sizes: Sequence[int]
) -> Directory:
    """Return the places of the members, and the comment, after every byte is accounted for.

    Args:
        source: the file.
        is_name: whether a member may have a name.
        comment_sizes: that the comment may have.

    Raises:
        ArtifactError: a byte is not as `Archive` writes it for these members.
    """
    found, comment = _end(source, comment_sizes)
    entries = source.read(found.start, found.length)
    members: dict[str, Member] = {}
    at, offset, is_large = 0, 0, found.is_large
    for _ in range(found.members):
        entry, member, length = _entry(source, entries[at : at + LONGEST_ENTRY], offset)
        at += length
        if not is_name(entry.name):
            raise ArtifactError("an unknown member", found=entry.name)
        if entry.name in members:
            raise ArtifactError("a member is there twice", found=entry.name)
        members[entry.name] = member
        is_large |= entry.is_large
        offset = member.start + member.stored
        if offset > found.start:
            raise ArtifactError(f"{entry.name}: its bytes run into the directory of the zip")
    if at != found.length or offset != found.start:
        raise ArtifactError("bytes that belong to no member")
    return Directory(members, comment, is_large)


def _end(source: Source, comment_sizes: Sequence[int]) -> tuple[End, bytes]:
    """Return what the end of the file says of the directory, and the comment."""
    for size in comment_sizes:
        length = min(source.size, TAIL_SIZE + size)
        tail = source.read(source.size - length, length)
        claimed = parsed_end(tail, size)
        if claimed:
            break
    else:
        raise ArtifactError("not an .npz of this format, or cut short: no zip ends here")
    found, length = claimed
    fits = found.start + found.length == source.size - length
    if not fits or found.members > MOST_MEMBERS or found.length > found.members * LONGEST_ENTRY:
        raise ArtifactError(
            "the directory of the zip does not fit", found=f"{found.members} members"
        )
    comment = tail[len(tail) - size :]
    if tail[len(tail) - length :] != end(found, comment):
        raise ArtifactError("the end of the zip is not in its one form")
    return found, comment


def _entry(source: Source, entries: bytes, offset: int) -> tuple[Entry, Member, int]:
    """Return the first of some entries of the directory, its member, and its length."""
    try:
        entry, own = parsed(entries, offset)
    except ValueError as error:
        raise ArtifactError(str(error)) from None
    header = local_header(entry)
    if own != central_header(entry) or source.read(offset, len(header)) != header:
        raise ArtifactError("a header of the zip is not in its one form", found=entry.name)
    if entry.stored > entry.size + entry.size // 32 + 1000:
        # Blocks of 256 incompressible bytes grow by 2 %.
        raise ArtifactError(
            f"{entry.name}: more bytes than incompressible ones take", found=entry.stored
        )
    member = Member(offset + len(header), entry.stored, entry.crc, entry.size)
    return entry, member, len(own)
