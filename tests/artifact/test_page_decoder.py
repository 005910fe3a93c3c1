"""A decoder of packing `rans` in plain numpy, written from docs/file-format.md alone."""

import json

import numpy as np
import pytest

import jaxcompress as jc

VALUES = [*range(8), *(m << e for e in range(1, 10) for m in (4, 5, 6, 7))]


class Lanes:
    def __init__(self, data):
        lanes, words = int(data[:4].view("<u4")[0]), int(data[4:12].view("<u8")[0])
        head = 12 + 4 * lanes
        self.x = data[12:head].view("<u4").astype(np.int64)
        self.words = iter(data[head : head + 2 * words].view("<u2").tolist())
        self.own = iter(data[head + 2 * words :].tolist())

    def run(self, size, tables, context=lambda symbols: 0):
        symbols = []
        starts = [np.cumsum([0, *table]) for table in tables]
        while len(symbols) < size:
            contexts = [
                context([*symbols, *[0] * k]) for k in range(min(len(self.x), size - len(symbols)))
            ]
            for lane, t in enumerate(contexts):
                x = int(self.x[lane])
                symbol = int(np.searchsorted(starts[t], x % 4096, side="right")) - 1
                x = tables[t][symbol] * (x // 4096) + x % 4096 - int(starts[t][symbol])
                self.x[lane] = x if x >= 1 << 16 else x << 16 | next(self.words)
                symbols.append(symbol)
        return symbols

    def fixed(self, size):
        weights, t = [1 << 40], next(self.own)
        for _ in range(87):
            weights.append(weights[-1] * (8 + t) // 16)
        table = [max(4096 * w // sum(weights), 1) for w in weights]
        return self.run(size, [[4096 - sum(table[1:]), *table[1:]]])

    def sequence(self, size, letters, context=lambda symbols: 0, count=1, g=1):
        chosen = []
        for c, v in enumerate(self.fixed(count) if count > 1 else [1]):
            new = max(chosen, default=-1) + 1
            chosen.append(v - 2 if v > 1 else new if v else chosen[c - (g if c >= g else 1)])
        tables, before = [], None
        symbols = iter(self.fixed((max(chosen) + 1) * letters))
        for _ in range(max(chosen) + 1):
            places = []
            for s in range(letters):
                v = next(symbols)
                start = before[s] if before else places[-1] if places else 24
                places.append(start + (v + 1) // 2 if v % 2 else start - v // 2)
            table, top = [VALUES[p] for p in places], places.index(max(places))
            table[top] = 4096 - sum(table) + table[top]
            tables.append(table)
            before = places
        return self.run(size, tables, lambda symbols: chosen[context(symbols)])

    def tensor(self, shape, k, negative):
        flags = next(self.own)
        columns = int(np.prod(shape[flags >> 4 or max(len(shape) - 1, 0) :]))
        rows = int(np.prod(shape)) // columns
        turned = rows > 16 * columns
        if turned:
            rows, columns = columns, rows
        lags = [next(self.own) + 256 * next(self.own) for _ in range(flags >> 2 & 3)]
        sizes = rows * (flags & 1), columns * (flags >> 1 & 1)
        numbers = self.sequence(sum(sizes), next(self.own) + 1) if sum(sizes) else []
        of_rows, of_columns = (
            numbers[: sizes[0]] or [0] * rows,
            numbers[sizes[0] :] or [0] * columns,
        )
        g, bits = 3 ** len(lags), (k // 255).bit_length()

        def context(symbols):
            i, j = divmod(len(symbols), columns)
            near = 0
            for place, lag in enumerate(lags):
                code = symbols[(i - lag) * columns + j] if i >= lag else 0
                near += 3**place * (1 if code == 0 else 0 if code <= negative else 2)
            return (of_rows[i] + of_columns[j]) * g + near

        count = (max(of_rows) + max(of_columns) + 1) * g
        codes = self.sequence(rows * columns, (k >> bits) + 1, context, count, g)
        if bits:
            upper = codes
            lower = self.sequence(len(upper), 1 << bits, lambda s: upper[len(s)], (k >> bits) + 1)
            codes = [u << bits | v for u, v in zip(upper, lower, strict=True)]
        matrix = np.array(codes).reshape(rows, columns)
        return (matrix.T if turned else matrix).reshape(shape)


def clustered(shape, k, negative, seed, period=None):
    random = np.random.default_rng(seed)
    spread = np.exp(random.normal(0, 1.2, (shape[0], *[1] * (len(shape) - 1))))
    values = np.rint(random.standard_normal(shape) * spread * k / 8).astype(int)
    if period:
        values = values[np.arange(shape[0]) % period] + (random.random(shape) < 0.1)  # almost
    codes = np.where(
        values < 0, np.maximum(values + negative + 1, 1), np.minimum(values + negative, k)
    )
    codes = np.where(values == 0, 0, codes)
    codebook = np.concatenate([np.arange(-negative, 0), np.arange(1, k - negative + 1)])
    dtype = np.uint8 if k < 256 else np.uint16
    return jc.Clustered(codes=codes.astype(dtype), codebook=codebook.astype(np.float32))


@pytest.mark.parametrize(
    "leaves",
    [
        [clustered((60, 50), 16, 8, 0), clustered((300,), 3, 1, 1), clustered((500, 1), 2, 1, 2)],
        [clustered((90, 24), 6, 3, 3, period=9)],
        [clustered((30, 20), 300, 150, 4)],
        [clustered((32, 5, 3, 2), 9, 4, 7), clustered((3, 3, 4, 8), 16, 8, 5)],
        [clustered((3, 3, 4, 8), 254, 100, 5), clustered((3, 3, 4, 8), 255, 100, 6)],
    ],
    ids=["shared lanes", "lags", "cut", "leading axes", "largest alphabets"],
)
def test_a_stranger_decodes_the_codes(tmp_path, leaves):
    jc.save(tmp_path / "m.npz", {f"{n}": leaf for n, leaf in enumerate(leaves)}, layout="entropy")
    with np.load(tmp_path / "m.npz") as file:
        manifest = json.loads(file["manifest"].tobytes())
        lanes = Lanes(file["rans"])
    for tensor, leaf in zip(manifest["tensors"], leaves, strict=True):
        negative = int((leaf.codebook < 0).sum())
        found = lanes.tensor(tensor["shape"], tensor["k"], negative)
        np.testing.assert_array_equal(found, leaf.codes)
    assert not list(lanes.words) and not list(lanes.own) and (lanes.x == 1 << 16).all()


def test_the_examples_use_what_the_page_describes():
    """Else the test above would not need numbers of rows and columns, lags or lower bits."""
    from jaxcompress.packing import _choice, static

    def model(leaf):
        alphabet = static.Alphabet(leaf.codebook.size, int((leaf.codebook < 0).sum()))
        return _choice.choose(leaf.codes, alphabet, 8)

    assert model(clustered((60, 50), 16, 8, 0)).model.rows.size
    assert model(clustered((90, 24), 6, 3, 3, period=9)).model.lags
    assert model(clustered((32, 5, 3, 2), 9, 4, 7)).leading == 1
