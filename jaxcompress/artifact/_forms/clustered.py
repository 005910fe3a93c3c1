"""`Clustered` leaves in a file: the codebook, and codes by a packing."""

from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_codebook_size, is_count, is_name
from jaxcompress.artifact._forms.form import Form, native
from jaxcompress.artifact.coding import Alphabet, Fields, read_codes, write_codes
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.checks import check_finite, finite
from jaxcompress.errors import ArtifactError
from jaxcompress.kinds import codes_dtype
from jaxcompress.leaves import Clustered
from jaxcompress.leaves.clustered import MOST_CODES


def _prepare(path: str, leaf: Clustered) -> Clustered:
    codes, codebook = native(path, leaf.codes), native(path, leaf.codebook)
    if codebook.ndim != 1:
        raise ValueError(
            f"{path}: a codebook must have one axis, got shape {codebook.shape}; see Clustered."
        )
    check_finite(path, codebook)
    if codebook.size > MOST_CODES:
        raise ValueError(
            f"{path}: a codebook must have at most {MOST_CODES} entries, got {codebook.size}; "
            "share with fewer clusters or a larger step size."
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


def _numbers(leaf: Clustered) -> tuple[Any, Any]:
    return leaf.codes, leaf.codebook


def _write(leaf: Clustered, dtype: str, layout: str, writer: Writer) -> Fields:
    codebook = np.asarray(leaf.codebook)
    writer.add_numbers(dtype, codebook)
    alphabet = Alphabet(leaf.shape, codebook.size, _negative(codebook))
    return {"k": codebook.size} | write_codes(alphabet, np.asarray(leaf.codes), layout, writer)


def _read(entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader) -> Clustered:
    k = entry["k"]
    codebook = reader.take_numbers(dtype, k, "codebooks").copy()
    if not finite(codebook).all():
        raise ArtifactError("the codebook is not finite")
    fields = entry if reader.version > 1 else entry | {"packing": "csr"}
    codes = read_codes(Alphabet(shape, k, _negative(codebook)), fields, reader)
    return Clustered(codes=codes, codebook=codebook)


def _negative(codebook: np.ndarray) -> int:
    """Return the number of entries before the first one that is not below zero."""
    below = codebook < 0
    return codebook.size if below.all() else int(np.argmin(below))


CLUSTERED = Form(
    Clustered,
    _prepare,
    _numbers,
    _write,
    {
        1: {"k": is_codebook_size, "entries": is_count},
        2: {"k": is_codebook_size, "packing": is_name},
    },
    _read,
)
