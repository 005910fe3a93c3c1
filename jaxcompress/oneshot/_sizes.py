"""About how many bytes a leaf takes in a file, where that decides whether it is compressed."""

from typing import Any

import numpy as np

from jaxcompress.leaves import Clustered, LowRank, Quantized
from jaxcompress.leaves.quantized import spread

_SCALE_BYTES = 2  # scales have 8 binary digits


def stored_bytes(leaf: Any) -> float:
    """Return about how many bytes a leaf takes: the entropy of its codes, and its tables.

    Example:
        >>> codes = np.array([[1, 2], [2, 1]], np.uint8)
        >>> stored_bytes(Clustered(codes=codes, codebook=np.float32([-1, 2])))
        8.5
    """
    if isinstance(leaf, LowRank):
        return sum(map(stored_bytes, leaf.factors))
    if isinstance(leaf, Clustered):
        return _entropy_bytes(leaf.codes) + np.asarray(leaf.codebook).nbytes
    if isinstance(leaf, Quantized):
        levels = np.asarray(leaf.values, np.int16)
        tables = _SCALE_BYTES * np.size(leaf.scale)
        if leaf.zero_point is not None:
            tables += np.size(leaf.zero_point)
            levels = levels - spread(np.asarray(leaf.zero_point, np.int16), leaf.shape)
        return _entropy_bytes(levels) + tables
    return np.asarray(leaf).nbytes


def _entropy_bytes(codes: Any) -> float:
    _, counts = np.unique(np.asarray(codes), return_counts=True)
    return float(counts @ np.log2(counts.sum() / counts)) / 8
