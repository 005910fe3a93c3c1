"""A tensor of codes as runs of symbols in the lanes of a coder, and back.

A sequence of symbols, each of a context, is three runs: for each context its table, 0 for that of
the context before, 1 for a new one, else 2 more than the number of the table (left out if there is
only one context); the tables, as differences; then the symbols. The first two have a fixed table,
which a byte names.

A tensor is up to three sequences: the numbers of rows and columns, if they have any; the codes, or
the upper bits of codes of a large alphabet; and their lower bits, whose context is the upper ones.
"""

from collections.abc import Callable

import numpy as np

from jaxcompress.kinds import codes_dtype
from jaxcompress.packing import tables
from jaxcompress.packing._choice import Chosen
from jaxcompress.packing._clusters import clusters
from jaxcompress.packing.matrices import as_matrix
from jaxcompress.packing.rans import Decoder, Ranges, Run
from jaxcompress.packing.static import (
    BLOCK,
    MOST_CONTEXTS,
    Alphabet,
    Contexts,
    Model,
    histogram,
    keys_of,
)

MOST_LAGS = 2

Take = Callable[[int], np.ndarray]
"""Returns so many of the next bytes, uint8."""


class Written:
    """A tensor as bytes and runs.

    Attributes:
        data: the bytes: 1 if rows have numbers, plus 2 if columns have, plus 4 for each lag, plus
            16 times `leading`; the lags, two bytes each, the lower first; the highest number, if
            there are any; and the fixed tables, in the order of their runs.
        runs: of symbols, in the order in which they are decoded.
    """

    def __init__(self, chosen: Chosen, alphabet: Alphabet) -> None:
        """Take codes, not empty, as a matrix with its model."""
        self.runs: list[Run] = []
        leading, matrix, model = chosen
        flags = (
            (model.rows.size > 0)
            + 2 * (model.columns.size > 0)
            + 4 * len(model.lags)
            + 16 * leading
        )
        self.data = [flags, *(byte for lag in model.lags for byte in (lag & 255, lag >> 8))]
        numbers = np.concatenate([model.rows, model.columns])
        if numbers.size:
            self.data.append(int(numbers.max()))
            self._sequence(numbers, int(numbers.max()) + 1)
        codes, bits = matrix.reshape(-1), alphabet.lower_bits
        upper = (codes >> bits).astype(np.uint8) if bits else codes
        contexts = None
        if model.contexts > 1:
            contexts = Contexts(model, matrix.shape, upper, alphabet).every()
        self._sequence(upper, alphabet.letters, contexts, model.contexts, model.neighbours)
        if bits:
            lower = (codes & (1 << bits) - 1).astype(np.uint8)
            self._sequence(lower, 1 << bits, upper, alphabet.letters)

    def _sequence(
        self,
        symbols: np.ndarray,
        letters: int,
        contexts: np.ndarray | None = None,
        count: int = 1,
        like: int = 1,
    ) -> None:
        keys = keys_of(symbols, contexts, letters)
        counts = histogram(keys, count, letters)
        chosen = clusters(counts, tables.MOST_TABLES)
        if count > 1:
            self._fixed(_news(chosen, like))
        of_tables = np.zeros((int(chosen.max()) + 1, letters), np.int64)
        np.add.at(of_tables, chosen, counts)
        places = tables.rounded(of_tables)
        self._fixed(tables.as_symbols(places))
        self.runs.append(Run(keys, tables.frequencies(places)[chosen]))

    def _fixed(self, symbols: np.ndarray) -> None:
        which = tables.best_fixed(symbols)
        self.data.append(which)
        self.runs.append(Run(symbols, tables.fixed(which)[None]))


def _news(chosen: np.ndarray, like: int) -> np.ndarray:
    """Return the tables of contexts as symbols; a context is like the one so many before."""
    result, news = np.zeros(chosen.size, np.uint8), 0
    for context, table in enumerate(chosen.tolist()):
        if table == news:
            result[context], news = 1, news + 1
        elif table != chosen[_before(context, like)]:
            result[context] = 2 + table
    return result


def _before(context: int, like: int) -> int:
    """Return the context whose table is expected."""
    return context - (like if context >= like else 1)


