"""The kept entries of a tensor: as gaps between them, or as one bit each.

Gaps are smaller for few kept entries, bits for many; in between there is a point of equal cost.
"""

import numpy as np

_ESCAPE = 255
_CHUNK = 1 << 18


def gaps(kept: np.ndarray) -> np.ndarray:
    """Return the number of removed entries before each kept one, uint8.

    255 means 255 removed entries without a kept one behind them. Removed entries behind the last
    kept one are not stored.

    Args:
        kept: `[size]` booleans.

    Example:
        >>> gaps(np.array([True, False, False, True])).tolist()
        [0, 2]
    """
    pieces, before = [], 0
    for start in range(0, kept.size, _CHUNK):
        places = np.flatnonzero(kept[start : start + _CHUNK])
        if not len(places):
            continue
        places += start + 1
        skipped = np.diff(places, prepend=before) - 1
        before = int(places[-1])
        escapes = skipped // _ESCAPE
        if escapes.any():
            piece = np.full(len(places) + int(escapes.sum()), _ESCAPE, np.uint8)
            piece[np.cumsum(escapes + 1) - 1] = skipped - _ESCAPE * escapes
        else:
            piece = skipped.astype(np.uint8)
        pieces.append(piece)
    return np.concatenate(pieces) if pieces else np.empty(0, np.uint8)


def kept_from_gaps(stream: np.ndarray, size: int, count: int) -> np.ndarray:
    """Return the booleans that `gaps` turned into this stream.

    Raises:
        ValueError: it is not the stream of `count` kept entries among `size`.

    Example:
        >>> kept_from_gaps(np.array([0, 2], np.uint8), 5, 2).tolist()
        [True, False, False, True, False]
    """
    kept = np.zeros(size, bool)
    position = found = 0
    for start in range(0, stream.size, _CHUNK):
        chunk = stream[start : start + _CHUNK]
        is_entry = chunk != _ESCAPE
        # An escape advances 255 places, an entry its gap and one more.
        walked = np.cumsum(chunk + is_entry, dtype=np.int64)
        places = (walked if is_entry.all() else walked[is_entry]) + (position - 1)
        if len(places) and places[-1] >= size:
            raise ValueError(f"position {places[-1]} of {size}")
        kept[places] = True
        position += int(walked[-1])
        found += len(places)
    if found != count or (stream.size and stream[-1] == _ESCAPE):
        raise ValueError(f"{found} kept entries instead of {count}")
    return kept


def kept_from_bits(stream: np.ndarray, size: int, count: int) -> np.ndarray:
    """Return the booleans that `np.packbits` turned into this stream.

    Raises:
        ValueError: it is not the stream of `count` kept entries among `size`.

    Example:
        >>> kept_from_bits(np.array([0b10010000], np.uint8), 5, 2).tolist()
        [True, False, False, True, False]
    """
    bits = np.unpackbits(stream)
    if bits[size:].any():
        raise ValueError("bits after the last entry")
    kept = bits[:size].view(bool)
    found = int(np.count_nonzero(kept))
    if found != count:
        raise ValueError(f"{found} kept entries instead of {count}")
    return kept
