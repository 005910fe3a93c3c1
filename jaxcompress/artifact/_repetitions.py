"""Codes that repeat, as rows of a transform do: what their repetitions are worth."""

import zlib

import numpy as np

from jaxcompress.packing import digits

_SAMPLE, _SAMPLES = 1 << 13, 3
"""Codes in a row that tell whether all repeat, and how many such samples, one more at the end."""

_SEARCH, _WORTH, _MEMBER = 6, 0.98, 128
"""How thorough the search is, and what must be won, in parts and bytes."""


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
    flat = codes.reshape(-1)
    starts = range(0, max(flat.size - _SAMPLE, 0) + 1, max((flat.size - _SAMPLE) // _SAMPLES, 1))
    found = [_deflated(digits.pack(flat[start : start + _SAMPLE], base)) for start in starts]
    return 8 * (sum(found) * max(flat.size / (_SAMPLE * len(found)), 1) / _WORTH + _MEMBER)


def _deflated(digits: np.ndarray) -> int:
    compressor = zlib.compressobj(_SEARCH, zlib.DEFLATED, -zlib.MAX_WBITS)
    return len(compressor.compress(digits.tobytes()) + compressor.flush())
