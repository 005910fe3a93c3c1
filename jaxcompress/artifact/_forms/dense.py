"""Ordinary arrays in a file: their numbers as they are."""

import math
from typing import Any

import numpy as np

from jaxcompress.artifact._forms.form import Form, native
from jaxcompress.artifact.coding import Fields
from jaxcompress.artifact.streams import Reader, Writer


def _numbers(leaf: np.ndarray) -> tuple[np.ndarray]:
    return (leaf,)


def _write(leaf: np.ndarray, dtype: str, layout: str, writer: Writer) -> Fields:
    del layout
    writer.add_numbers(dtype, leaf)
    return {}


def _read(entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader) -> np.ndarray:
    del entry
    size = math.prod(shape)
    # A copy, so that the leaf does not keep the whole stream in memory.
    return reader.take_numbers(dtype, size, "dense").reshape(shape).copy()


DENSE = Form(None, native, _numbers, _write, {1: {}}, _read)
