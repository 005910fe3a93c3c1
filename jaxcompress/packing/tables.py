"""Tables of frequencies: 4096 slots for the symbols of an alphabet.

A frequency is one of 44 values, four in an octave, named by its place among them. The symbol of the
highest place, the first of equal ones, has all slots that the others leave. So each table has
exactly 4096.
"""

import functools

import numpy as np

BITS = 12
ONE = 1 << BITS
"""The sum of the frequencies of a table."""

MOST_SYMBOLS = 255
MOST_TABLES = 64
"""In memory 64 tables take 1 MiB, which fits a cache."""

VALUES = np.array([*range(8), *(m << e for e in range(1, BITS - 2) for m in range(4, 8))])
"""The frequencies that a symbol may have: 0 to 8, then four in an octave, up to 3584."""

_MIDDLES = np.sqrt(VALUES[:-1] * VALUES[1:])
_FIRST = 24
"""The place that is expected of the first symbol of the first table."""

FIXED_LETTERS = 2 * VALUES.size
FIXED_TABLES = 8


def rounded(counts: np.ndarray) -> np.ndarray:
    """Return the places of frequencies that suit counts of symbols.

    Args:
        counts: `[tables, alphabet]` how often each symbol occurs; no row is all zeros.

    Returns:
        `[tables, alphabet]` places in `VALUES`, 0 for symbols that do not occur.

    Example:
        >>> frequencies(rounded(np.array([[3, 1], [0, 5]]))).tolist()
        [[3072, 1024], [0, 4096]]
    """
    rows = np.arange(len(counts))
    wanted = counts * (ONE / counts.sum(axis=1, keepdims=True))
    places = np.zeros(counts.shape, np.int64)
    carried = np.zeros(len(counts))
    # The rarest symbols first: more frequent ones can take over their errors.
    for symbol in np.argsort(wanted, axis=1, kind="stable").T:
        want = wanted[rows, symbol]
        place = np.searchsorted(_MIDDLES, np.clip(want - carried, 0, VALUES[-1]))
        place = np.where(want > 0, np.maximum(place, 1), 0)
        places[rows, symbol] = place
        carried += VALUES[place] - want
    while True:  # too many rare symbols were raised to 1
        over = np.flatnonzero(_of_others(places) >= ONE)
        if not over.size:
            return places
        places[over, np.argmax(places[over], axis=1)] -= 1


def frequencies(places: np.ndarray) -> np.ndarray:
    """Return the frequencies of the symbols of tables.

    Args:
        places: `[tables, alphabet]`, from `rounded`.

    Raises:
        ValueError: a place that does not exist, or frequencies of more than 4096.
    """
    if places.min(initial=0) < 0 or places.max(initial=0) >= VALUES.size:
        raise ValueError(f"a frequency of place {places.max()} among {VALUES.size}")
    result = VALUES[places]
    left = ONE - _of_others(places)
    if left.min(initial=1) < 1:
        raise ValueError(f"a table with frequencies of more than {ONE}")
    result[np.arange(len(places)), np.argmax(places, axis=1)] = left
    return result


def _of_others(places: np.ndarray) -> np.ndarray:
    """Return for each table the sum of all frequencies except the highest."""
    found = VALUES[places]
    return found.sum(axis=1) - found.max(axis=1)


def as_symbols(places: np.ndarray) -> np.ndarray:
    """Return the differences of tables to the ones before, as symbols of `fixed` tables.

    Differences d have the symbols 2 |d| or, if they are above 0, 2 d - 1. The first table is
    compared with its own symbols, each with the one before.

    Example:
        >>> as_symbols(np.array([[24, 23], [23, 25]])).tolist()
        [0, 2, 2, 3]
    """
    differences = np.diff(places, axis=0, prepend=0)
    differences[0] = np.diff(places[0], prepend=_FIRST)
    return np.where(differences > 0, 2 * differences - 1, -2 * differences).astype(np.uint8).ravel()


def from_symbols(symbols: np.ndarray, letters: int) -> np.ndarray:
    """Return the places for which `as_symbols` returned these symbols.

    Example:
        >>> from_symbols(np.array([0, 2, 2, 3], np.uint8), 2).tolist()
        [[24, 23], [23, 25]]
    """
    wide = symbols.astype(np.int64).reshape(-1, letters)
    places = np.where(wide & 1, (wide + 1) // 2, -(wide // 2))
    places[0] = np.cumsum(places[0]) + _FIRST
    return np.cumsum(places, axis=0)


@functools.cache
def fixed(which: int) -> np.ndarray:
    """Return the frequencies of a table for differences, of which small ones are more frequent.

    The weight of the first symbol is 2^40, of each other `(8 + which) / 16` of the one before,
    rounded down; its frequency is `4096 * weight / sum(weights)`, rounded down, or 1; the first
    symbol has what the others leave.

    Args:
        which: 0 to 7.

    Example:
        >>> fixed(0)[:4].tolist(), int(fixed(0).sum())
        ([1973, 1024, 512, 256], 4096)
    """
    weights = [1 << 40]
    for _ in range(FIXED_LETTERS - 1):
        weights.append(weights[-1] * (8 + which) // 16)
    result = np.array([max(ONE * weight // sum(weights), 1) for weight in weights])
    result[0] = ONE - result[1:].sum()
    result.flags.writeable = False
    return result


def best_fixed(symbols: np.ndarray) -> int:
    """Return the fixed table under which symbols take the fewest bits.

    Example:
        >>> best_fixed(np.array([0, 0, 1], np.uint8)), best_fixed(np.array([60], np.uint8))
        (0, 7)
    """
    counts = np.bincount(symbols, minlength=FIXED_LETTERS)
    return int(np.argmax([counts @ np.log2(fixed(which)) for which in range(FIXED_TABLES)]))


def decoding_tables(frequencies: np.ndarray) -> np.ndarray:
    """Return for each slot of each table its symbol, its frequency and its place among its slots.

    Args:
        frequencies: `[tables, alphabet]`; each row adds up to 4096.

    Returns:
        `[tables * 4096]` uint32, `symbol << 24 | (frequency - 1) << 12 | place`.

    Example:
        >>> table = decoding_tables(np.array([[3072, 1024]]))
        >>> [hex(table[slot]) for slot in (0, 3071, 3072)]
        ['0xbff000', '0xbffbff', '0x13ff000']
    """
    tables, letters = frequencies.shape
    lengths = frequencies.ravel()
    symbols = np.tile(np.arange(letters, dtype=np.uint32), tables)
    firsts = (np.cumsum(frequencies, axis=1) - frequencies).ravel()
    heads = symbols << 24 | (np.maximum(lengths, 1) - 1).astype(np.uint32) << BITS
    slots = np.tile(np.arange(ONE, dtype=np.uint32), tables)
    slots -= np.repeat(firsts, lengths).astype(np.uint32)
    return np.repeat(heads, lengths) | slots
