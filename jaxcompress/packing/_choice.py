"""The choice of a static model: the one whose tables, numbers and codes take the fewest bits.

Rows and columns are described by the mean magnitude of their codes, or by density and magnitude, in
quarters, halves or whole octaves. Models are compared on neighbouring rows from the middle.
"""

import itertools
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from jaxcompress.packing._clusters import code_bits, total_bits
from jaxcompress.packing.matrices import ways
from jaxcompress.packing.static import (
    MOST_CONTEXTS,
    NO_NUMBERS,
    PLAIN,
    Alphabet,
    Model,
    histogram,
    keys_of,
    matrix_of,
)

_FEWEST = 512
"""Smaller matrices have one context: more tables would not pay."""

_FEW, _SAMPLE, _MANY_LANES = 1 << 16, (1 << 16, 1 << 18), 1 << 8
_PER_OCTAVE, _MOST_NUMBER = 4, 31
_COARSE = (1, 2, 4)
_FINE, _MOST_BIAS = (4, 8), 6
_BLOCK, _LINE = 1 << 18, 1 << 10
_LEARNED_BITS = 1.0
"""By how much a sample is cheaper than other rows, for each frequency fitted to it."""

_MOST_LAG, _LAG_ROWS, _LAG_COLUMNS, _LAG_SCORE = 512, 1 << 12, 32, 8.0


