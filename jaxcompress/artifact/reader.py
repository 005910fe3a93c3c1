"""Reading a file: every byte is accounted for, and nothing is used before it is checked."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxcompress.artifact import manifest
from jaxcompress.artifact._archive import Member, Source, directory, inflate, opened
from jaxcompress.artifact._foreign import HEAD_SIZE, kind_by
from jaxcompress.artifact._forms import read_leaf
from jaxcompress.artifact.memory import default_max_bytes
from jaxcompress.artifact.outline import fill
from jaxcompress.artifact.reading import reading
from jaxcompress.artifact.streams import MANIFEST, STREAMS, Reader
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


def read(
    path: str | os.PathLike[str],
    *,
    max_bytes: int | None = None,
    convert: Callable[[Any], Any] = lambda leaf: leaf,
) -> Contents:
    """Read a file, with the bytes that each tensor takes in it.

    Args:
        path: file to read.
        max_bytes: most bytes of memory, as for `load`.
        convert: applied to each leaf of numpy arrays as soon as it is read.

    Raises:
        ArtifactError: the file is damaged, hostile or not of this format, or needs more memory.
        MissingLibraryError: it has the entropy layout, and constriction is not installed.
        OSError: the file cannot be read.
    """
    limit = default_max_bytes() if max_bytes is None else max_bytes
    with reading(path), opened(path) as source:
        members, found = _manifest(source, limit)
        reader = Reader(source, members, found["version"])
        leaves = [convert(read_leaf(entry, reader)) for entry in found["tensors"]]
        reader.check_exhausted()
        size, shares = source.size, reader.stored_bytes()
    columns = zip(found["tensors"], leaves, shares, strict=True)
    tensors = [TensorInfo(entry["path"], leaf, entry, share) for entry, leaf, share in columns]
    return Contents(fill(found["tree"], leaves), found, tensors, size)


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the manifest only.

    Raises:
        ArtifactError: the file is damaged or not of this format.
        OSError: the file cannot be read.
    """
    with reading(path), opened(path) as source:
        return _manifest(source, None)[1]


def _manifest(source: Source, max_bytes: int | None) -> tuple[dict[str, Member], dict[str, Any]]:
    """Return the members and the manifest, checked; with None only the manifest is needed."""
    try:
        members, digest = directory(source, STREAMS, manifest.DIGEST_SIZES)
    except ArtifactError as error:
        kind = kind_by(source.read(0, min(source.size, HEAD_SIZE)))
        if kind is None:
            raise
        raise ArtifactError(f"not a file that jaxcompress wrote, but {kind}") from error
    if MANIFEST not in members:
        raise ArtifactError("the manifest is missing")
    if members[MANIFEST].size > manifest.MOST_BYTES:
        raise ArtifactError(
            "the manifest is too long",
            expected=f"<= {manifest.MOST_BYTES} bytes",
            found=members[MANIFEST].size,
        )
    total = sum(member.size for member in members.values())
    if max_bytes is not None and total > max_bytes:
        raise ArtifactError(
            "the streams take more than max_bytes allows",
            expected=f"<= {max_bytes} bytes",
            found=total,
        )
    data = inflate(source, MANIFEST, members[MANIFEST], STREAMS[MANIFEST])
    found = manifest.decode(data.tobytes(), digest, max_bytes)
    if max_bytes is not None:
        planes = max((m.size for name, m in members.items() if name.endswith("_planes")), default=0)
        manifest.check_needs(found, total + planes, max_bytes)  # joining planes makes a copy
    return members, found
