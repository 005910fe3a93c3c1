"""Matrices of levels as words, near their entropy under the model of `contexts`."""

from typing import NamedTuple

import numpy as np

from jaxcompress.packing._ans import Player, Recorder
from jaxcompress.packing.contexts import (
    MOST_PER_WORD,
    Choice,
    Levels,
    code_magnitudes,
    code_signs,
)
from jaxcompress.packing.levels import dtype
from jaxcompress.packing.matrices import as_matrix

_SAMPLE = 1 << 19
CLASSES = (1, 2, 4, 8, 16)
_MOST_LAG, _LAG_COLUMNS, _LAG_SCORE = 512, 32, 8.0


class Words(NamedTuple):
    """A tensor of levels, coded.

    Attributes:
        choice: of the model.
        segments: uint32 words, one array for each segment.
    """

    choice: Choice
    segments: list[np.ndarray]


def encode(levels: np.ndarray, lowest: int, highest: int) -> Words:
    """Return the words of a tensor of signed levels.

    The model is the best of several, tried on the middle half million of levels.

    Args:
        levels: integers of any shape that is not empty.
        lowest: no level is below it; at most 0.
        highest: no level is above it; at least 0.

    Raises:
        MissingLibraryError: without constriction.

    Example:
        >>> words = encode(np.array([[0, 0, 1], [0, -1, 0]]), -1, 1)
        >>> [segment.dtype.name for segment in words.segments]
        ['uint32']
    """
    rows, columns, exchanged = as_matrix(levels.shape)
    matrix = levels.reshape(columns, rows).T if exchanged else levels.reshape(rows, columns)
    matrix = np.ascontiguousarray(matrix)
    choice = _choose(_middle(matrix), lowest, highest)
    recorder = Recorder()
    about = Levels(matrix.shape, int(np.count_nonzero(matrix)), lowest, highest)
    signs = np.sign(matrix).astype(np.int8)
    code_signs(recorder, signs, about, choice)
    code_magnitudes(recorder, np.abs(matrix[matrix != 0]), signs, about, choice)
    return Words(choice, recorder.words())


def decode(
    words: Words, shape: tuple[int, ...], count: int, lowest: int, highest: int
) -> np.ndarray:
    """Return the levels that `encode` turned into these words.

    Args:
        words: from `encode`.
        shape: of the tensor.
        count: number of levels that are not zero.
        lowest: as for `encode`.
        highest: as for `encode`.

    Raises:
        ValueError: the words are not of such a tensor.
        MissingLibraryError: without constriction.

    Example:
        >>> words = encode(np.array([[0, 0, 1], [0, -1, 0]]), -1, 1)
        >>> decode(words, (2, 3), 2, -1, 1).tolist()
        [[0, 0, 1], [0, -1, 0]]
    """
    rows, columns, exchanged = as_matrix(shape)
    if not rows * columns:
        raise ValueError("words for no levels")
    # The coder holds up to two words before it writes the first.
    if rows * columns > MOST_PER_WORD * (2 + sum(segment.size for segment in words.segments)):
        raise ValueError(f"{rows * columns} levels are too many for so few words")
    player = Player(words.segments)
    about = Levels((rows, columns), count, lowest, highest)
    signs = code_signs(player, None, about, words.choice)
    if np.count_nonzero(signs) != count:
        raise ValueError(f"{np.count_nonzero(signs)} levels are not zero instead of {count}")
    matrix = signs.astype(dtype(max(-lowest, highest)))
    matrix[signs != 0] *= code_magnitudes(player, None, signs, about, words.choice)
    player.close()
    return (matrix.T if exchanged else matrix).reshape(shape)


def _middle(matrix: np.ndarray) -> np.ndarray:
    """Return neighbouring rows from the middle of a large matrix."""
    rows = min(len(matrix), max(_SAMPLE // matrix.shape[1], 1))
    start = (len(matrix) - rows) // 2
    return matrix[start : start + rows]


def _choose(matrix: np.ndarray, lowest: int, highest: int) -> Choice:
    """Return the model under which this part of a tensor has the least information."""
    about = Levels(matrix.shape, int(np.count_nonzero(matrix)), lowest, highest)
    signs, magnitudes = np.sign(matrix).astype(np.int8), np.abs(matrix[matrix != 0])

    def signs_cost(choice: Choice) -> float:
        recorder = Recorder()
        code_signs(recorder, signs, about, choice)
        return recorder.cost_bits()

    def magnitudes_cost(choice: Choice) -> float:
        recorder = Recorder()
        code_magnitudes(recorder, magnitudes, signs, about, choice)
        return recorder.cost_bits()

    by_rows = min((Choice(n) for n in CLASSES), key=signs_cost)
    lags = _lags(signs)
    tried = {by_rows} | {by_rows._replace(lags=pair) for pair in ((lags[0], 0), lags)}
    best = min(sorted(tried), key=signs_cost)
    return min((best._replace(size_classes=n) for n in CLASSES), key=magnitudes_cost)


def _lags(signs: np.ndarray) -> tuple[int, int]:
    """Return the two distances in rows at which signs and zeros agree most, 0 where none do."""
    busiest = np.argsort(-np.count_nonzero(signs, axis=0), kind="stable")[:_LAG_COLUMNS]
    part = signs[:, busiest].astype(np.float32)
    kept = np.abs(part) - np.abs(part).mean(axis=0)

    def score(lag: int) -> float:
        agreement = max(
            abs(float((x[lag:] * x[:-lag]).sum())) / (float((x * x).sum()) + 1e-9)
            for x in (part, kept)
        )
        return agreement * np.sqrt(part.size)

    scores = {lag: score(lag) for lag in range(1, min(len(part) // 2, _MOST_LAG) + 1)}
    best = sorted(scores, key=lambda lag: -scores[lag])[:2]
    first, second = ([lag for lag in best if scores[lag] > _LAG_SCORE] + [0, 0])[:2]
    return first, second
