"""A compressed tree as one `.npz` file, and back.

The file holds data only, no pickle and no class names: a manifest (JSON in a member of bytes)
and one member for each kind of stream, all tensors merged. The README documents the format.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.archive import (
    ArtifactError,
    read_member,
    read_members,
    reading,
    write_atomically,
    write_members,
)
from jaxcompress.forms import Reader, Writer, read_leaf, write_leaf
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.outline import fill, outline
from jaxcompress.trees import PyTree, named_leaves

VERSION = 1


def save(
    path: str | os.PathLike[str], tree: PyTree, *, metadata: Mapping[str, Any] | None = None
) -> int:
    """Write a tree to one `.npz` file, atomically.

    The bytes go to a temporary file in the same folder, are flushed to the disk and renamed, so
    that `path` holds the previous file or the new one at any moment.

    Args:
        path: file to write.
        tree: `Clustered` and `Sparse` leaves are packed, all others stored exactly. Containers
            other than dicts, lists and tuples come back as dicts of their fields.
        metadata: anything that JSON can hold, for `inspect`; as in JSON, keys become strings and
            tuples lists.

    Returns:
        Size of the file in bytes.

    Raises:
        TypeError: a leaf that is not an array, a dtype or a key that cannot be stored.
        ValueError: metadata that is not JSON.
        OSError: the folder cannot be written.
    """
    data = encode(tree, metadata=metadata)
    write_atomically(Path(path), data)
    return len(data)


def load(path: str | os.PathLike[str]) -> PyTree:
    """Read a file and return ordinary arrays: `dense(load_compressed(path))`.

    Raises:
        ArtifactError: the file is damaged or not of this format.
        OSError: the file cannot be read.
    """
    return dense(load_compressed(path))


def load_compressed(path: str | os.PathLike[str]) -> PyTree:
    """Read a file and return the tree with its compressed leaves.

    Raises:
        ArtifactError: the file is damaged or not of this format.
        OSError: the file cannot be read.
    """
    with reading(path):
        members = read_members(Path(path).read_bytes())
        manifest = _read_manifest(members)
        reader = Reader(members)
        leaves = [read_leaf(entry, reader) for entry in manifest["tensors"]]
        reader.check_exhausted()
        return fill(manifest["tree"], leaves)


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the manifest of a file: `version`, `metadata`, `tree` and `tensors`.

    Raises:
        ArtifactError: the file is damaged or not of this format.
        OSError: the file cannot be read.
    """
    with reading(path), zipfile.ZipFile(path) as archive:
        return _read_manifest({"manifest": read_member(archive, "manifest.npy")})


def encode(tree: PyTree, *, metadata: Mapping[str, Any] | None = None) -> bytes:
    """Return the bytes of the file that `save` writes; same input, same bytes."""
    named = named_leaves(tree, is_leaf=is_compressed)
    writer = Writer()
    tensors = [
        write_leaf(path, leaf, writer) for path, leaf in zip(named.paths, named.leaves, strict=True)
    ]
    manifest = {
        "format": "jaxcompress",
        "version": VERSION,
        "metadata": dict(metadata or {}),
        "tree": outline(tree, is_compressed),
        "tensors": tensors,
    }
    try:
        text = json.dumps(manifest, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"metadata: must be JSON, got {error}; use strings, finite numbers, lists and dicts."
        ) from None
    members = {"manifest": np.frombuffer(text.encode(), np.uint8)}
    return write_members(members | writer.streams())


def _read_manifest(members: dict[str, np.ndarray]) -> dict[str, Any]:
    manifest = json.loads(members["manifest"].tobytes())
    if manifest["format"] != "jaxcompress":
        raise ArtifactError(f"format: expected 'jaxcompress', found {manifest['format']!r}")
    if manifest["version"] != VERSION:
        raise ArtifactError(
            f"version: this reader knows version {VERSION}, found {manifest['version']!r}; "
            "upgrade jaxcompress"
        )
    return manifest
