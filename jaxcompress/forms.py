"""The forms a leaf takes in a file: which streams it adds to, and how it is read back.

JAX clamps indices out of range without a word, so everything is checked in numpy first.
"""

from typing import Any

import numpy as np

from jaxcompress.archive import ArtifactError
from jaxcompress.checks import check_finite
from jaxcompress.leaves import Clustered, Sparse
from jaxcompress.packing import csr
from jaxcompress.trees import as_jax

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
)


class Writer:
    """Collects each stream front to back."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """Append numbers to a stream."""
        self._parts.setdefault(name, []).append(values)

    def streams(self) -> dict[str, np.ndarray]:
        """Return the streams, row lengths in as few bytes as they need, bfloat16 as its bits."""
        streams = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        for name, stream in streams.items():
            if name == "row_lengths":
                streams[name] = stream.astype(np.min_scalar_type(int(stream.max(initial=0))))
            elif name.endswith("bfloat16"):
                streams[name] = stream.view(np.uint16)
        return streams


class Reader:
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


def write_leaf(path: str, leaf: Any, writer: Writer) -> dict[str, Any]:
    """Add a leaf to the streams and return its entry in the manifest.

    Raises:
        TypeError: a dtype that cannot be stored.
        ValueError: a leaf that breaks the rules of its type.
    """
    dtype = np.dtype(leaf.dtype).name if isinstance(leaf.dtype, np.dtype) else str(leaf.dtype)
    if dtype not in DTYPES:
        raise TypeError(
            f"{path}: dtype must be one of {', '.join(DTYPES)}, got {dtype}; convert it first."
        )
    write = _WRITERS.get(type(leaf), _write_dense)
    return {"path": path, "shape": list(leaf.shape), "dtype": dtype} | write(
        path, leaf, dtype, writer
    )


def _write_dense(path: str, leaf: Any, dtype: str, writer: Writer) -> dict[str, Any]:
    del path
    writer.add(f"dense_{dtype}", np.asarray(leaf).ravel())
    return {"form": "dense"}


def _write_clustered(path: str, leaf: Clustered, dtype: str, writer: Writer) -> dict[str, Any]:
    codebook = np.asarray(leaf.codebook)
    codes = _checked_codes(path, leaf).reshape(_matrix_shape(leaf.shape))
    entries = _write_rows(codes, codes != 0, _codes_stream(codebook.size), writer)
    writer.add(f"codebooks_{dtype}", codebook)
    return {"form": "clustered", "entries": entries, "k": codebook.size}


def _write_sparse(path: str, leaf: Sparse, dtype: str, writer: Writer) -> dict[str, Any]:
    indices, values = np.asarray(leaf.indices), np.asarray(leaf.values)
    matrix = np.zeros(_matrix_shape(leaf.shape), leaf.dtype)
    inside = np.concatenate([[-1], indices, [matrix.size]])
    if indices.shape != values.shape or not (np.diff(inside) > 0).all():
        raise ValueError(
            f"{path}: indices must be strictly ascending positions in the tensor, one a value; "
            "make the leaf with sparse."
        )
    kept = np.zeros(matrix.shape, bool)
    matrix.ravel()[indices], kept.ravel()[indices] = values, True
    return {"form": "sparse", "entries": _write_rows(matrix, kept, f"values_{dtype}", writer)}


def _write_rows(matrix: np.ndarray, kept: np.ndarray, stream: str, writer: Writer) -> int:
    """Add a matrix to the streams; returns how many entries it has, fillers included."""
    packed = csr.encode(matrix, kept)
    writer.add("row_lengths", packed.row_lengths)
    writer.add("distances", packed.distances)
    writer.add(stream, packed.entries)
    return packed.entries.size


_WRITERS = {Clustered: _write_clustered, Sparse: _write_sparse}


def _checked_codes(path: str, leaf: Clustered) -> np.ndarray:
    """Return the codes as the reader will want them; it would refuse what is refused here."""
    codes, codebook = np.asarray(leaf.codes), np.asarray(leaf.codebook)
    check_finite(path, codebook)
    if codes.dtype.kind not in "ui" or codes.min(initial=0) < 0:
        raise ValueError(
            f"{path}: codes must be integers from 0, got {codes.dtype}; see Clustered."
        )
    if codes.max(initial=0) > codebook.size:
        raise ValueError(
            f"{path}: codes must be at most {codebook.size}, the length of the codebook, got "
            f"{codes.max()}; make the leaf with kmeans."
        )
    return codes.astype(_codes_dtype(codebook.size))


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of a tensor as a matrix: its last axis are the columns."""
    columns = shape[-1] if shape else 1
    return (int(np.prod(shape[:-1], dtype=object)) if columns else 0, columns)


