"""Exact frequencies of a table: near the fewest bits for given counts, in no compact form."""

import numpy as np

from jaxcompress.packing.tables import ONE as SLOTS
from jaxcompress.packing.tables import decoding_tables

MOST_SYMBOLS = 256
_FRACTION = 20  # bits after the point of a gain


def quantized_frequencies(counts: np.ndarray) -> np.ndarray:
    """Return how many slots each symbol gets, near the fewest bits for these counts.

    `sum(-counts * log2(frequencies / 4096))` is least if no slot saves more bits with another
    symbol. A slot more for `f` saves `counts * log((f + 1) / f)`, which is nearly
    `counts / (f + 1/2)`: seats of a parliament are given to parties by the same rule. All
    arithmetic is of integers; the lower symbol comes first among equals.

    Args:
        counts: `[n]` occurrences of each symbol, at most 256 symbols and `2^42` in total.

    Returns:
        `[n]` int64 frequencies, at least 1 for a symbol that occurs, 0 for others, 4096 in total.

    Raises:
        ValueError: no symbol occurs, or counts out of these bounds.

    Example:
        >>> quantized_frequencies(np.array([3, 0, 1])).tolist()
        [3072, 0, 1024]
        >>> quantized_frequencies(np.array([1_000_000, 1])).tolist()
        [4095, 1]

    Source:
        Balinski and Young, Fair Representation, 1982 (the rule of Webster and Sainte-Lague).
    """
    counts = np.asarray(counts, np.int64)
    total = int(counts.sum())
    if counts.ndim != 1 or len(counts) > MOST_SYMBOLS or not 0 < total <= 1 << 42:
        raise ValueError(
            f"counts: must be of 1 to {MOST_SYMBOLS} symbols, 2^42 in total, got {total} of shape "
            f"{counts.shape}."
        )
    if counts.min() < 0:
        raise ValueError(f"counts: must be at least 0, got {counts.min()}.")
    slots = np.where(counts > 0, np.maximum(counts * SLOTS // total, 1), 0)
    scaled, left = counts << _FRACTION, SLOTS - int(slots.sum())
    never = np.int64(1) << 62

    def saved() -> np.ndarray:
        return scaled // (2 * slots + 1)

    def lost() -> np.ndarray:
        return np.where(slots > 1, scaled // np.maximum(2 * slots - 1, 1), never)

    if left > 0:
        slots[np.argsort(-saved(), kind="stable")[:left]] += 1
    for _ in range(-left):
        slots[np.argmin(lost())] -= 1
    while True:
        gets, gives = np.argmax(saved()), np.argmin(lost())
        if gets == gives or saved()[gets] <= lost()[gives]:
            return slots
        slots[gets] += 1
        slots[gives] -= 1


def decoding_table(frequencies: np.ndarray) -> np.ndarray:
    """Return `[4096]` uint32 entries `symbol << 24 | (f - 1) << 12 | (slot - first slot)`.

    The slots of a symbol are neighbours, those of symbol 0 come first.

    Args:
        frequencies: `[n]` slots of each symbol, 4096 in total.

    Raises:
        ValueError: they are not such frequencies.

    Example:
        >>> table = decoding_table(np.array([4094, 2]))
        >>> [hex(entry) for entry in table[4093:]]
        ['0xffdffd', '0x1001000', '0x1001001']
    """
    frequencies = np.asarray(frequencies, np.int64)
    if frequencies.ndim != 1 or not 0 < len(frequencies) <= MOST_SYMBOLS:
        raise ValueError(
            f"frequencies: must be of 1 to {MOST_SYMBOLS} symbols, got {frequencies.shape}."
        )
    if frequencies.min() < 0 or frequencies.max() > SLOTS or frequencies.sum() != SLOTS:
        raise ValueError(
            f"frequencies: must be at least 0 and {SLOTS} in total, got {frequencies.sum()}, the "
            f"least {frequencies.min()}."
        )
    return decoding_tables(frequencies[None])
