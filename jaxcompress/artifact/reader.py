"""Reading a file: every byte is accounted for, and nothing is used before it is checked."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxcompress.artifact import manifest
from jaxcompress.artifact._archive import Directory, directory
from jaxcompress.artifact._foreign import HEAD_SIZE, kind_by
from jaxcompress.artifact._forms import SAME, read_leaf
from jaxcompress.artifact._members import Member, inflate
from jaxcompress.artifact._needs import PartNeed, check_needs
from jaxcompress.artifact.memory import limit_of
from jaxcompress.artifact.outline import fill
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.repeats import Repeat
from jaxcompress.artifact.source import Source, opened
from jaxcompress.artifact.streams import MANIFEST, PROGRAM, STREAMS, Reader, parsed_name
from jaxcompress.errors import ArtifactError
from jaxcompress.trees import PyTree


class TensorInfo(NamedTuple):
    """One tensor of a file.

    Attributes:
        path: in the tree.
        leaf: as from `load_compressed`, of numpy arrays.
        entry: of the manifest.
        stored_bytes: its part of the compressed streams.
    """

    path: str
    leaf: Any
    entry: dict[str, Any]
    stored_bytes: float


class Contents(NamedTuple):
    """Everything that a file holds.

    Attributes:
        tree: with its leaves.
        manifest: as from `inspect`.
        tensors: one for each leaf.
        file_bytes: size of the file.
    """

    tree: PyTree
    manifest: dict[str, Any]
    tensors: list[TensorInfo]
    file_bytes: int


class StoredPart(NamedTuple):
    """Tensors of a file that have streams of their own.

    Attributes:
        number: of the part, from 0.
        first: number of its first tensor.
        entries: of the manifest, one for each tensor.
        members: places of the streams, by stream.
    """

    number: int
    first: int
    entries: list[dict[str, Any]]
    members: dict[str, Member]

    @property
    def stream_bytes(self) -> int:
        """Bytes of all streams, and of the copy that joining the largest planes makes."""
        planes = (m.size for name, m in self.members.items() if name.endswith("_planes"))
        return sum(member.size for member in self.members.values()) + max(planes, default=0)

    def stored_until(self, count: int) -> int:
        """Return how many tensors there are up to the next one that is stored in this part."""
        while count < len(self.entries) and self.entries[count]["form"] == SAME:
            count += 1
        return count

    def need(self, count: int | None = None) -> PartNeed:
        """Return what reading the first tensors takes, or all; those of other parts not."""
        stored = [entry for entry in self.entries[:count] if entry["form"] != SAME]
        return PartNeed(self.stream_bytes, stored)


class Opened(NamedTuple):
    """An open file whose manifest is checked.

    Attributes:
        source: the file.
        manifest: as from `inspect`.
        parts: in the order of the file.
        program: the place of a program; None in a file of data alone.
    """

    source: Source
    manifest: dict[str, Any]
    parts: list[StoredPart]
    program: Member | None = None

    def reader(self, part: StoredPart) -> Reader:
        """Return a reader of the streams of a part."""
        return Reader(self.source, part.members, self.manifest["version"], part.number)


def read(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> Contents:
    """Read a file, with the bytes that each tensor takes in it.

    Args:
        path: file to read.
        max_bytes: most bytes of memory, as for `load`.

    Raises:
        ArtifactError: the file is damaged, hostile or not of this format, or needs more memory.
        MissingLibraryError: layout `entropy` of version 2 to 4, and constriction is missing.
        OSError: the file cannot be read.
    """
    with reading(path), opened(path) as source:
        return contents(source, limit_of(max_bytes))


def contents(source: Source, max_bytes: int) -> Contents:
    """Return what a file holds, with the bytes that each tensor takes in it.

    Raises:
        ArtifactError: the file is damaged, or needs more memory than `max_bytes`.
    """
    return contents_of(open_parts(source, max_bytes), max_bytes)


def contents_of(found: Opened, max_bytes: int) -> Contents:
    """Return what an open file holds, as `contents`.

    Raises:
        ArtifactError: the file is damaged, or needs more memory than `max_bytes`.
    """
    check_needs([part.need() for part in found.parts], max_bytes)
    leaves, shares = [], []
    for part in found.parts:
        reader = found.reader(part)
        leaves += leaves_of(part, reader)
        shares += reader.stored_bytes()
    leaves = [leaves[leaf.tensor] if isinstance(leaf, Repeat) else leaf for leaf in leaves]
    entries = found.manifest["tensors"]
    tensors = [
        TensorInfo(entry["path"], leaf, entry, share)
        for entry, leaf, share in zip(entries, leaves, shares, strict=True)
    ]
    tree = fill(found.manifest["tree"], leaves)
    return Contents(tree, found.manifest, tensors, found.source.size)


def leaves_of(part: StoredPart, reader: Reader) -> Iterator[Any]:
    """Yield the leaves of a part; after the last one, all bytes of its streams must be used up.

    A leaf that is the same as another one comes as a `Repeat`, which names it.

    Raises:
        ArtifactError: the numbers in the streams break a rule.
    """
    for entry in part.entries:
        yield read_leaf(entry, reader)
    reader.check_exhausted()


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the manifest only.

    Raises:
        ArtifactError: the file is damaged or not of this format.
        OSError: the file cannot be read.
    """
    with reading(path), opened(path) as source:
        return open_parts(source, None).manifest