def read_tensor(
    take: Take, decoder: Decoder, shape: tuple[int, ...], alphabet: Alphabet
) -> np.ndarray:
    """Return the codes of a tensor, of its shape, in the dtype for its alphabet.

    Args:
        take: of the bytes of `Written`.
        decoder: of its runs.
        shape: of the tensor, which is not empty.
        alphabet: of the codes.

    Raises:
        ValueError: the bytes or the words are not those of such a tensor.
    """
    flags = int(take(1)[0])
    rows, columns, exchanged = as_matrix(shape, _leading(flags >> 4, shape))
    bits, letters = alphabet.lower_bits, alphabet.letters
    model = _read_model(take, decoder, rows, columns, flags)
    if model.contexts > MOST_CONTEXTS or (bits and model.lags):
        raise ValueError(f"{model.contexts} contexts, or lags where codes are cut")
    codes = upper = np.empty(rows * columns, np.uint8)
    contexts = Contexts(model, (rows, columns), upper, alphabet)
    counts = model.contexts, model.neighbours
    _read(take, decoder, upper, letters, contexts, counts=counts, reach=contexts.reach)
    if bits:
        lower = np.empty_like(upper)
        _read(take, decoder, lower, 1 << bits, lambda a, b: upper[a:b], counts=(letters, 1))
        codes = upper.astype(codes_dtype(alphabet.k)) << bits | lower
        if codes.max() > alphabet.k:
            raise ValueError(f"code {codes.max()} in a codebook of {alphabet.k}")
    matrix = codes.reshape(rows, columns)
    return (matrix.T if exchanged else matrix).reshape(shape)


def _leading(leading: int, shape: tuple[int, ...]) -> int:
    if leading >= max(len(shape), 1):
        raise ValueError(f"{leading} leading axes of {shape} as rows")
    return leading


def _read_model(take: Take, decoder: Decoder, rows: int, columns: int, flags: int) -> Model:
    count = flags >> 2 & 3
    if count > MOST_LAGS:
        raise ValueError(f"{count} lags, where there are {MOST_LAGS} at most")
    lags = tuple(int(low) + 256 * int(high) for low, high in take(2 * count).reshape(count, 2))
    if not all(0 < lag < rows for lag in lags):
        raise ValueError(f"lags {lags} in a matrix of {rows} rows")
    of_rows, of_columns = rows * (flags & 1), columns * (flags >> 1 & 1)
    numbers = np.empty(of_rows + of_columns, np.uint8)
    if numbers.size:
        _read(take, decoder, numbers, int(take(1)[0]) + 1)
    return Model(numbers[:of_rows], numbers[of_rows:], lags)


def _read(
    take: Take,
    decoder: Decoder,
    out: np.ndarray,
    letters: int,
    contexts: Ranges | None = None,
    *,
    counts: tuple[int, int] = (1, 1),
    reach: int = BLOCK,
) -> None:
    """Read a sequence of symbols."""
    chosen = np.zeros(1, np.uint8)
    if counts[0] > 1:
        chosen = _tables_of(_read_fixed(take, decoder, counts[0]), counts[1])
    symbols = _read_fixed(take, decoder, (int(chosen.max()) + 1) * letters)
    frequencies = tables.frequencies(tables.from_symbols(symbols, letters))

    decoder.take(out, frequencies, contexts, chosen=chosen, reach=reach)


def _read_fixed(take: Take, decoder: Decoder, size: int) -> np.ndarray:
    which = int(take(1)[0])
    if which >= tables.FIXED_TABLES:
        raise ValueError(f"fixed table {which} of {tables.FIXED_TABLES}")
    return decoder.take(np.empty(size, np.uint8), tables.fixed(which)[None])


def _tables_of(symbols: np.ndarray, like: int) -> np.ndarray:
    """Return the table of each context, for which `_news` returned these symbols."""
    result, news = np.zeros(symbols.size, np.uint8), 0
    for context, symbol in enumerate(symbols.tolist()):
        table = (result[_before(context, like)], news, symbol - 2)[min(symbol, 2)]
        news += symbol == 1
        if table >= min(news, tables.MOST_TABLES):
            raise ValueError(f"table {table} of {news}, of {tables.MOST_TABLES} at most")
        result[context] = table
    return result
