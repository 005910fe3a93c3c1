"""About how many bytes a leaf takes in a file, where that decides whether it is compressed."""

from typing import Any

import numpy as np

from jaxcompress.leaves import LowRank, Quantized
from jaxcompress.metrics import entropy_bound_bytes

_SCALE_BYTES = 2  # scales have 8 binary digits


def stored_bytes(leaf: Any) -> float:
    """Return about how many bytes a leaf takes: the entropy of its codes, and its tables.

    Example:
        >>> from jaxcompress.leaves import Clustered
        >>> codes = np.array([[1, 2], [2, 1]], np.uint8)
        >>> stored_bytes(Clustered(codes=codes, codebook=np.float32([-1, 2])))
        8.5
    """
    if isinstance(leaf, LowRank):
        return sum(map(stored_bytes, leaf.factors))
    bound = entropy_bound_bytes(leaf)
    if isinstance(leaf, Quantized):
        scale = np.asarray(leaf.scale)
        bound -= (scale.itemsize - _SCALE_BYTES) * scale.size
    return bound
