"""The forms a leaf takes in a file: which streams it adds to, and how it is read back.

JAX clamps indices out of range without a word, so everything is checked in numpy first.
"""

import hashlib
import hmac
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from jaxcompress.artifact.coding import (
    PACKINGS,
    Alphabet,
    Fields,
    read_codes,
    read_rows,
    write_codes,
)
from jaxcompress.artifact.errors import ArtifactError
from jaxcompress.artifact.fields import (
    is_codebook_size,
    is_count,
    is_digest,
    is_dtype,
    is_name,
    is_shape,
)
from jaxcompress.artifact.streams import DTYPES, NIBBLES, Reader, Writer
from jaxcompress.checks import check_finite
from jaxcompress.leaves import MOST_CODES, Clustered, Sparse, codes_dtype


def write_leaf(path: str, leaf: Any, layout: str, writer: Writer) -> dict[str, Any]:
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
    form = _FORM_OF.get(type(leaf), "dense")
    stored = FORMS[form].prepare(path, leaf)
    fields = FORMS[form].write(stored, dtype, layout, writer)
    entry = {"path": path, "shape": [int(n) for n in leaf.shape], "dtype": dtype, "form": form}
    return entry | fields | {"sha256": _digest(stored)}


def read_leaf(entry: dict[str, Any], reader: Reader) -> Any:
    """Return the leaf that an entry of the manifest describes, made of numpy arrays.

    Raises:
        ArtifactError: what it takes from the streams breaks a rule, naming the tensor.
    """
    reader.begin_tensor()
    try:
        leaf = FORMS[entry["form"]].read(entry, tuple(entry["shape"]), entry["dtype"], reader)
        if reader.version > 1:
            found = _digest(leaf)
            if not hmac.compare_digest(found, entry["sha256"]):
                raise ArtifactError("sha256 differs", expected=entry["sha256"], found=found)
    except ArtifactError as error:
        raise error.at(tensor=entry["path"]) from None
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise ArtifactError(str(error), tensor=entry["path"]) from None
    return leaf


