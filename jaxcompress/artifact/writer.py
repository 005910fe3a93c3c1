"""A file written part by part, so that only one part need be in memory."""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact import manifest
from jaxcompress.artifact._archive import Archive
from jaxcompress.artifact._forms import oldest_version
from jaxcompress.artifact._members import Deflated, deflate
from jaxcompress.artifact._parts import Layout, Part, encode_part, lengths
from jaxcompress.artifact.atomic import atomic_file
from jaxcompress.artifact.outline import Outline, paths
from jaxcompress.artifact.streams import MANIFEST, PROGRAM, Coder, member_name
from jaxcompress.packing import block


class Program(NamedTuple):
    """A function as bytes, beside the data of a file.

    Attributes:
        data: the bytes.
        told: what the manifest says of it, as JSON.
    """

    data: bytes
    told: Mapping[str, Any]


def encoded(
    leaves: Iterable[tuple[str, Any]],
    like: Iterable[Any],
    layout: Layout,
    coder: Coder = block.encoded,
) -> Iterator[Part]:
    """Yield the parts of a file, one at a time.

    Args:
        leaves: path and leaf, in the order of the tree; they may come one at a time.
        like: leaves of the same shapes, or the same ones.
        layout: a key of `LAYOUTS`, or a function from path to key.
        coder: of codes; with `block.estimated` the parts are of about the size, and no file.

    Raises:
        TypeError: a dtype that cannot be stored.
        ValueError: no such layout, or a leaf that breaks the rules of its type.
    """
    coming = iter(leaves)
    for length in lengths(like):
        yield encode_part(itertools.islice(coming, length), layout, coder)


def write(
    path: str | os.PathLike[str],
    parts: Iterable[Part],
    structure: Outline,
    *,
    metadata: Mapping[str, Any] | None = None,
    program: Program | None = None,
) -> int:
    """Write a file atomically; return its size in bytes.

    Args:
        path: file to write.
        parts: from `encoded`; they may come one at a time.
        structure: of the tree whose leaves they hold, from `outline`.
        metadata: as for `save`.
        program: to go with the data.

    Raises:
        ValueError: parts with other leaves than the tree, or metadata that is not JSON.
        OSError: the folder cannot be written.
    """
    with atomic_file(Path(path)) as file:
        file.writelines(pieces(parts, structure, metadata=metadata, program=program))
        return file.tell()


def pieces(
    parts: Iterable[Part],
    structure: Outline,
    *,
    metadata: Mapping[str, Any] | None = None,
    program: Program | None = None,
) -> Iterator[bytes]:
    """Yield the bytes of a file while its parts come.

    A file that an earlier version of the format can hold begins with its manifest. All others end
    with it, since only then everything in it is known.
    """
    notes = manifest.checked_metadata(metadata)
    coming = _in_order(parts, paths(structure))
    held = list(itertools.islice(coming, 2))
    if len(held) < 2 and program is None:
        whole = _of_old_version(held[0] if held else Part([], {}), structure, notes)
        if whole is not None:
            yield from whole
            return
    archive, entries, counts = Archive(), [], []
    while held:
        part = held.pop(0)
        yield from _members(archive, part.members, len(counts))
        entries += part.entries
        counts.append(len(part.entries))
        del part  # before the next one comes
        held += itertools.islice(coming, 0 if held else 1)
    told = None
    if program is not None:
        told = dict(program.told) | {"sha256": hashlib.sha256(program.data).hexdigest()}
        code = np.frombuffer(program.data, np.uint8)
        yield from _members(archive, {PROGRAM: deflate([code])})
    data, digest = manifest.encode(structure, entries, notes, parts=counts, program=told)
    yield from _members(archive, {MANIFEST: deflate([data])})
    yield from archive.end(digest)


def _of_old_version(part: Part, structure: Outline, notes: dict[str, Any]) -> list[bytes] | None:
    """Return the bytes of a file of one part; None if no version without parts can hold it."""
    if oldest_version(part.entries) >= manifest.WITH_PARTS:
        return None
    data, digest = manifest.encode(structure, part.entries, notes)
    archive = Archive()
    found = list(_members(archive, {MANIFEST: deflate([data])} | part.members))
    found += archive.end(digest)
    return None if archive.is_large else found


def _members(archive: Archive, members: Mapping[str, Deflated], part: int = 0) -> Iterator[bytes]:
    for name, member in members.items():
        yield from archive.member(member_name(name, part), member)


def _in_order(parts: Iterable[Part], expected: list[str]) -> Iterator[Part]:
    """Yield the parts, after the check that they hold the leaves of the tree in its order."""
    count = 0
    for part in parts:
        found = [entry["path"] for entry in part.entries]
        if not found or found != expected[count : count + len(found)]:
            raise _out_of_order(expected[count:], found)
        count += len(found)
        yield part
    if count < len(expected):
        raise _out_of_order(expected[count:], [])


def _out_of_order(expected: list[str], found: list[str]) -> ValueError:
    first = next((path for path in expected if path not in found), "(root)")
    return ValueError(
        f"{first}: leaves must be added in the order of the tree, got {len(found)} others here; "
        "add each once."
    )
