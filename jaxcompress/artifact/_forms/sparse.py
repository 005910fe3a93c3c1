"""`Sparse` leaves in a file: positions by a packing, and the values."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_count, is_name
from jaxcompress.artifact._forms.form import Form, blocks, native
from jaxcompress.artifact.coding import Alphabet, Fields, read_codes, read_rows, write_codes
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.leaves import Sparse


def _prepare(path: str, leaf: Sparse) -> Sparse:
    indices, values = native(path, leaf.indices), native(path, leaf.values)
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


def _numbers(leaf: Sparse) -> Iterator[np.ndarray]:
    for block in blocks(np.asarray(leaf.indices)):  # of 32 or 64 bits alike
        yield block.astype("<i8")
    yield np.asarray(leaf.values)


def _write(leaf: Sparse, dtype: str, layout: str, writer: Writer) -> Fields:
    writer.add_numbers(dtype, np.asarray(leaf.values))
    codes = np.zeros(leaf.shape, np.uint8)
    codes.ravel()[leaf.indices] = 1
    return write_codes(Alphabet(leaf.shape, 1, 0), codes, layout, writer)


def _read(entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader) -> Sparse:
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


SPARSE = Form(
    Sparse, _prepare, _numbers, _write, {1: {"entries": is_count}, 2: {"packing": is_name}}, _read
)
