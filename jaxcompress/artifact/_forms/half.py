"""`Half` leaves in a file: their numbers of sixteen bits, and the dtype of the tensor."""

import math
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_float, is_half
from jaxcompress.artifact._forms.form import Form, native
from jaxcompress.artifact.coding import Fields
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.checks import check_finite, finite
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import Half


def _prepare(path: str, leaf: Half) -> Half:
    values, dtype = native(path, leaf.values), np.dtype(leaf.dtype)
    if not is_half(values.dtype.name) or not is_float(dtype.name):
        raise ValueError(
            f"{path}: values must be float16 or bfloat16 and stand for floating-point numbers, got "
            f"{values.dtype} for {dtype}; make the leaf with half."
        )
    check_finite(path, values)
    return Half(values=values, dtype=dtype)


def _numbers(leaf: Half) -> tuple[Any]:
    return (leaf.values,)


def _write(leaf: Half, dtype: str, layout: str, writer: Writer) -> Fields:
    del dtype, layout
    values = np.asarray(leaf.values)
    writer.add_numbers(values.dtype.name, values)
    return {"stored": values.dtype.name}


def _read(entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader) -> Half:
    if not is_float(dtype):
        raise ArtifactError("numbers of sixteen bits stand for floating-point numbers", found=dtype)
    values = reader.take_numbers(entry["stored"], math.prod(shape), "values").reshape(shape).copy()
    if not finite(values).all():
        raise ArtifactError("the numbers are not finite")
    return Half(values=values, dtype=np.dtype(dtype))


HALF = Form(Half, _prepare, _numbers, _write, {3: {"stored": is_half}}, _read)