def check_entry(entry: Any, version: int) -> None:
    """Refuse an entry of the manifest that has other fields than it should, or other kinds.

    Raises:
        ArtifactError: naming the tensor and the field.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise ArtifactError("an entry without a path", found=entry)
    fields = dict(_COMMON) if version > 1 else {n: f for n, f in _COMMON.items() if n != "sha256"}
    form = entry.get("form")
    if not isinstance(form, str) or form not in FORMS:
        raise ArtifactError("unknown form", tensor=entry["path"], found=form)
    fields |= FORMS[form].fields if version > 1 else _FIELDS_1[form]
    if "packing" in fields:
        packing = entry.get("packing")
        if not isinstance(packing, str) or packing not in PACKINGS:
            raise ArtifactError("unknown packing", tensor=entry["path"], found=packing)
        fields |= PACKINGS[packing].fields
    if fields.keys() != entry.keys():
        raise ArtifactError(
            "other fields than this form has",
            tensor=entry["path"],
            expected=sorted(fields),
            found=sorted(entry),
        )
    for name, fits in fields.items():
        if not fits(entry[name]):
            raise ArtifactError(f"{name} is not valid", tensor=entry["path"], found=entry[name])


class Form(NamedTuple):
    """One kind of leaf.

    Attributes:
        prepare: returns the leaf in the one form that is stored, checked.
        write: adds it to the streams and returns the fields of its own.
        fields: their names, and what each may be.
        read: makes it from an entry and the streams.
    """

    prepare: Callable[[str, Any], Any]
    write: Callable[[Any, str, str, Writer], Fields]
    fields: Mapping[str, Callable[[Any], bool]]
    read: Callable[[dict[str, Any], tuple[int, ...], str, Reader], Any]


def _digest(leaf: Any) -> str:
    """Return the sha256 of the numbers of a leaf, little-endian and in C order."""
    arrays: tuple[Any, ...] = (leaf,)
    if isinstance(leaf, Clustered):
        arrays = (leaf.codes, leaf.codebook)
    elif isinstance(leaf, Sparse):
        arrays = (leaf.indices, leaf.values)
    indices = leaf.indices if isinstance(leaf, Sparse) else None  # of 32 or 64 bits, all the same
    result = hashlib.sha256()
    for array in arrays:
        flat = np.ascontiguousarray(array).reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            result.update((block.astype("<i8") if array is indices else block).view(np.uint8).data)
    return result.hexdigest()


def _native(path: str, array: Any) -> np.ndarray:
    """Return the numbers in the one form in which they are stored and digested.

    Raises:
        TypeError: they are not concrete numbers.
    """
    if isinstance(array, Tracer | jax.ShapeDtypeStruct):
        raise TypeError(
            f"{path}: leaves must be concrete arrays, got {type(array).__name__}; save outside of "
            "jit, and values instead of shapes."
        )
    plain = np.asarray(array)
    if plain.dtype == bool:
        return plain.view(np.uint8) != 0
    if plain.dtype.name in NIBBLES:  # their upper bits may be anything
        return plain.astype(np.int8).astype(plain.dtype)
    return plain if plain.dtype.isnative else plain.astype(plain.dtype.newbyteorder("="))


def _prepare_dense(path: str, leaf: Any) -> np.ndarray:
    return _native(path, leaf)


def _write_dense(leaf: np.ndarray, dtype: str, layout: str, writer: Writer) -> Fields:
    del layout
    writer.add_numbers(dtype, leaf)
    return {}


def _read_dense(
    entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader
) -> np.ndarray:
    del entry
    size = math.prod(shape)
    # A copy, so that the leaf does not keep the whole stream alive.
    return reader.take_numbers(dtype, size, "dense").reshape(shape).copy()


def _prepare_clustered(path: str, leaf: Clustered) -> Clustered:
    codes, codebook = _native(path, leaf.codes), _native(path, leaf.codebook)
    if codebook.ndim != 1:
        raise ValueError(
            f"{path}: a codebook must have one axis, got shape {codebook.shape}; see Clustered."
        )
    check_finite(path, codebook)
    if codebook.size > MOST_CODES:
        raise ValueError(
            f"{path}: a codebook must have at most {MOST_CODES} entries, got {codebook.size}; "
            "share with fewer clusters or a larger step."
        )
    if codes.dtype.kind not in "ui" or codes.min(initial=0) < 0:
        raise ValueError(
            f"{path}: codes must be integers from 0, got {codes.dtype}; see Clustered."
        )
    if codes.max(initial=0) > codebook.size:
        raise ValueError(
            f"{path}: codes must be at most {codebook.size}, the length of the codebook, got "
            f"{codes.max()}; make the leaf with kmeans."
        )
    return Clustered(codes=codes.astype(codes_dtype(codebook.size), copy=False), codebook=codebook)


def _write_clustered(leaf: Clustered, dtype: str, layout: str, writer: Writer) -> Fields:
    codebook = np.asarray(leaf.codebook)
    writer.add_numbers(dtype, codebook)
    alphabet = Alphabet(leaf.shape, codebook.size, _negative(codebook))
    return {"k": codebook.size} | write_codes(alphabet, np.asarray(leaf.codes), layout, writer)


def _read_clustered(
    entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader
) -> Clustered:
    k = entry["k"]
    codebook = reader.take_numbers(dtype, k, "codebooks").copy()
    if not np.isfinite(codebook).all():
        raise ArtifactError("the codebook is not finite")
    fields = entry if reader.version > 1 else entry | {"packing": "csr"}
    codes = read_codes(Alphabet(shape, k, _negative(codebook)), fields, reader)
    return Clustered(codes=codes, codebook=codebook)


def _negative(codebook: np.ndarray) -> int:
    """Return how many entries lie before the first one that is not below zero."""
    below = codebook < 0
    return codebook.size if below.all() else int(np.argmin(below))


def _prepare_sparse(path: str, leaf: Sparse) -> Sparse:
    indices, values = _native(path, leaf.indices), _native(path, leaf.values)
    size = math.prod(leaf.shape)
    if (
        indices.dtype.kind not in "ui"
        or indices.shape != values.shape
        or indices.ndim != 1
        or not (np.diff(np.concatenate([[-1], indices, [size]])) > 0).all()
    ):
        raise ValueError(
            f"{path}: indices must be strictly ascending positions in the tensor, one a value; "
            "make the leaf with sparse."
        )
    return Sparse(values=values, indices=indices, shape=leaf.shape)


def _write_sparse(leaf: Sparse, dtype: str, layout: str, writer: Writer) -> Fields:
    writer.add_numbers(dtype, np.asarray(leaf.values))
    codes = np.zeros(leaf.shape, np.uint8)
    codes.ravel()[leaf.indices] = 1
    return write_codes(Alphabet(leaf.shape, 1, 0), codes, layout, writer)


def _read_sparse(
    entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader
) -> Sparse:
    if reader.version == 1:
        values = reader.take_numbers(dtype, entry["entries"], "values")
        places = np.concatenate(
            [np.empty(0, np.int64), *(part for part, _ in read_rows(shape, values, reader))]
        )
        kept = values.view(np.uint8).reshape(values.size, values.itemsize).any(axis=1)
        places, values = places[kept], values[kept]
    else:
        codes = read_codes(Alphabet(shape, 1, 0), entry, reader)
        places = np.flatnonzero(codes)
        values = reader.take_numbers(dtype, places.size, "values").copy()
    size = math.prod(shape)
    indices = places.astype(np.int32 if size < 2**31 else np.int64)
    return Sparse(values=values, indices=indices, shape=shape)


_BLOCK = 1 << 20


_COMMON: dict[str, Callable[[Any], bool]] = {
    "path": is_name,
    "shape": is_shape,
    "dtype": is_dtype,
    "form": is_name,
    "sha256": is_digest,
}

FORMS: dict[str, Form] = {
    "dense": Form(_prepare_dense, _write_dense, {}, _read_dense),
    "clustered": Form(
        _prepare_clustered,
        _write_clustered,
        {"k": is_codebook_size, "packing": is_name},
        _read_clustered,
    ),
    "sparse": Form(_prepare_sparse, _write_sparse, {"packing": is_name}, _read_sparse),
}

_FORM_OF = {Clustered: "clustered", Sparse: "sparse"}

_FIELDS_1: dict[str, Mapping[str, Callable[[Any], bool]]] = {
    "dense": {},
    "clustered": {"k": is_codebook_size, "entries": is_count},
    "sparse": {"entries": is_count},
}
"""What format version 1 said of each form."""
