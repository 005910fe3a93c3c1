"""What a field of the manifest may be, and how much memory an entry speaks of."""

import math
import re
from typing import Any

import numpy as np

from jaxcompress.artifact.streams import DTYPES
from jaxcompress.leaves import MOST_CODES, codes_dtype


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


def decoded_bytes(entry: dict[str, Any]) -> int:
    """Return how many bytes a checked entry may take in memory: leaf and dense tensor."""
    size = math.prod(entry["shape"])
    dense = size * np.dtype(entry["dtype"]).itemsize
    if entry["form"] == "dense":
        return dense
    return dense + size * np.dtype(codes_dtype(entry.get("k", 1))).itemsize