def entropy_bits(matrix: np.ndarray, alphabet: Alphabet) -> float:
    """Return about how many bits a matrix takes with one context.

    Example:
        >>> entropy_bits(np.array([[0, 1, 0, 1]], np.uint8), Alphabet(1, 0))
        16.0
    """
    codes = matrix.reshape(-1)
    sample = codes[:: max(codes.size // _FEW, 1)]
    counts = np.bincount(sample, minlength=alphabet.k + 1)[None]
    return float(total_bits(counts)[0]) * codes.size / sample.size


class Chosen(NamedTuple):
    """Codes as they are coded.

    Attributes:
        leading: how many axes are the rows, as for `as_matrix`.
        matrix: `[rows, columns]` codes.
        model: of their contexts.
    """

    leading: int
    matrix: np.ndarray
    model: Model


def choose(codes: np.ndarray, alphabet: Alphabet, lanes: int) -> Chosen:
    """Return the matrix and the model with which codes take the fewest bits.

    Args:
        codes: of any shape that is not empty.
        alphabet: of the codes.
        lanes: of the coder; lags must be of as many codes.
    """
    if codes.size < _FEWEST:
        return Chosen(0, matrix_of(codes), PLAIN)
    priced = []
    for leading in ways(codes.shape):
        matrix = matrix_of(codes, leading)
        model, bits = _best_model(matrix, alphabet, lanes)
        priced.append((bits, Chosen(leading, matrix, model)))
    return min(priced, key=itemgetter(0))[1]


def _best_model(matrix: np.ndarray, alphabet: Alphabet, lanes: int) -> tuple[Model, float]:
    """Return the model under which a matrix takes the fewest bits, and about how many."""
    trial, margins = _Trial(matrix, alphabet, whole=lanes < _MANY_LANES), _Margins(matrix, alphabet)
    first = min([PLAIN, *margins.by_magnitude()], key=trial.bits)
    model = min([first, *margins.by_density(), *margins.by_bias(first)], key=trial.bits)
    if not alphabet.lower_bits:
        lags = _lags(matrix, alphabet, margins.counts[1], -(-lanes // matrix.shape[1]))
        bases = [model] if model is first else [model, first]
        models = [model, *(_with_lags(base, found) for base in bases for found in lags)]
        model = min(models, key=trial.bits)
    return model, trial.bits(model)


class _Trial:
    """Tells how many bits a matrix takes, from a random sample of its rows."""

    def __init__(self, matrix: np.ndarray, alphabet: Alphabet, *, whole: bool) -> None:
        rows, columns = matrix.shape
        size = min(max(matrix.size // (1 if whole else 4), _SAMPLE[0]), _SAMPLE[1])
        count = min(rows, max(size // columns, 1))
        self._rows = np.sort(np.random.default_rng(0).permutation(rows)[:count])
        self._matrix, self._alphabet, self._times = matrix, alphabet, rows / count
        self._upper = (matrix[self._rows] >> alphabet.lower_bits).astype(np.uint8).reshape(-1)

    def bits(self, model: Model) -> float:
        """Return about how many bits the matrix takes."""
        letters = self._alphabet.letters
        keys = keys_of(self._upper, self._contexts(model), letters)
        counts = histogram(keys, model.contexts, letters)
        return _shared_bits(counts, self._times) + sum(map(_number_bits, model[:2]))

    def _contexts(self, model: Model) -> np.ndarray | None:
        if model.contexts == 1:
            return None
        contexts = np.zeros((self._rows.size, self._matrix.shape[1]), np.uint8)
        times = np.uint8(3 ** len(model.lags))
        if model.rows.size:
            contexts += times * model.rows[self._rows, None]
        if model.columns.size:
            contexts += times * model.columns
        for place, lag in enumerate(model.lags):
            near = self._matrix[np.maximum(self._rows - lag, 0)]
            near[self._rows < lag] = 0
            contexts += (self._alphabet.signs() * 3**place)[near]
        return contexts.reshape(-1)


def _lags(
    matrix: np.ndarray, alphabet: Alphabet, counts: np.ndarray, fewest: int
) -> list[tuple[int, ...]]:
    """Return the distances at which signs and zeros of rows agree most: none, or one and two.

    Args:
        matrix: of codes.
        alphabet: of the codes.
        counts: `[columns]`, the more the more codes are not zero.
        fewest: the least distance.
    """
    start = max(len(matrix) - _LAG_ROWS, 0) // 2
    busiest = np.argsort(-counts, kind="stable")[:_LAG_COLUMNS]
    levels = alphabet.levels(matrix[start : start + _LAG_ROWS, busiest])
    signs = np.sign(levels).astype(np.float64)
    kept = np.abs(signs)
    # The columns of a model know their means.
    agreement = np.maximum(*(_correlations(x - x.mean(axis=0)) for x in (signs, kept)))
    scores = agreement[: min(len(signs) // 2, _MOST_LAG) + 1] * np.sqrt(signs.size)
    scores[: max(fewest, 1)] = 0
    best = np.argsort(-scores, kind="stable")[:2]
    found = tuple(int(lag) for lag in best if scores[lag] > _LAG_SCORE)
    return [found[:count] for count in range(1, len(found) + 1)]


def _correlations(x: np.ndarray) -> np.ndarray:
    """Return the magnitude of the correlation of rows with those before, by distance."""
    spectrum = np.fft.rfft(x, 2 * len(x), axis=0)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
    return np.abs(np.fft.irfft(power)[: len(x)]) / ((x * x).sum() + 1e-9)


class _Margins:
    """What the rows and the columns of a matrix have in common."""

    def __init__(self, matrix: np.ndarray, alphabet: Alphabet) -> None:
        sums = [_sums(matrix, axis, alphabet) for axis in (1, 0)]
        self.counts, self.totals = [part[0] for part in sums], [part[1] for part in sums]
        self.bias = sums[1][2]
        self.density = float(self.counts[0].mean())

    def by_magnitude(self) -> Iterator[Model]:
        """Yield models in which rows, columns or both have numbers of their mean magnitudes."""
        for coarse in _COARSE:
            rows, columns = (_octaves(part) // coarse for part in self.totals)
            yield _model(rows, columns)
            yield _model(rows, None)
            yield _model(None, columns)

    def by_density(self) -> Iterator[Model]:
        """Yield models by density and by the mean magnitude of codes other than 0."""
        if not 0.02 < self.density < 0.98:
            return
        means = [t / np.maximum(n, 1e-30) for t, n in zip(self.totals, self.counts, strict=True)]
        for coarse, coarser in itertools.product(_COARSE, _COARSE[1:]):
            second = [_octaves(part) // coarser for part in means]
            base = sum(int(part.max()) for part in second) + 1
            first = [base * (_octaves(part) // coarse) for part in self.counts]
            rows, columns = (a + b for a, b in zip(first, second, strict=True))
            if rows.max() + columns.max() < MOST_CONTEXTS:
                yield _model(rows, columns)

    def by_bias(self, model: Model) -> Iterator[Model]:
        """Yield models whose columns also have numbers of their mean, which may be far from 0."""
        for fine in _FINE:
            bias = np.rint(fine * self.bias / max(self.totals[1].mean(), 1e-30))
            bias = np.clip(bias, -_MOST_BIAS, _MOST_BIAS).astype(np.int64)
            bias -= bias.min()
            base = int(bias.max()) + 1
            columns = base * model.columns.astype(np.int64) + bias if model.columns.size else bias
            rows = base * model.rows.astype(np.int64)
            if rows.max(initial=0) + columns.max() < MOST_CONTEXTS:
                yield _model(rows, columns)


def _sums(matrix: np.ndarray, axis: int, alphabet: Alphabet) -> np.ndarray:
    """Return the density, mean magnitude and mean along an axis, `[3, n]`.

    Long axes are sampled evenly: a few hundred codes tell a mean well enough.
    """
    lines = matrix if axis else matrix.T
    lines = lines[:, :: max(lines.shape[1] // _LINE, 1)]
    step = max(_BLOCK // lines.shape[1], 1)
    found = []
    for start in range(0, len(lines), step):
        levels = alphabet.levels(lines[start : start + step])
        parts = (levels != 0, np.abs(levels), levels)
        found.append([part.sum(axis=1, dtype=np.int64) for part in parts])
    return np.concatenate(found, axis=1) / lines.shape[1]


def _octaves(means: np.ndarray) -> np.ndarray:
    """Return quarters of octaves from the least of some numbers, without outliers."""
    usual = means.mean()
    logs = np.log2(np.maximum(means, usual / 256 + 1e-30) / (usual + 1e-30))
    found = np.rint(_PER_OCTAVE * logs).astype(np.int64)
    middle = int(np.median(found))
    found = np.clip(found, middle - _MOST_NUMBER // 2, middle + _MOST_NUMBER // 2)
    return found - found.min()


def _model(
    rows: np.ndarray | None, columns: np.ndarray | None, lags: tuple[int, ...] = ()
) -> Model:
    return Model(_numbers(rows), _numbers(columns), lags)


def _numbers(numbers: np.ndarray | None) -> np.ndarray:
    return NO_NUMBERS if numbers is None or not numbers.any() else numbers.astype(np.uint8)


def _with_lags(model: Model, lags: tuple[int, ...]) -> Model:
    """Return the model with lags, and with coarser numbers if there would be too many contexts."""
    times, (rows, columns) = 3 ** len(lags), (part.astype(np.int64) for part in model[:2])
    while (rows.max(initial=0) + columns.max(initial=0) + 1) * times > MOST_CONTEXTS:
        rows, columns = rows // 2, columns // 2
    return _model(rows, columns, lags)


def _shared_bits(counts: np.ndarray, times: float) -> float:
    """Return about how many bits codes and tables take.

    A context has the table of the whole matrix, or one of its own if that takes fewer bits.

    Args:
        counts: `[contexts, alphabet]` of a sample.
        times: how many samples there are.
    """
    whole = counts.sum(axis=0)
    logs = np.log2(np.maximum(whole, 1) / whole.sum())
    tables = total_bits(counts) - code_bits(counts)
    learned = np.count_nonzero(counts, axis=1) * _LEARNED_BITS * (times - 1)
    own = times * code_bits(counts) + learned + tables
    return float(np.minimum(own, -times * (counts @ logs)).sum())


def _number_bits(numbers: np.ndarray) -> float:
    return float(total_bits(np.bincount(numbers)[None])[0]) if numbers.size else 0.0
