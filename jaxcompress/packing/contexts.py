"""A model of quantized weights: the probability of each bit, given the bits before it.

A tensor is a matrix of signed levels, 0 where a weight is pruned. Rows and columns of trained
networks differ in density, and rows of neighbouring pixels are similar. So the model codes whether
a level is zero, and its sign, given

- the density class of its row, which is sent ahead, and that of its column so far;
- whether the weights one `lag` of rows before in the same column are zero, and their signs.

It codes the magnitude of a level given the final density classes of row and column.

Counts adapt after each row (or block of magnitudes), so that numpy works on whole rows.
Everything that the decoder repeats is integer arithmetic.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxcompress.packing._ans import ONE, Coder
from jaxcompress.packing.levels import dtype

_UNIT = 64  # counts of one observation; a context starts with one, split by the density
_RATIOS = np.array([35, 57, 94, 155, 256, 422, 696, 1147, 1892])
"""Bounds of density classes: odds of a column over those of the tensor, e^-2 to e^2, times 256."""
_COLUMN_CLASSES = len(_RATIOS) + 1
_ROW_BLOCK = 64
_RAREST = ONE >> 11
MOST_PER_WORD = 46_000
"""Most levels of a word of 32 bits: each takes at least -log2(1 - 2^-11) bits."""


class Choice(NamedTuple):
    """The choices of the encoder.

    Attributes:
        row_classes: of rows by density, 1 to 16; 1 sends none.
        lags: two distances in rows at which weights are similar; 0 for none.
        size_classes: of rows and of columns by density, for magnitudes, 1 to 16.
    """

    row_classes: int = 1
    lags: tuple[int, int] = (0, 0)
    size_classes: int = 1


class Adaptive:
    """Counts of zeros and ones in each of several contexts."""

    def __init__(self, contexts: int, start: int = ONE // 2) -> None:
        self._total = np.full(contexts, _UNIT, np.int64)
        self._ones = np.full(contexts, max(_UNIT * start // ONE, 1), np.int64)

    def code(self, coder: Coder, contexts: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Code one bit in each of the given contexts, then learn from them."""
        probabilities = self._ones[contexts] * ONE // self._total[contexts]
        bits = coder.code(np.clip(probabilities, _RAREST, ONE - _RAREST), bits)
        size = self._total.size
        self._total += _UNIT * np.bincount(contexts, minlength=size)
        self._ones += _UNIT * np.bincount(contexts[bits != 0], minlength=size)
        return bits


class Levels(NamedTuple):
    """The facts about a matrix of levels that are known before it is coded.

    Attributes:
        shape: rows and columns.
        nonzero: number of levels that are not zero.
        lowest: the lowest level, at most 0.
        highest: the highest level, at least 0.
    """

    shape: tuple[int, int]
    nonzero: int
    lowest: int
    highest: int


