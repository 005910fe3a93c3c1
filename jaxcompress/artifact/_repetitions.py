"""Codes that repeat, as rows of a transform do: what their repetitions are worth."""

import zlib

import numpy as np

from jaxcompress.packing import digits

_WHOLE, _SAMPLE, _SAMPLES = 1 << 15, 1 << 13, 4
"""Codes up to which all are tried; codes in a row that tell of more, and how often they do."""

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
    starts = np.linspace(0, flat.size - _SAMPLE, _SAMPLES).astype(int)
    parts = [flat] if flat.size <= _WHOLE else [flat[start : start + _SAMPLE] for start in starts]
    found = sum(_deflated(digits.pack(part, base)) for part in parts)
    return 8 * (found * flat.size / max(sum(part.size for part in parts), 1) / _WORTH + _MEMBER)


def _deflated(digits: np.ndarray) -> int:
    compressor = zlib.compressobj(_SEARCH, zlib.DEFLATED, -zlib.MAX_WBITS)
    return len(compressor.compress(digits.tobytes()) + compressor.flush())
