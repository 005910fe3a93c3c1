"""What a field of the manifest may be, and how much memory an entry speaks of."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxcompress.artifact.streams import DTYPES
from jaxcompress.leaves import MOST_CODES, axis_sizes, codes_dtype, largest_product


def is_count(value: Any) -> bool:
    """Return whether `value` may say how many."""
    return type(value) is int and 0 <= value < 2**48


def is_name(value: Any) -> bool:
    """Return whether `value` is text."""
    return isinstance(value, str)


def is_shape(value: Any) -> bool:
    """Return whether `value` may be the shape of a tensor."""
    return isinstance(value, list) and len(value) <= 64 and all(map(is_count, value))


def is_dtype(value: Any) -> bool:
    """Return whether `value` names a dtype that a file can hold."""
    return isinstance(value, str) and value in DTYPES


def is_digest(value: Any) -> bool:
    """Return whether `value` is a sha256 in hexadecimal."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def is_codebook_size(value: Any) -> bool:
    """Return whether `value` may be the size of a codebook."""
    return is_count(value) and value <= MOST_CODES


def is_float(value: Any) -> bool:
    """Return whether `value` names a dtype of the numbers that a grid or sixteen bits stand for."""
    return value in ("float16", "bfloat16", "float32", "float64")


def is_half(value: Any) -> bool:
    """Return whether `value` names a dtype of sixteen bits."""
    return value in ("float16", "bfloat16")


def is_bits(value: Any) -> bool:
    """Return whether `value` may be the bits of an integer."""
    return type(value) is int and 1 <= value <= 8


def is_flag(value: Any) -> bool:
    """Return whether `value` is true or false."""
    return type(value) is bool


def is_level(value: Any) -> bool:
    """Return whether `value` may be the difference of two integers of 8 bits."""
    return type(value) is int and -255 <= value <= 255


def decoded_bytes(entry: dict[str, Any]) -> int:
    """Return how many bytes a checked entry may take in memory: leaf and dense tensor."""
    size, itemsize = math.prod(entry["shape"]), np.dtype(entry["dtype"]).itemsize
    return size * itemsize + _LEAF_BYTES[entry["form"]](entry, size, itemsize)


def _quantized_bytes(entry: dict[str, Any], size: int, itemsize: int) -> int:
    """Return the bytes of levels, on the way, and of scales, once repeated for their entries."""
    scales = math.prod(entry["scales"])
    return 3 * size + scales * (itemsize + 1) + (size * itemsize if scales > 1 else 0)


def _low_rank_bytes(entry: dict[str, Any], size: int, itemsize: int) -> int:
    """Return the bytes of factors, and of what they are multiplied in."""
    del size
    equation, factors = entry["product"]["equation"], entry["product"]["factors"]
    sizes = axis_sizes(equation, [factor["shape"] for factor in factors])
    entries = sum(math.prod(factor["shape"]) for factor in factors)
    entries += 2 * largest_product(equation, sizes)
    return sum(map(decoded_bytes, factors)) + entries * max(itemsize, 4)


_LEAF_BYTES: dict[str, Callable[[dict[str, Any], int, int], int]] = {
    "dense": lambda entry, size, itemsize: 0,
    "clustered": lambda entry, size, itemsize: size * np.dtype(codes_dtype(entry["k"])).itemsize,
    "sparse": lambda entry, size, itemsize: size,
    "quantized": _quantized_bytes,
    "half": lambda entry, size, itemsize: 2 * size,
    "lowrank": _low_rank_bytes,
}
