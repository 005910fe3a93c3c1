"""Codes that repeat, as rows of a transform do: what their repetitions are worth."""

import zlib

import numpy as np

from jaxcompress.packing import digits

_WHOLE, _SAMPLE, _SAMPLES = 1 << 15, 1 << 13, 4
"""Codes up to which all are tried; codes in a row that tell of more, and how often they do."""

_BLOCK = 1 << 18  # codes at a time

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
    if flat.size <= _WHOLE:
        return all_repeated_bits(flat, base)
    starts = np.linspace(0, flat.size - _SAMPLE, _SAMPLES).astype(int)
    found = sum(_deflated(flat[start : start + _SAMPLE], base) for start in starts)
    return _worth(found * flat.size / (_SAMPLE * _SAMPLES))


def all_repeated_bits(codes: np.ndarray, base: int) -> float:
    """Return the same of all codes, where a few places of them may mislead.

    Example:
        >>> codes = np.tile(np.arange(64), 256)
        >>> all_repeated_bits(codes, 64) == repeated_bits(codes, 64)
        True
    """
    return _worth(_deflated(codes.reshape(-1), base))


def _worth(size_bytes: float) -> float:
    return 8 * (size_bytes / _WORTH + _MEMBER)


def _deflated(codes: np.ndarray, base: int) -> int:
    compressor, count = zlib.compressobj(_SEARCH, zlib.DEFLATED, -zlib.MAX_WBITS), 0
    for start in range(0, codes.size, _BLOCK):
        count += len(
            compressor.compress(digits.pack(codes[start : start + _BLOCK], base).tobytes())
        )
    return count + len(compressor.flush())
