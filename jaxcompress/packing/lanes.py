"""Symbols of 8 bits as lanes that a device decodes together: interleaved range ANS.

Symbol `t * L + k` is the one of lane `k` in turn `t`. All lanes make a turn at once, which is a
few operations on arrays of length `L`. Each lane has words of its own, and waits for no other.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxcompress.packing.frequencies import (
    MOST_SYMBOLS,
    SLOTS,
    decoding_table,
    quantized_frequencies,
)
from jaxcompress.packing.tables import BITS

LOWEST = 1 << 16
"""A state is at least this, and below `2^32`; all lanes end in it."""


class Lanes(NamedTuple):
    """Symbols, coded.

    Attributes:
        words: `[W]` uint16, of lane 0, then of lane 1, and so on.
        starts: `[L]` uint32, the first word of each lane.
        states: `[L]` uint32, of each lane before its first symbol.
        frequencies: `[256]` uint16 slots of each symbol, 4096 in total.
    """

    words: Any
    starts: Any
    states: Any
    frequencies: Any


def encode(symbols: np.ndarray, lanes: int) -> Lanes:
    """Return symbols as lanes, with one table of probabilities for all of them.

    Args:
        symbols: `[n]` uint8, at least one.
        lanes: number of lanes, 1 to `n`. Each costs 8 bytes; many are faster.

    Raises:
        ValueError: no symbols, or no such number of lanes.

    Example:
        >>> coded = encode(np.array([7, 7, 7, 9] * 200, np.uint8), 4)
        >>> coded.words.shape, coded.frequencies[[7, 9]].tolist()  # 0.8 bits a symbol
        ((40,), [3072, 1024])
    """
    if not 1 <= lanes <= symbols.size:
        raise ValueError(f"lanes: must be 1 to the {symbols.size} symbols, got {lanes}.")
    counts = np.bincount(symbols, minlength=MOST_SYMBOLS)
    slots = quantized_frequencies(counts)
    first = (np.cumsum(slots) - slots).astype(np.uint32)
    # A state from here on gives a word before it takes the symbol. A lone symbol keeps all states.
    full = np.minimum(slots << (32 - BITS), (1 << 32) - 1).astype(np.uint32)
    frequencies = slots.astype(np.uint32)
    turns = -(-symbols.size // lanes)
    words, gives = np.zeros((turns, lanes), np.uint16), np.zeros((turns, lanes), bool)
    states = np.full(lanes, LOWEST, np.uint32)
    for turn in range(turns - 1, -1, -1):
        row = symbols[turn * lanes : (turn + 1) * lanes]  # the last may be shorter
        x = states[: row.size]
        words[turn, : row.size] = x
        give = np.greater_equal(x, full[row], out=gives[turn, : row.size])
        x = np.where(give, x >> 16, x)
        quotient, rest = np.divmod(x, frequencies[row])
        states[: row.size] = (quotient << BITS) + rest + first[row]
    given = np.count_nonzero(gives, axis=0)
    return Lanes(
        words.T[gives.T],
        (np.cumsum(given) - given).astype(np.uint32),
        states,
        slots.astype(np.uint16),
    )


def decode(lanes: Lanes, size: int) -> np.ndarray:
    """Return `[size]` uint8 symbols.

    Args:
        lanes: from `encode`; words of zeros may follow.
        size: number of symbols.

    Raises:
        ValueError: they are not such lanes: of other dtypes or shapes, with states or starts out of
            range, or words that are short or left over.

    Example:
        >>> decode(encode(np.array([7, 7, 9], np.uint8), 2), 3).tolist()
        [7, 7, 9]
    """
    words, starts, states, frequencies = _checked(lanes, size)
    table = decoding_table(frequencies)
    x, places = states.copy(), starts.astype(np.int64)
    symbols = np.empty(size, np.uint8)
    for start in range(0, size, x.size):
        active = slice(min(x.size, size - start))
        entries = table[x[active] & (SLOTS - 1)]
        symbols[start : start + x.size] = entries >> 24
        after = ((entries >> BITS & (SLOTS - 1)) + 1) * (x[active] >> BITS) + (
            entries & (SLOTS - 1)
        )
        low = after < LOWEST
        taken = words.take(places[active], mode="clip") if words.size else np.uint16(0)
        x[active] = np.where(low, after << np.uint32(16) | taken, after)
        places[active] += low
    if (x != LOWEST).any():
        lane = int(np.argmax(x != LOWEST))
        raise ValueError(f"lane {lane} must end in state {LOWEST}, got {x[lane]}")
    if (places[:-1] != starts[1:]).any() or places[-1] > words.size or words[places[-1] :].any():
        raise ValueError("words must be used up by their lanes, got some left over or missing")
    return symbols


def _checked(lanes: Lanes, size: int) -> Lanes:
    """Return lanes as arrays of numpy whose shapes, dtypes and ranges are those of lanes."""
    found = Lanes(*map(np.asarray, lanes))
    kinds = Lanes(np.uint16, np.uint32, np.uint32, np.uint16)
    for name, array, kind in zip(Lanes._fields, found, kinds, strict=True):
        if array.ndim != 1 or array.dtype != kind:
            raise ValueError(
                f"{name} must be one row of {np.dtype(kind)}, got {array.dtype} {array.shape}"
            )
    count = found.states.size
    if not 1 <= count <= size or found.starts.size != count:
        raise ValueError(
            f"lanes must be 1 to {size}, each with a start, got {count} states and "
            f"{found.starts.size} starts"
        )
    if (found.states < LOWEST).any():
        raise ValueError(f"states must be at least {LOWEST}, got {found.states.min()}")
    return found
