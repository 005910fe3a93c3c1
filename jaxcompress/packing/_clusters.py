"""Contexts that share a table, because a table of their own would take more bits than it saves."""

import numpy as np

_BITS_PER_SYMBOL, _BITS_PER_ABSENT, _BITS_PER_TABLE = 4.5, 1.0, 3.0


def clusters(counts: np.ndarray, most: int) -> np.ndarray:
    """Return the table of each context: the first one that occurs has table 0, and so on.

    The two tables whose union saves most bits become one, until no union saves any.

    Args:
        counts: `[contexts, alphabet]` how often each symbol occurs in each context.
        most: number of tables.

    Returns:
        `[contexts]`; contexts that do not occur have the table of the one before.

    Example:
        >>> clusters(np.array([[900, 100], [90, 10], [0, 0], [100, 900]]), 64).tolist()
        [0, 0, 0, 1]
    """
    used = np.flatnonzero(counts.any(axis=1))
    groups = counts[used].astype(np.float64)
    members = np.arange(used.size)
    bits = total_bits(groups)
    gains = np.array([_gains(k, groups, bits) for k in range(used.size)])
    left = used.size
    while left > 1:
        one, other = divmod(int(np.argmax(gains)), used.size)
        if gains[one, other] <= 0 and left <= most:
            break
        groups[one] += groups[other]
        bits[one] = total_bits(groups[one : one + 1])[0]
        members[members == other] = one
        groups[other] = 0
        bits[other] = 0
        gains[one] = _gains(one, groups, bits)
        gains[:, one] = gains[one]
        gains[other] = gains[:, other] = -np.inf
        gains[one, ~groups.any(axis=1)] = gains[~groups.any(axis=1), one] = -np.inf
        left -= 1
    return _numbered(len(counts), used, members)


def total_bits(counts: np.ndarray) -> np.ndarray:
    """Return about how many bits each table and its symbols take, `[tables]`.

    Example:
        >>> total_bits(np.array([[4, 4]])).tolist()
        [20.0]
    """
    present = np.count_nonzero(counts, axis=1)
    table = present * _BITS_PER_SYMBOL + (counts.shape[1] - present) * _BITS_PER_ABSENT
    return code_bits(counts) + table + _BITS_PER_TABLE


def code_bits(counts: np.ndarray) -> np.ndarray:
    """Return the entropy of the symbols of each table, `[tables]`.

    Example:
        >>> code_bits(np.array([[4, 4], [8, 0]])).tolist()
        [8.0, 0.0]
    """
    return _times_log(counts.sum(axis=1)) - _times_log(counts).sum(axis=1)


def _times_log(counts: np.ndarray) -> np.ndarray:
    return counts * np.log2(np.maximum(counts, 1))


def _gains(one: int, groups: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Return how many bits the union of a group with each other one saves."""
    gains = bits + bits[one] - total_bits(groups + groups[one])
    gains[one] = -np.inf
    return gains


def _numbered(contexts: int, used: np.ndarray, members: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(members, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    result = np.zeros(contexts, np.int64)
    result[used] = order[inverse]
    filled = np.zeros(contexts, np.int64)
    filled[used] = used
    return result[np.maximum.accumulate(filled)]
