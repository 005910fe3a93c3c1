"""Codes that repeat, as rows of a transform do: what their repetitions are worth."""

import zlib

import numpy as np

from jaxcompress.packing import digits

_SAMPLE, _SEARCH, _WORTH, _MEMBER = 1 << 14, 6, 0.98, 128
"""Codes that tell whether all repeat, how thoroughly, and what must be won, in parts and bytes."""


def repeated_bits(codes: np.ndarray, base: int) -> float:
    """Return about how many bits plain codes take, whose repetitions deflate finds.

    A coder that sees one weight at a time takes each repetition for new.

    Args:
        codes: of any shape.
        base: more than any code.

    Example:
        >>> repeated_bits(np.tile(np.arange(64), 256), 64) < 64 * 256
        True
    """
    sample = digits.pack(codes.reshape(-1)[:_SAMPLE], base)
    compressor = zlib.compressobj(_SEARCH, zlib.DEFLATED, -zlib.MAX_WBITS)
    found = len(compressor.compress(sample.tobytes()) + compressor.flush())
    return 8 * (found * max(codes.size / _SAMPLE, 1) / _WORTH + _MEMBER)
