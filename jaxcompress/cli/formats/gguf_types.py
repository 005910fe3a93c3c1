"""Types of tensors in GGUF files: plain numbers, and blocks of few bits.

Blocks are read and written by `gguf`, the library of the format (extra `gguf`).
"""

import math
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np

from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.extras import library

_PLAIN: dict[int, Any] = {
    **{0: np.float32, 1: np.float16, 30: ml_dtypes.bfloat16, 28: np.float64},
    **{24: np.int8, 25: np.int16, 26: np.int32, 27: np.int64},
}
"""From numbers of types to dtypes of numpy."""

NUMBERS = {np.dtype(dtype).name: number for number, dtype in _PLAIN.items()}
"""From names of dtypes to numbers of types."""

WRITTEN = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2}
"""Types that weights can be written in, by the names that they have in ggml."""

FILE_TYPES = {0: 0, 1: 1, 30: 32, 8: 7, 2: 2}
"""The value of `general.file_type` by the type of the matrices of a file."""


class Type(NamedTuple):
    """A type of tensors.

    Attributes:
        number: in files.
        dtype: of the numbers, in memory.
        numbers: in a block.
        size: of a block in bytes.
        blocks: member of an enumeration of `gguf`; None of plain numbers.
    """

    number: int
    dtype: np.dtype
    numbers: int
    size: int
    blocks: Any = None


def of_number(number: int, where: str) -> Type:
    """Return a type.

    Args:
        number: in files.
        where: file and tensor, for errors.

    Raises:
        MissingLibraryError: `gguf` is missing, and the type is one of blocks.
        Refused: `gguf` does not know the type, or cannot read it.
    """
    if number in _PLAIN:
        dtype = np.dtype(_PLAIN[number])
        return Type(number, dtype, 1, dtype.itemsize)
    gguf = library("gguf", where, extra="gguf")
    try:
        member = gguf.GGMLQuantizationType(number)
        numbers, size = gguf.GGML_QUANT_SIZES[member]
        gguf.quants.dequantize(np.zeros((1, size), np.uint8), member)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise Refused(
            f"{where}: must be of a type that gguf can read, got {number} ({error}); convert the "
            "file to Q8_0 or F16."
        ) from None
    return Type(number, np.dtype(np.float32), numbers, size, member)


def stored_bytes(shape: tuple[int, ...], kind: Type) -> int:
    """Return the bytes of a tensor, whose blocks lie along its last axis.

    Raises:
        ArtifactError: a row is no whole number of blocks.
    """
    row = shape[-1] if shape else 1
    if row % kind.numbers:
        raise ArtifactError(
            "a row must be a whole number of blocks",
            expected=f"a multiple of {kind.numbers}",
            found=row,
        )
    return math.prod(shape) // kind.numbers * kind.size


def dense(raw: np.ndarray, spec: jax.ShapeDtypeStruct, kind: Type) -> np.ndarray:
    """Return the numbers of bytes."""
    if not kind.blocks:
        return raw.view(kind.dtype).reshape(spec.shape)
    if not raw.size:
        return np.zeros(spec.shape, kind.dtype)
    gguf = library("gguf", kind.blocks.name, extra="gguf")
    rows = raw.reshape(-1, spec.shape[-1] // kind.numbers * kind.size)
    with np.errstate(all="ignore"):  # of scales that are not finite
        return gguf.quants.dequantize(rows, kind.blocks).reshape(spec.shape)


def stored(where: str, array: np.ndarray, kind: Type) -> np.ndarray:
    """Return numbers as a type has them, in blocks or rounded.

    Raises:
        Refused: naming `where`, of finite numbers that would be infinite, and of others in blocks.
    """
    array = np.ascontiguousarray(array)
    with np.errstate(over="ignore"):  # scales of blocks are of 16 bits
        new = array.astype(np.float16 if kind.blocks else kind.dtype, copy=False)
    if kind.blocks and not np.isfinite(new).all():
        raise Refused(f"{where}: has numbers that {kind.blocks.name} cannot hold; write f32.")
    if new.dtype.itemsize < array.dtype.itemsize and np.isinf(new).sum() > np.isinf(array).sum():
        raise Refused(f"{where}: has numbers that {kind.dtype.name} cannot hold; write f32.")
    if not kind.blocks or not new.size:
        return new
    new = array.astype(np.float32, copy=False)
    return library("gguf", where, extra="gguf").quants.quantize(new, kind.blocks)