def _codes_stream(k: int) -> str:
    return "codes" if k < 256 else "codes_wide"


def _codes_dtype(k: int) -> str:
    return "uint8" if k < 256 else "uint16"


def read_leaf(entry: dict[str, Any], reader: Reader) -> Any:
    """Return the leaf that an entry of the manifest describes.

    Raises:
        ArtifactError: the entry, or what it takes from the streams, breaks a rule.
    """
    path, dtype = entry["path"], entry["dtype"]
    shape = tuple(entry["shape"])
    if dtype not in DTYPES or not all(type(n) is int and n >= 0 for n in shape):
        raise ArtifactError(f"{path}: no array of shape {shape} and dtype {dtype!r}")
    try:
        read = _READERS[entry["form"]]
    except KeyError:
        raise ArtifactError(f"{path}: unknown form {entry.get('form')!r}") from None
    try:
        return read(entry, shape, dtype, reader)
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}") from None


def _read_dense(entry: dict, shape: tuple[int, ...], dtype: str, reader: Reader) -> Any:
    del entry
    size = int(np.prod(shape, dtype=object))
    # A copy, so that the leaf does not keep the whole stream alive.
    return as_jax(reader.take(f"dense_{dtype}", size, dtype).reshape(shape).copy())


def _read_sparse(entry: dict, shape: tuple[int, ...], dtype: str, reader: Reader) -> Sparse:
    values = reader.take(f"values_{dtype}", entry["entries"], dtype)
    positions, values = _read_rows(entry, shape, values, reader)
    filler = ~values.view(np.uint8).reshape(values.size, values.itemsize).any(axis=1)
    size = int(np.prod(shape, dtype=object))
    indices = positions[~filler].astype(np.int32 if size < 2**31 else np.int64)
    return Sparse(
        values=_like_jax(values[~filler], dtype), indices=_like_jax(indices, dtype), shape=shape
    )


def _read_clustered(entry: dict, shape: tuple[int, ...], dtype: str, reader: Reader) -> Clustered:
    k = entry["k"]
    codebook = reader.take(f"codebooks_{dtype}", k, dtype)
    codes_dtype = _codes_dtype(k)
    entries = reader.take(_codes_stream(k), entry["entries"], codes_dtype)
    if entries.max(initial=0) > k:
        raise ArtifactError(f"code {entries.max()} in a codebook of {k}")
    if not np.isfinite(codebook).all():
        raise ArtifactError("the codebook is not finite")
    positions, entries = _read_rows(entry, shape, entries, reader)
    codes = np.zeros(int(np.prod(shape, dtype=object)), codes_dtype)
    codes[positions] = entries
    return Clustered(
        codes=_like_jax(codes.reshape(shape), dtype), codebook=_like_jax(codebook.copy(), dtype)
    )


def _read_rows(
    entry: dict, shape: tuple[int, ...], entries: np.ndarray, reader: Reader
) -> tuple[np.ndarray, np.ndarray]:
    matrix = _matrix_shape(shape)
    lengths = reader.take("row_lengths", matrix[0])
    if lengths.dtype.kind != "u":
        raise ArtifactError(f"row_lengths: expected unsigned integers, found {lengths.dtype}")
    distances = reader.take("distances", entry["entries"], "uint8")
    return csr.decode(csr.Csr(lengths, distances, entries), matrix)


_READERS = {"dense": _read_dense, "sparse": _read_sparse, "clustered": _read_clustered}


def _like_jax(array: np.ndarray, dtype: str) -> Any:
    """Return a part of a compressed leaf as a JAX array, or as numpy if JAX narrows `dtype`."""
    narrowed = isinstance(as_jax(np.empty(0, dtype)), np.ndarray)
    return array if narrowed else as_jax(array)
