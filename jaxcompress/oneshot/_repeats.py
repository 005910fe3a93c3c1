"""Tensors of a source that equal earlier ones, found without loading most of them."""

from collections.abc import Hashable, Sequence

from jaxcompress.artifact.repeats import SMALLEST, digest, repeats
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.oneshot.sources import Source, sample_of
from jaxcompress.trees import plain_bytes


def repeated_tensors(source: Source, ways: Sequence[Hashable]) -> dict[int, int]:
    """Return the number of each tensor that equals an earlier one, and that of the first such.

    Only tensors of one shape and dtype are compared: first a sample of each, then all bytes of
    those whose samples are equal.

    Args:
        source: of the tensors.
        ways: how each is compressed; tensors of different ways are different.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.oneshot.sources import TreeSource
        >>> source = TreeSource({"lm_head": np.ones((8, 8)), "wte": np.ones((8, 8))})
        >>> repeated_tensors(source, [None, None])
        {1: 0}
    """
    kinds = [
        (tuple(leaf.shape), leaf.dtype, way)
        if leaf.dtype.name in DTYPES and plain_bytes(leaf) >= SMALLEST
        else None
        for leaf, way in zip(source.leaves, ways, strict=True)
    ]
    return repeats(kinds, lambda n: sample_of(source, n), lambda n: digest(source.load(n)))