def program_of(found: Opened, max_bytes: int) -> bytes:
    """Return the bytes of the program of a file, after the check of their digest.

    Raises:
        ArtifactError: there is none, it is damaged or not that of the manifest, or it needs more
            memory than `max_bytes`.
    """
    if found.program is None:
        raise ArtifactError("the file holds data alone, and no program")
    if found.program.size > max_bytes:
        raise ArtifactError(
            "the program takes more than max_bytes allows",
            expected=f"<= {max_bytes} bytes",
            found=found.program.size,
        )
    data = inflate(found.source, PROGRAM, found.program, STREAMS[PROGRAM]).tobytes()
    if hashlib.sha256(data).hexdigest() != found.manifest["program"]["sha256"]:
        raise ArtifactError("the sha256 of the program differs")
    return data


def open_parts(source: Source, max_bytes: int | None) -> Opened:
    """Return the manifest and the places of the parts, checked; nothing else is read.

    Args:
        source: the file.
        max_bytes: that the values of the manifest may take; None for the default.

    Raises:
        ArtifactError: the file is damaged or not of this format.
    """
    found = _directory(source)
    member = found.members.pop(MANIFEST, None)
    if member is None:
        raise ArtifactError("the manifest is missing")
    if member.size > manifest.MOST_BYTES:
        raise ArtifactError(
            "the manifest is too long",
            expected=f"<= {manifest.MOST_BYTES} bytes",
            found=member.size,
        )
    data = inflate(source, MANIFEST, member, STREAMS[MANIFEST])
    told = manifest.decode(data.tobytes(), found.comment, max_bytes)
    program = found.members.pop(PROGRAM, None)
    if (program is not None) != ("program" in told):
        raise ArtifactError("a program must be in the file and in its manifest, or in neither")
    last = max((each.start for each in found.members.values()), default=0)
    if program is not None and not last <= program.start < member.start:
        raise ArtifactError("members must be in the order of parts", found=PROGRAM)
    return Opened(source, told, _parts(told, found, member), program)


def _directory(source: Source) -> Directory:
    try:
        return directory(source, lambda name: bool(parsed_name(name)), manifest.DIGEST_SIZES)
    except ArtifactError as error:
        kind = kind_by(source.read(0, min(source.size, HEAD_SIZE)))
        if kind is None:
            raise
        raise ArtifactError(f"not a file that jaxcompress wrote, but {kind}") from error


def _parts(told: dict[str, Any], found: Directory, last: Member) -> list[StoredPart]:
    """Return the parts, after the check that every member belongs to one and is in its place."""
    by_part: dict[int, dict[str, Member]] = defaultdict(dict)
    before = 0
    lengths = manifest.parts_of(told)
    for name, member in found.members.items():
        stream, number = parsed_name(name) or ("", len(lengths))
        if number >= len(lengths):
            raise ArtifactError("a member of no part", expected=len(lengths), found=name)
        by_part[number][stream] = member
        if told["version"] >= manifest.WITH_PARTS:
            if number < before or member.start > last.start:
                raise ArtifactError("members must be in the order of parts", found=name)
            before = number
    if found.is_large and told["version"] < manifest.WITH_PARTS:
        raise ArtifactError("zip64 in a version of the format that has none", found=told["version"])
    parts, first = [], 0
    for number, length in enumerate(lengths):
        entries = told["tensors"][first : first + length]
        parts.append(StoredPart(number, first, entries, by_part[number]))
        first += length
    return parts
