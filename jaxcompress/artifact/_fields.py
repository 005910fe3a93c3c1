"""Checks of the fields of the manifest."""

import re
from typing import Any

from jaxcompress.artifact.streams import DTYPES
from jaxcompress.leaves.clustered import MOST_CODES


def is_count(value: Any) -> bool:
    """Return whether `value` may be a count."""
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
    """Return whether `value` names a dtype that tensors on grids or of sixteen bits may have."""
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
