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
from jaxcompress.leaves import Clustered, Sparse, dense, is_compressed
from jaxcompress.outline import fill, outline
from jaxcompress.packing import csr
from jaxcompress.trees import PyTree, as_jax, named_leaves

VERSION = 1
_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
)


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
        metadata: anything that JSON can hold, for `inspect`.

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
        streams = _Reader(members)
        leaves = [_read_tensor(entry, streams) for entry in manifest["tensors"]]
        streams.check_exhausted()
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
    streams: dict[str, list[np.ndarray]] = {}
    tensors = [
        _write_tensor(path, leaf, streams)
        for path, leaf in zip(named.paths, named.leaves, strict=True)
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
    members |= {name: _narrow(name, np.concatenate(parts)) for name, parts in streams.items()}
    return write_members(members)


# Writing: every tensor adds to the streams and leaves an entry in the manifest.


def _write_tensor(path: str, leaf: Any, streams: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    dtype = np.dtype(leaf.dtype).name if isinstance(leaf.dtype, np.dtype) else str(leaf.dtype)
    if dtype not in _DTYPES:
        raise TypeError(
            f"{path}: dtype must be one of {', '.join(_DTYPES)}, got {dtype}; convert it first."
        )
    entry = {"path": path, "shape": list(leaf.shape), "dtype": dtype}

    def add(name: str, values: np.ndarray) -> None:
        streams.setdefault(name, []).append(values)

    if isinstance(leaf, Clustered):
        codebook = np.asarray(leaf.codebook)
        codes = np.asarray(leaf.codes).reshape(_matrix_shape(leaf.shape))
        packed = csr.encode(codes, codes != 0)
        add("row_lengths", packed.row_lengths)
        add("distances", packed.distances)
        add(_codes_stream(codebook.size), packed.entries)
        add(f"codebooks_{dtype}", codebook)
        return entry | {"form": "clustered", "entries": packed.entries.size, "k": codebook.size}
    if isinstance(leaf, Sparse):
        kept = np.zeros(_matrix_shape(leaf.shape), bool)
        kept.ravel()[np.asarray(leaf.indices)] = True
        matrix = np.zeros(kept.shape, leaf.dtype)
        matrix.ravel()[np.asarray(leaf.indices)] = np.asarray(leaf.values)
        packed = csr.encode(matrix, kept)
        add("row_lengths", packed.row_lengths)
        add("distances", packed.distances)
        add(f"values_{dtype}", packed.entries)
        return entry | {"form": "sparse", "entries": packed.entries.size}
    add(f"dense_{dtype}", np.asarray(leaf).ravel())
    return entry | {"form": "dense"}


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of a tensor as a matrix: its last axis are the columns."""
    columns = shape[-1] if shape else 1
    return (int(np.prod(shape[:-1], dtype=object)) if columns else 0, columns)


def _codes_stream(k: int) -> str:
    return "codes" if k < 256 else "codes_wide"


def _narrow(name: str, stream: np.ndarray) -> np.ndarray:
    """Store row lengths in as few bytes as they need, and bfloat16 as the bits numpy can name."""
    if name == "row_lengths":
        return stream.astype(np.min_scalar_type(int(stream.max(initial=0))))
    return stream.view(np.uint16) if name.endswith("bfloat16") else stream


# Reading: JAX clamps indices out of range without a word, so everything is checked in numpy.


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


class _Reader:
    """Hands out each stream front to back."""

    def __init__(self, members: dict[str, np.ndarray]) -> None:
        self._members = {name: array for name, array in members.items() if name != "manifest"}
        self._position = dict.fromkeys(self._members, 0)

    def take(self, name: str, count: int, dtype: str | None = None) -> np.ndarray:
        """Return the next `count` numbers of a stream."""
        if name not in self._members:
            if count == 0 and dtype is not None:
                return np.empty(0, dtype)
            raise ArtifactError(f"{name}: member is missing")
        stream = self._members[name]
        start = self._position[name]
        if not 0 <= count <= stream.size - start:
            raise ArtifactError(f"{name}: expected {count} more, found {stream.size - start}")
        stored = "uint16" if dtype == "bfloat16" else dtype
        if stored is not None and stream.dtype != stored:
            raise ArtifactError(f"{name}: expected {stored}, found {stream.dtype}")
        self._position[name] += count
        part = stream[start : start + count]
        return part.view(dtype) if dtype == "bfloat16" else part

    def check_exhausted(self) -> None:
        """Refuse members and numbers that the manifest does not account for."""
        for name, stream in self._members.items():
            if self._position[name] != stream.size:
                raise ArtifactError(f"{name}: {stream.size - self._position[name]} unused")


def _read_tensor(entry: dict[str, Any], streams: _Reader) -> Any:
    path, dtype = entry["path"], entry["dtype"]
    shape = tuple(entry["shape"])
    if dtype not in _DTYPES or not all(type(n) is int and n >= 0 for n in shape):
        raise ArtifactError(f"{path}: no array of shape {shape} and dtype {dtype!r}")
    try:
        form = _FORMS[entry["form"]]
    except KeyError:
        raise ArtifactError(f"{path}: unknown form {entry.get('form')!r}") from None
    try:
        return form(entry, shape, dtype, streams)
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}") from None


def _read_dense(entry: dict, shape: tuple[int, ...], dtype: str, streams: _Reader) -> Any:
    del entry
    size = int(np.prod(shape, dtype=object))
    # A copy, so that the leaf does not keep the whole stream alive.
    return as_jax(streams.take(f"dense_{dtype}", size, dtype).reshape(shape).copy())


def _read_sparse(entry: dict, shape: tuple[int, ...], dtype: str, streams: _Reader) -> Sparse:
    values = streams.take(f"values_{dtype}", entry["entries"], dtype)
    positions, values = _read_rows(entry, shape, values, streams)
    filler = ~values.view(np.uint8).reshape(values.size, -1).any(axis=1)
    size = int(np.prod(shape, dtype=object))
    indices = positions[~filler].astype(np.int32 if size < 2**31 else np.int64)
    return Sparse(
        values=_like_jax(values[~filler], dtype), indices=_like_jax(indices, dtype), shape=shape
    )


def _read_clustered(entry: dict, shape: tuple[int, ...], dtype: str, streams: _Reader) -> Clustered:
    k = entry["k"]
    codebook = streams.take(f"codebooks_{dtype}", k, dtype)
    codes_dtype = "uint8" if k < 256 else "uint16"
    entries = streams.take(_codes_stream(k), entry["entries"], codes_dtype)
    if entries.max(initial=0) > k:
        raise ArtifactError(f"code {entries.max()} in a codebook of {k}")
    if not np.isfinite(codebook).all():
        raise ArtifactError("the codebook is not finite")
    positions, entries = _read_rows(entry, shape, entries, streams)
    codes = np.zeros(int(np.prod(shape, dtype=object)), codes_dtype)
    codes[positions] = entries
    return Clustered(
        codes=_like_jax(codes.reshape(shape), dtype), codebook=_like_jax(codebook.copy(), dtype)
    )


def _read_rows(
    entry: dict, shape: tuple[int, ...], entries: np.ndarray, streams: _Reader
) -> tuple[np.ndarray, np.ndarray]:
    matrix = _matrix_shape(shape)
    lengths = streams.take("row_lengths", matrix[0])
    if lengths.dtype.kind != "u":
        raise ArtifactError(f"row_lengths: expected unsigned integers, found {lengths.dtype}")
    distances = streams.take("distances", entry["entries"], "uint8")
    return csr.decode(csr.Csr(lengths, distances, entries), matrix)


_FORMS = {"dense": _read_dense, "sparse": _read_sparse, "clustered": _read_clustered}


def _like_jax(array: np.ndarray, dtype: str) -> Any:
    """Return a part of a compressed leaf as a JAX array, or as numpy if JAX narrows `dtype`."""
    narrowed = isinstance(as_jax(np.empty(0, dtype)), np.ndarray)
    return array if narrowed else as_jax(array)
