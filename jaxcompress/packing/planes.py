"""Numbers as planes of bytes: exponents are far from even, mantissas are not.

A floating-point number is rotated by one bit first, so that its sign comes last and its exponent
fills the highest byte; of float16 the highest byte has three bits of the mantissa too.
"""

import numpy as np

from jaxcompress.packing import block
from jaxcompress.packing._clusters import total_bits
from jaxcompress.packing.static import Alphabet

FEWEST, SAMPLE = 1 << 12, 1 << 14
_EVEN = 7.9
"""Bits of a byte, its part of the table included, from which coding does not pay."""

Range = tuple[int, int]
"""The lowest and the highest byte of a plane."""


def split(numbers: np.ndarray, *, rotated: bool) -> list[np.ndarray]:
    """Return the bytes of all numbers, the lowest ones first; `[n]` uint8 each.

    Args:
        numbers: `[n]` of 1, 2, 4 or 8 bytes.
        rotated: whether they are floating-point numbers.

    Example:
        >>> split(np.array([1.0, -1.0], np.float32), rotated=True)[3].tolist()
        [127, 127]
    """
    size = numbers.itemsize
    words = np.ascontiguousarray(numbers).view(f"<u{size}")
    if rotated:
        words = words << 1 | words >> (8 * size - 1)
    return list(np.ascontiguousarray(words.view(np.uint8).reshape(-1, size).T))


def join(planes: list[np.ndarray], *, rotated: bool) -> np.ndarray:
    """Return the numbers with these planes, as unsigned integers.

    Example:
        >>> planes = split(np.array([1.5, -0.0], np.float32), rotated=True)
        >>> join(planes, rotated=True).view(np.float32).tolist()
        [1.5, -0.0]
    """
    size = len(planes)
    words = np.empty((planes[0].size, size), np.uint8)
    for place, plane in enumerate(planes):
        words[:, place] = plane
    numbers = words.reshape(-1).view(f"<u{size}")
    return numbers >> 1 | numbers << (8 * size - 1) if rotated else numbers


def paying(plane: np.ndarray) -> Range | None:
    """Return the lowest and the highest byte of a plane; None if coding it would not pay.

    Example:
        >>> paying(np.full(5000, 7, np.uint8)), paying(np.arange(5000).astype(np.uint8))
        ((7, 7), None)
    """
    if plane.size < FEWEST:
        return None
    counts = np.bincount(plane[:: max(plane.size // SAMPLE, 1)], minlength=256)[None]
    # Those of a few bytes seem less even than they are.
    bits = float(total_bits(counts)[0]) + np.count_nonzero(counts)
    if bits > _EVEN * counts.sum():
        return None
    return int(plane.min()), int(plane.max())


def coded(plane: np.ndarray, found: Range, shape: tuple[int, ...]) -> block.Codes:
    """Return a plane as codes, 0 for the highest byte.

    Example:
        >>> coded(np.array([5, 7], np.uint8), (5, 7), (2,)).values.tolist()
        [2, 0]
    """
    lowest, highest = found
    values = (np.uint8(highest) - plane).reshape(shape)
    return block.Codes(values, Alphabet(highest - lowest, 0))


def decoded(codes: np.ndarray, found: Range) -> np.ndarray:
    """Return the plane of which `coded` returned the codes.

    Example:
        >>> decoded(np.array([2, 0], np.uint8), (5, 7)).tolist()
        [5, 7]
    """
    return (np.uint8(found[1]) - codes.reshape(-1)).astype(np.uint8)