def code_signs(coder: Coder, known: np.ndarray | None, about: Levels, choice: Choice) -> np.ndarray:
    """Code, row by row, which levels are not zero, and their signs.

    Args:
        coder: takes or returns the bits.
        known: `[rows, columns]` signs, int8, or None to decode them.
        about: the matrix.
        choice: of the encoder.

    Returns:
        The signs.
    """
    rows, columns = about.shape
    classes = _code_row_classes(coder, known, rows, choice.row_classes)
    density = min(max(about.nonzero * ONE // (rows * columns), 1), ONE - 1)
    thresholds = ONE * _RATIOS * density // (_RATIOS * density + 256 * (ONE - density))
    zero = Adaptive(choice.row_classes * _COLUMN_CLASSES * 4, density)
    sign = Adaptive(9)
    ones = np.full(columns, max(_UNIT * density // ONE, 1), np.int64)
    two_signed = about.lowest < 0 < about.highest
    signs = np.zeros(
        (rows + 1, columns), np.int8
    )  # the last row is all 0: the row before the first
    column_classes = np.zeros(columns, np.int64)
    for row in range(rows):
        near, far = (signs[row - lag if 0 < lag <= row else rows] for lag in choice.lags)
        if row < _ROW_BLOCK or not row % 8:
            column_classes = np.searchsorted(thresholds, ones * ONE // (_UNIT * (row + 1)))
        contexts = (classes[row] * _COLUMN_CLASSES + column_classes) * 4
        contexts += (near != 0) + 2 * (far != 0)
        kept = zero.code(coder, contexts, None if known is None else known[row] != 0) != 0
        ones += _UNIT * kept
        places = np.flatnonzero(kept)
        if two_signed and places.size:
            contexts = (near[places] + 1) * 3 + (far[places] + 1).astype(np.int64)
            negative = None if known is None else known[row, places] < 0
            signs[row, places] = 1 - 2 * sign.code(coder, contexts, negative)
        else:
            signs[row, places] = 1 if about.highest > 0 else -1
        coder.pause()
    return signs[:rows]


def _code_row_classes(
    coder: Coder, signs: np.ndarray | None, rows: int, classes: int
) -> np.ndarray:
    """Code the density class of each row, bit by bit, the highest first."""
    known = None if signs is None else _ranked(np.count_nonzero(signs, axis=1), classes)
    result = np.zeros(rows, np.int64)
    depth = (classes - 1).bit_length()
    model = Adaptive(1 << depth)
    for block in _blocks(rows if depth else 0):
        part = None if known is None else known[block]
        node = np.ones(block.stop - block.start, np.int64)
        for place in range(depth - 1, -1, -1):
            bits = model.code(coder, node, None if part is None else part >> place & 1)
            node = node << 1 | bits
        result[block] = node - (1 << depth)
    return result


def _ranked(counts: np.ndarray, classes: int) -> np.ndarray:
    """Return the part of each count when the sorted counts are cut into `classes` equal parts."""
    rank = np.empty(counts.size, np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(counts.size)
    return rank * classes // max(counts.size, 1)


def code_magnitudes(
    coder: Coder, known: np.ndarray | None, signs: np.ndarray, about: Levels, choice: Choice
) -> np.ndarray:
    """Code the magnitudes of the levels that are not zero: the octave, then the place in it.

    Args:
        coder: takes or returns the bits.
        known: `[nonzero]` magnitudes, or None to decode them.
        signs: `[rows, columns]` of all levels.
        about: the matrix.
        choice: of the encoder.

    Returns:
        `[nonzero]` magnitudes, in the smallest dtype that holds them.
    """
    most = max(-about.lowest, about.highest)
    octaves = most.bit_length()
    negative = signs[signs != 0] < 0
    result = np.ones(negative.size, dtype(most))
    row_of, column_of = _places(signs)
    classes = choice.size_classes
    by_row = _ranked(np.count_nonzero(signs, axis=1), classes)
    by_column = _ranked(np.count_nonzero(signs, axis=0), classes)
    octave_model = Adaptive(classes**2 * 2 * octaves)
    first_model = Adaptive(classes**2 * 2 * octaves)
    rest_model = Adaptive(2 * 16 * octaves)
    for block in _blocks(negative.size if octaves > 1 else 0):
        row, column = row_of[block], column_of[block]
        part = None if known is None else known[block]
        contexts = (by_row[row] * classes + by_column[column]) * 2 * octaves
        is_negative = negative[block]
        contexts += is_negative * octaves
        magnitude = np.ones(row.size, np.int64)
        # The octave: one bit for each octave that is passed.
        open_ = np.arange(row.size)
        for octave in range(octaves - 1):
            passed = None if part is None else part[open_] >> (octave + 1) != 0
            bits = octave_model.code(coder, contexts[open_] + octave, passed)
            open_ = open_[bits != 0]
            magnitude[open_] <<= 1
            if not open_.size:
                break
        octave = _bit_lengths(magnitude) - 1
        # The place in it: the leading bit given everything, lower bits given those before.
        prefix = np.ones(row.size, np.int64)
        for place in range(int(octave.max(initial=0))):
            open_ = np.flatnonzero(octave > place)
            shift = octave[open_] - 1 - place
            bits = None if part is None else part[open_] >> shift & 1
            if place == 0:
                bits = first_model.code(coder, contexts[open_] + octave[open_], bits)
            else:
                # The lowest bits of large levels are nearly even: they use one context.
                node = octave[open_] * 16 + (prefix[open_] if place < 4 else 0)
                bits = rest_model.code(coder, node << 1 | is_negative[open_], bits)
            prefix[open_] = prefix[open_] << 1 | bits
        result[block] = prefix
        coder.pause()
    return result


def _places(signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of each level that is not zero, in small dtypes."""
    in_rows = np.count_nonzero(signs, axis=1)
    rows = np.repeat(np.arange(len(signs), dtype=np.int32), in_rows)
    columns = np.empty(rows.size, np.int32)
    end = np.cumsum(in_rows)
    for row, last in enumerate(end):
        columns[last - in_rows[row] : last] = np.flatnonzero(signs[row])
    return rows, columns


def _blocks(size: int) -> Iterator[slice]:
    """Yield slices over `size` entries: short at first, while counts change most."""
    start = 0
    while start < size:
        stop = min(start + min(max(start // 8, 32), 4096), size)
        yield slice(start, stop)
        start = stop


def _bit_lengths(powers: np.ndarray) -> np.ndarray:
    """Return the bit lengths of powers of two."""
    return np.frexp(powers.astype(np.float64))[1]
