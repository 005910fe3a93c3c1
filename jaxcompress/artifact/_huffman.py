"""The length of bytes in Huffman codes, without coding them."""

import heapq
from collections.abc import Iterable

import numpy as np


def literal_bits(parts: Iterable[np.ndarray]) -> int:
    """Return about how many bits some parts take, with a Huffman code and table for each.

    Example:
        >>> literal_bits([np.array([0, 0, 1], np.uint8)])
        77
    """
    counts = [np.bincount(part) for part in parts if part.size]
    return sum(_huffman_bits(c) + 64 + 5 * int(np.count_nonzero(c)) for c in counts)


def _huffman_bits(counts: np.ndarray) -> int:
    """Return the length of a text in the best code of whole bits, given counts of its letters."""
    heap = counts[counts > 0].tolist()
    if len(heap) == 1:
        return heap[0]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, pair)
        total += pair
    return total
