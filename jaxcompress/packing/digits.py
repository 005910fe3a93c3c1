"""Small integers in bytes: as many digits of base `k` as fit."""

import numpy as np

_BLOCK = 1 << 20


def per_byte(k: int) -> int:
    """Return how many numbers below `k` fit one byte: the largest `d` with `k^d <= 256`, up to 8.

    Example:
        >>> [per_byte(k) for k in (2, 3, 16, 17, 256)]
        [8, 5, 2, 1, 1]
    """
    digits = 1
    while digits < 8 and k ** (digits + 1) <= 256:
        digits += 1
    return digits


def count_bytes(size: int, k: int) -> int:
    """Return how many bytes `size` numbers below `k` take.

    Example:
        >>> count_bytes(5, 16), count_bytes(5, 2), count_bytes(5, 1000)
        (3, 1, 10)
    """
    if k <= 1:
        return 0
    return 2 * size if k > 256 else -(-size // per_byte(k))


def pack(numbers: np.ndarray, k: int) -> np.ndarray:
    """Return numbers below `k` as bytes, the first one the lowest digit.

    For `k` above 256, all low bytes come first, then all high bytes. For `k = 1` there are none.

    Example:
        >>> pack(np.array([1, 2, 3], np.uint8), 16).tolist()
        [33, 3]
    """
    if k <= 1:
        return np.empty(0, np.uint8)
    if k > 256:
        return np.concatenate([numbers & 255, numbers >> 8]).astype(np.uint8)
    digits = per_byte(k)
    padded = np.zeros(-(-numbers.size // digits) * digits, np.uint8)
    padded[: numbers.size] = numbers
    result = padded[digits - 1 :: digits].copy()
    for place in range(digits - 2, -1, -1):
        result *= k
        result += padded[place::digits]
    return result


def unpack(stream: np.ndarray, size: int, k: int) -> np.ndarray:
    """Return the numbers that `pack` turned into these bytes.

    Raises:
        ValueError: `pack` would not have made them.

    Example:
        >>> unpack(np.array([33, 3], np.uint8), 3, 16).tolist()
        [1, 2, 3]
    """
    if k <= 1:
        return np.zeros(size, np.uint8)
    if k > 256:
        low, high = stream.reshape(2, size).astype(np.uint16)
        return _checked(low | high << 8, k)
    digits = per_byte(k)
    if digits == 1:
        return _checked(stream, k)
    _checked(stream, k**digits)
    powers = k ** np.arange(digits)
    table = (np.arange(256)[:, None] // powers % k).astype(np.uint8)
    # One gather of all digits of a byte: numpy moves 2, 4 or 8 bytes as one number.
    width = 1 << (digits - 1).bit_length()
    wide = np.zeros((256, width), np.uint8)
    wide[:, :digits] = table
    words = wide.view(f"u{width}").ravel()
    numbers = np.empty(stream.size * digits, np.uint8)
    for start in range(
        0, stream.size, _BLOCK
    ):  # in blocks, because numpy widens positions to 64 bits
        block = stream[start : start + _BLOCK]
        rows = words[block].view(np.uint8).reshape(-1, width)[:, :digits]
        numbers[start * digits : (start + block.size) * digits] = rows.ravel()
    if numbers[size:].any():
        raise ValueError("digits after the last number")
    return numbers[:size]


def _checked(numbers: np.ndarray, k: int) -> np.ndarray:
    if numbers.max(initial=0) >= k:
        raise ValueError(f"a number of {numbers.max()} where all are below {k}")
    return numbers
