"""A static model of codes: a table of frequencies for each of several contexts.

A tensor is a matrix of codes, 0 where a weight is pruned. Rows and columns of trained networks
differ in density and magnitude, and rows of neighbouring pixels are similar. So the context of a
weight is a number of its row, plus one of its column, plus one that tells the signs of the weights
up to two `lags` of rows before in the same column. The encoder chooses all numbers.

Codes of large alphabets are cut: their upper bits have the contexts above, and the context of the
lower bits is the upper ones.
"""

from typing import NamedTuple

import numpy as np

from jaxcompress.packing import tables
from jaxcompress.packing.matrices import as_matrix

MOST_CONTEXTS = 256
BLOCK = 1 << 18


class Alphabet(NamedTuple):
    """The facts about codes that are known before they are read.

    Attributes:
        k: codes are integers from 0 to `k`; code 0 is the number 0.
        negative: number of codes, the first ones after 0, of negative numbers.
    """

    k: int
    negative: int

    @property
    def lower_bits(self) -> int:
        """Number of bits that are coded apart, so that the others have at most 255 values.

        Example:
            >>> [Alphabet(k, 0).lower_bits for k in (254, 255, 1024)]
            [0, 1, 3]
        """
        return (self.k // tables.MOST_SYMBOLS).bit_length()

    @property
    def letters(self) -> int:
        """Number of values of the upper bits."""
        return (self.k >> self.lower_bits) + 1

    def signs(self) -> np.ndarray:
        """Return for each code 0 if its number is negative, 1 for zero, and 2 if it is positive."""
        signs = np.full(self.k + 1, 2, np.uint8)
        signs[0] = 1
        signs[1 : self.negative + 1] = 0
        return signs

    def levels(self, codes: np.ndarray) -> np.ndarray:
        """Return codes as levels of 32 bits: 0, `-negative`, ..., -1, 1, 2, ...

        Example:
            >>> Alphabet(3, 2).levels(np.array([0, 1, 2, 3], np.uint8)).tolist()
            [0, -2, -1, 1]
        """
        levels = codes.astype(np.int32)
        if self.negative:
            below = levels <= self.negative
            levels -= self.negative
            levels -= below
            levels *= codes != 0
        return levels


class Model(NamedTuple):
    """The numbers that make contexts.

    Attributes:
        rows: `[rows]` uint8, one of each row; empty if all are 0.
        columns: `[columns]` uint8, one of each column; empty if all are 0.
        lags: none, one or two distances in rows.
    """

    rows: np.ndarray
    columns: np.ndarray
    lags: tuple[int, ...] = ()

    @property
    def contexts(self) -> int:
        """Number of contexts that can occur."""
        numbers = int(self.rows.max(initial=0)) + int(self.columns.max(initial=0)) + 1
        return numbers * self.neighbours

    @property
    def neighbours(self) -> int:
        """Number of contexts that rows and columns with the same numbers have."""
        return 3 ** len(self.lags)


NO_NUMBERS = np.empty(0, np.uint8)
PLAIN = Model(NO_NUMBERS, NO_NUMBERS)
"""The model of one context."""


def matrix_of(codes: np.ndarray, leading: int = 0) -> np.ndarray:
    """Return codes of any shape as `[rows, columns]`, as they are coded.

    Args:
        codes: of any shape.
        leading: how many axes are the rows, as for `as_matrix`.

    Example:
        >>> matrix_of(np.zeros((2, 3, 4), np.uint8)).shape
        (6, 4)
    """
    rows, columns, exchanged = as_matrix(codes.shape, leading)
    matrix = codes.reshape(columns, rows).T if exchanged else codes.reshape(rows, columns)
    return np.ascontiguousarray(matrix)


def keys_of(symbols: np.ndarray, contexts: np.ndarray | None, letters: int) -> np.ndarray:
    """Return `context * letters + symbol`, uint16; the symbols if there is only one context.

    Example:
        >>> keys_of(np.array([0, 1], np.uint8), np.array([0, 3], np.uint8), 2).tolist()
        [0, 7]
    """
    if contexts is None:
        return symbols
    keys = contexts.astype(np.uint16)
    keys *= np.uint16(letters)
    keys += symbols
    return keys


def histogram(keys: np.ndarray, count: int, letters: int) -> np.ndarray:
    """Return `[count, letters]` how often each symbol occurs in each context.

    Example:
        >>> histogram(np.array([0, 3, 3], np.uint16), 2, 2).tolist()
        [[1, 0], [0, 2]]
    """
    result = np.zeros(count * letters, np.int64)
    for start in range(0, keys.size, BLOCK):
        result += np.bincount(keys[start : start + BLOCK], minlength=result.size)
    return result.reshape(count, letters)


class Contexts:
    """Gives the contexts of ranges of a matrix whose earlier codes are known.

    Example:
        >>> model = Model(np.array([0, 1], np.uint8), NO_NUMBERS, (1,))
        >>> Contexts(model, (2, 2), np.array([0, 1, 0, 0]), Alphabet(1, 0))(0, 4).tolist()
        [1, 1, 4, 5]
    """

    def __init__(
        self, model: Model, shape: tuple[int, ...], codes: np.ndarray, alphabet: Alphabet
    ) -> None:
        """Take the model, the shape of the matrix, and its codes row by row."""
        rows, self._columns = shape
        times = np.uint8(3 ** len(model.lags))
        numbers = [part * times if part.size else np.zeros(1, np.uint8) for part in model[:2]]
        self._rows = np.broadcast_to(numbers[0], rows)
        self._of_columns = np.broadcast_to(numbers[1], self._columns)
        self._codes = codes
        self._lags = [lag * self._columns for lag in model.lags]
        self._signs = [alphabet.signs() * 3**place for place in range(len(model.lags))]

    @property
    def reach(self) -> int:
        """The number of codes that a range may have, at most."""
        return min([BLOCK, *self._lags])

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Return the contexts of a range, uint8."""
        first, last = start // self._columns, -(-stop // self._columns)
        part = self._rows[first:last, None] + self._of_columns
        offset = start - first * self._columns
        result = part.reshape(-1)[offset : offset + stop - start]
        for lag, signs in zip(self._lags, self._signs, strict=True):
            missing = min(max(lag - start, 0), stop - start)  # above the first row all is zero
            result[:missing] += signs[0]
            result[missing:] += signs[self._codes[start + missing - lag : stop - lag]]
        return result

    def every(self) -> np.ndarray:
        """Return the contexts of the whole matrix, all of whose codes are known."""
        size = self._rows.size * self._columns
        contexts = np.empty(size, np.uint8)
        for start in range(0, size, BLOCK):
            stop = min(start + BLOCK, size)
            contexts[start:stop] = self(start, stop)
        return contexts
