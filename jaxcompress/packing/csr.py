"""Compressed sparse rows whose columns are stored as distances within the row.

A matrix becomes three streams: the number of entries of each row, the distance of each entry from
the one before it in its row (the first counts from column -1), and the entries themselves.
Distances fit a byte: longer ones are bridged by fillers, entries of value 0 at distance 255.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

LONGEST = 255
_BLOCK = 1 << 20  # entries of a matrix that are encoded at a time


class Csr(NamedTuple):
    """One matrix as streams.

    Attributes:
        row_lengths: `[rows]` entries in each row, fillers included, int64.
        distances: `[entries]` columns since the previous entry of the row, 1 to 255, uint8.
        entries: `[entries]` non-zero entries, and zeros for fillers.
    """

    row_lengths: np.ndarray
    distances: np.ndarray
    entries: np.ndarray


def encode(matrix: np.ndarray, kept: np.ndarray) -> Csr:
    """Return the entries of `matrix` at `kept` as streams.

    Args:
        matrix: `[rows, columns]` array of any dtype.
        kept: `[rows, columns]` booleans, True for every entry to store.

    Example:
        >>> matrix = np.array([[0, 7, 0], [8, 0, 9]])
        >>> [stream.tolist() for stream in encode(matrix, matrix != 0)]
        [[1, 2], [2, 1, 2], [7, 8, 9]]
    """
    step = max(_BLOCK // max(matrix.shape[1], 1), 1)
    blocks = [slice(start, start + step) for start in range(0, max(matrix.shape[0], 1), step)]
    parts = zip(*(_encode_rows(matrix[rows], kept[rows]) for rows in blocks), strict=True)
    return Csr(*map(np.concatenate, parts))


def _encode_rows(matrix: np.ndarray, kept: np.ndarray) -> Csr:
    """Return the streams of some rows, so few that their positions fit in memory."""
    rows, columns = np.nonzero(kept)
    starts_row = np.diff(rows, prepend=-1) != 0
    distances = np.diff(columns, prepend=0)
    distances[starts_row] = columns[starts_row] + 1
    fillers = (distances - 1) // LONGEST
    ends = np.cumsum(fillers + 1)  # each entry comes right after its fillers
    size = int(ends[-1]) if len(ends) else 0
    stream = np.full(size, LONGEST, np.uint8)
    stream[ends - 1] = distances - LONGEST * fillers
    entries = np.zeros(size, matrix.dtype)
    entries[ends - 1] = matrix[rows, columns]
    lengths = np.bincount(rows, weights=fillers + 1, minlength=matrix.shape[0])
    return Csr(lengths.astype(np.int64), stream, entries)


def decode(streams: Csr, shape: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield flat positions (C order, strictly ascending) and the entries there, with fillers.

    They come a block at a time, since positions take eight times the memory of entries.

    Args:
        streams: from `encode`.
        shape: rows and columns of the matrix.

    Raises:
        ValueError: the streams do not describe a matrix of that shape.

    Example:
        >>> matrix = np.array([[0, 7, 0], [8, 0, 9]])
        >>> ((positions, entries),) = decode(encode(matrix, matrix != 0), (2, 3))  # one block
        >>> positions.tolist(), entries.tolist()
        ([1, 3, 5], [7, 8, 9])
    """
    rows, columns = shape
    lengths, distances = streams.row_lengths, streams.distances
    if lengths.size != rows or lengths.max(initial=0) > distances.size:
        raise ValueError(f"{lengths.size} row lengths, the largest {lengths.max(initial=0)}")
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if rows else 0
    if not total == distances.size == streams.entries.size:
        raise ValueError(f"row lengths adding up to {total} for {distances.size} distances")
    if not distances.all():
        raise ValueError("a distance of 0, which repeats a position")
    walked_before = open_row = 0
    for start in range(0, total, _BLOCK):
        chunk = distances[start : start + _BLOCK]
        walked = np.concatenate([[0], np.cumsum(chunk, dtype=np.int64)]) + walked_before
        row = np.searchsorted(ends, np.arange(start, start + chunk.size), side="right")
        first = ends[row] - lengths[row] - start  # entry of the row, negative in an earlier block
        base = np.where(first < 0, open_row, walked[np.maximum(first, 0)])
        column = walked[1:] - base - 1
        if column.max() >= columns:
            raise ValueError(f"column {column.max()} of a matrix with {columns}")
        yield row * columns + column, streams.entries[start : start + chunk.size]
        walked_before, open_row = int(walked[-1]), int(base[-1])
