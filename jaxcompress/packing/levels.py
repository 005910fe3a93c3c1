"""Codes as signed levels: negative numbers have levels below zero, positive ones above."""

import numpy as np

from jaxcompress.kinds import codes_dtype

_BLOCK = 1 << 20


def from_codes(codes: np.ndarray, k: int, negative: int) -> np.ndarray:
    """Return levels: `-negative` for code 1 up to `-1`, then `1` up to `k - negative`.

    Args:
        codes: integers from 0 to `k`; 0 is level 0.
        k: number of codes other than 0.
        negative: number of codes, the first ones after 0, of negative numbers.

    Example:
        >>> from_codes(np.array([0, 1, 2, 3]), 3, 2).tolist()
        [0, -2, -1, 1]
    """
    return _levels(k, negative)[codes]


def to_codes(levels: np.ndarray, k: int, negative: int) -> np.ndarray:
    """Return the codes of levels, uint8 up to `k = 255`, else uint16.

    Raises:
        ValueError: a level that has no code.

    Example:
        >>> to_codes(np.array([0, -2, -1, 1]), 3, 2).tolist()
        [0, 1, 2, 3]
    """
    if levels.size and not (-negative <= levels.min() and levels.max() <= k - negative):
        raise ValueError(f"a level beyond the {negative} negative ones of {k}")
    table = np.zeros(k + 1, codes_dtype(k))
    table[_levels(k, negative)] = np.arange(k + 1)  # numpy counts negative indices from the end
    codes = np.empty(levels.shape, table.dtype)
    flat, out = levels.reshape(-1), codes.reshape(-1)
    for start in range(
        0, flat.size, _BLOCK
    ):  # in blocks, because numpy widens positions to 64 bits
        block = slice(start, start + _BLOCK)
        out[block] = table[flat[block]]
    return codes


def _levels(k: int, negative: int) -> np.ndarray:
    levels = np.concatenate([[0], np.arange(-negative, 0), np.arange(1, k - negative + 1)])
    return levels.astype(dtype(max(negative, k - negative)))


def dtype(magnitude: int) -> type[np.signedinteger]:
    """Return the smallest dtype that holds levels up to `magnitude` of both signs.

    Example:
        >>> [dtype(m).__name__ for m in (127, 128, 40_000)]
        ['int8', 'int16', 'int32']
    """
    return np.int8 if magnitude < 128 else np.int16 if magnitude < 2**15 else np.int32
