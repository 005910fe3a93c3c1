"""Tensors of codes in a block: there and back, close to what they must take, and damage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcompress.packing import _choice, block, sequences, static
from jaxcompress.packing._clusters import clusters
from jaxcompress.packing.block import Block, Codes
from jaxcompress.packing.static import NO_NUMBERS, Alphabet, Contexts, Model


def taking(parts):
    return block.taking(np.concatenate(parts))


def decoded(parts, tensors):
    take = taking(parts)
    found = Block(take)
    result = [found.read(take, codes.values.shape, codes.alphabet) for codes in tensors]
    found.close()
    with pytest.raises(ValueError, match="0 bytes"):
        take(1)
    return result


def codes_of(random, shape, k, negative, density, structure):
    """Codes with rows and columns of other densities, or rows that repeat."""
    size = shape[-1] if shape else 1
    p = np.full(shape, density)
    if structure == "columns":
        p = p * random.random(size)
    if structure == "rows":
        p = p * random.random((*shape[:-1], 1)) if shape else p
    kept = random.random(shape) < p
    values = np.minimum(random.exponential(0.15 * k + 0.5, shape) + 1, k).astype(np.int64)
    values = np.where(kept, values, 0)
    if structure == "period" and len(shape) == 2:
        values = values[np.arange(shape[0]) % 7]
    return Codes(values.astype(np.uint8 if k < 256 else np.uint16), Alphabet(k, negative))


SHAPES = st.one_of(
    st.just(()),
    st.tuples(st.integers(1, 900)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(200, 500), st.integers(1, 3)),
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            SHAPES,
            st.sampled_from([0, 1, 2, 16, 30, 254, 255, 256, 1024]),
            st.floats(0, 1),
            st.floats(0, 1),
            st.sampled_from(["none", "rows", "columns", "period"]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 99),
)
def test_tensors_of_any_kind_come_back(described, seed):
    random = np.random.default_rng(seed)
    tensors = [
        codes_of(random, shape, k, int(part * k), density, structure)
        for shape, k, part, density, structure in described
    ]
    parts = block.encode(tensors)
    assert len(parts) == 1 + len(tensors) and all(part.dtype == np.uint8 for part in parts)
    for codes, found in zip(tensors, decoded(parts, tensors), strict=True):
        assert found.dtype == codes.values.dtype
        np.testing.assert_array_equal(found, codes.values)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.lists(st.integers(1, 12), max_size=2),
    st.integers(0, 5),
    st.integers(0, 99),
)
def test_contexts_are_the_sum_of_rows_columns_and_neighbours(rows, columns, lags, most, seed):
    random = np.random.default_rng(seed)
    alphabet = Alphabet(3, 1)
    matrix = random.integers(0, 4, (rows, columns)).astype(np.uint8)
    lags = tuple(lag for lag in lags if lag < rows)
    numbers = [random.integers(0, most + 1, size).astype(np.uint8) for size in (rows, columns)]
    model = Model(numbers[0], numbers[1], lags)
    sign = {0: 1, 1: 0, 2: 2, 3: 2}
    expected = [
        (int(numbers[0][i]) + int(numbers[1][j])) * 3 ** len(lags)
        + sum(
            3**place * (sign[int(matrix[i - lag, j])] if i >= lag else 1)
            for place, lag in enumerate(lags)
        )
        for i in range(rows)
        for j in range(columns)
    ]
    found = Contexts(model, matrix.shape, matrix.reshape(-1), alphabet)
    assert found.every().tolist() == expected and max(expected) < model.contexts
    start = random.integers(0, matrix.size)
    stop = random.integers(start, min(matrix.size, start + found.reach)) + 1
    assert found(start, stop).tolist() == expected[start:stop]


def bits_of(values, k, negative=0):
    tensors = [Codes(values, Alphabet(k, negative))]
    parts = block.encode(tensors)
    np.testing.assert_array_equal(decoded(parts, tensors)[0], values)
    lanes = int(parts[0][:4].view("<u4")[0])
    return 8 * (sum(part.size for part in parts) - 4 * lanes)


def entropy(values):
    p = np.unique(values, return_counts=True)[1] / values.size
    return -(p * np.log2(p)).sum() * values.size


@pytest.mark.slow
def test_structure_that_a_model_knows_is_not_paid_for():
    random = np.random.default_rng(0)
    chance = (random.random((500, 400)) < 0.1).astype(np.uint8)
    assert bits_of(chance, 1) < 1.01 * entropy(chance) + 300
    rows = (random.random((500, 400)) < np.repeat([0.02, 0.3], 250)[:, None]).astype(np.uint8)
    columns = (random.random((500, 400)) < np.repeat([0.02, 0.3], 200)).astype(np.uint8)
    for structured in (rows, columns):
        halves = [structured[structured.shape[0] // 2 :], structured[: structured.shape[0] // 2]]
        if structured is columns:
            halves = [structured[:, 200:], structured[:, :200]]
        assert bits_of(structured, 1) < 1.03 * sum(map(entropy, halves)) + 2000
        assert bits_of(structured, 1) < 0.9 * entropy(structured)
    repeated = (random.random((50, 400)) < 0.2).astype(np.uint8)[np.arange(500) % 50]
    assert bits_of(repeated, 1) < 0.4 * entropy(repeated)
    signs = np.where(random.random((500, 400)) < np.linspace(0.05, 0.95, 400), 1, 2)
    assert bits_of(signs.astype(np.uint8), 2, 1) < 0.85 * entropy(signs)


def test_large_alphabets_are_cut_without_loss():
    random = np.random.default_rng(0)
    values = np.clip(np.rint(random.standard_t(3, (300, 300)) * 30) + 500, 0, 1000)
    values = values.astype(np.uint16)
    assert Alphabet(1000, 500).lower_bits == 2
    assert bits_of(values, 1000, 500) < 1.06 * entropy(values)


def test_contexts_share_tables_where_that_is_smaller():
    same = np.array([[500, 100, 3]] * 6 + [[3, 100, 500]] * 6)
    assert clusters(same, 64).tolist() == [0] * 6 + [1] * 6
    assert clusters(same, 1).tolist() == [0] * 12
    different = np.eye(9, dtype=int) * 1000
    assert clusters(different, 64).tolist() == list(range(9))
    assert len(set(clusters(different, 4).tolist())) == 4


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.sampled_from([1, 3, 9]))
def test_tables_of_contexts_as_symbols(tables_, like):
    order = {table: place for place, table in enumerate(dict.fromkeys(tables_))}
    chosen = np.array([order[table] for table in tables_])
    symbols = sequences._news(chosen, like)
    assert sequences._tables_of(symbols, like).tolist() == chosen.tolist()


@pytest.mark.parametrize("symbols", [[2], [1, 3], [1] * 65, [0]])
def test_tables_of_contexts_that_do_not_exist_are_refused(symbols):
    if symbols == [0]:
        symbols = [0, 0]
    with pytest.raises(ValueError, match="table"):
        sequences._tables_of(np.array(symbols, np.uint8), 1)


def example():
    random = np.random.default_rng(5)
    tensors = [
        codes_of(random, (60, 40), 16, 8, 0.5, "rows"),
        codes_of(random, (31,), 3, 1, 0.5, "none"),
    ]
    return tensors, block.encode(tensors)


def test_a_byte_cut_or_changed_is_refused_or_gives_other_codes():
    """Never an error of another kind, and never codes beyond their alphabet."""
    tensors, parts = example()
    data = np.concatenate(parts)
    tried = refused = 0
    for place in range(0, data.size, 29):
        for value in (0, 255, int(data[place]) ^ 1, int(data[place]) ^ 128):
            changed = data.copy()
            changed[place] = value
            tried += 1
            try:
                found = decoded([changed], tensors)
            except ValueError:
                refused += 1
                continue
            for codes, result in zip(tensors, found, strict=True):
                assert result.shape == codes.values.shape and result.max() <= codes.alphabet.k
    assert refused > 0.4 * tried
    for size in range(0, data.size, 29):
        with pytest.raises(ValueError):
            decoded([data[:size]], tensors)


@pytest.mark.parametrize(
    ("lanes", "message"),
    [(0, "0 lanes, where there are 1 to 65536"), (1 << 17, "131072 lanes"), (1 << 16, "bytes")],
)
def test_absurd_lanes_are_refused(lanes, message):
    _, parts = example()
    parts[0][:4] = np.array([lanes], "<u4").view(np.uint8)
    with pytest.raises(ValueError, match=message):
        Block(taking(parts))


def test_absurd_words_are_refused_before_anything_is_made():
    _, parts = example()
    parts[0][4:12] = 255
    with pytest.raises(ValueError, match="bytes where"):
        Block(taking(parts))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([12], "3 lags"),
        ([32], r"2 leading axes of \(60, 40\) as rows"),
        ([4, 60, 0], r"lags \(60,\) in a matrix of 60 rows"),
        ([4, 0, 0], r"lags \(0,\)"),
        ([4, 1, 0, 0, 0], "more symbols|table|that no symbol"),
        ([0, 9], "fixed table 9 of 8"),
        ([1, 5, 8], "fixed table 8 of 8"),
    ],
)
def test_models_that_do_not_exist_are_refused(data, message):
    tensors, parts = example()
    parts[1] = np.array(data, np.uint8)
    with pytest.raises(ValueError, match=message):
        decoded(parts, tensors)


def test_lags_shorter_than_the_lanes_are_not_chosen():
    random = np.random.default_rng(0)
    repeated = (random.random((1, 16)) < 0.5).astype(np.uint8) + np.zeros((3000, 1), np.uint8)
    repeated ^= random.random(repeated.shape) < 0.1
    for lanes in (16, 64):
        chosen = _choice.choose(repeated, Alphabet(1, 0), lanes).model
        assert all(lag * 16 >= lanes for lag in chosen.lags)


@pytest.mark.slow
def test_codes_that_are_all_the_same_take_few_steps():
    """They need few bytes, but not few lanes: a step of a lane takes a while."""
    codes = block.Codes(np.ones((1, 1 << 20), np.uint8), Alphabet(1, 0))
    head = np.concatenate(block.encode([codes]))
    assert int(head[:4].view("<u4")[0]) == 64 and head.size < 400


def test_small_tensors_have_one_context():
    chosen = _choice.choose(np.eye(20, dtype=np.uint8), Alphabet(1, 0), 8).model
    assert chosen.contexts == 1 and chosen.rows is NO_NUMBERS


def test_the_same_codes_are_the_same_bytes():
    tensors, parts = example()
    again = block.encode(tensors)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))
    transposed = Codes(np.asfortranarray(tensors[0].values), tensors[0].alphabet)
    same = block.encode([transposed, tensors[1]])
    assert all((a == b).all() for a, b in zip(parts, same, strict=True))


def test_the_smallest_alphabets():
    assert static.Alphabet(0, 0).letters == 1
    empty = Codes(np.zeros((40, 40), np.uint8), Alphabet(0, 0))
    assert sum(part.size for part in block.encode([empty])) < 60
    assert not decoded(block.encode([empty]), [empty])[0].any()
