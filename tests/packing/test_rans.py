"""Symbols in lanes: there and back, by hand, and what breaks a rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxcompress.packing import rans, tables


def decoded(runs, states, words):
    decoder = rans.Decoder(states, words)
    found = []
    for run in runs:
        letters = run.frequencies.shape[1]
        contexts = lambda a, b, run=run, letters=letters: run.keys[a:b] // letters  # noqa: E731
        out = np.empty(run.keys.size, np.uint8)
        found.append(decoder.take(out, run.frequencies, contexts, reach=1 << 10))
    decoder.close()
    return found


def run_of(symbols, contexts, letters):
    counts = np.zeros((int(contexts.max(initial=0)) + 1, letters), np.int64)
    np.add.at(counts, (contexts, symbols), 1)
    counts[~counts.any(axis=1), 0] = 1
    frequencies = tables.frequencies(tables.rounded(counts))
    return rans.Run(contexts.astype(np.uint16) * letters + symbols, frequencies)


def one_state(symbols, frequencies):
    """The textbook coder of one lane, in whole numbers of Python."""
    state, words = 1 << 16, []
    firsts = np.cumsum(frequencies) - frequencies
    for symbol in reversed(symbols):
        frequency = int(frequencies[symbol])
        if state >= frequency << 20:
            words.insert(0, state & 65_535)
            state >>= 16
        state = state // frequency * 4096 + state % frequency + int(firsts[symbol])
    return state, words


@given(st.lists(st.integers(0, 3), max_size=200), st.integers(1, 4090))
def test_one_lane_is_the_textbook_coder(symbols, most):
    frequencies = np.array([most, 4093 - most, 2, 1])
    run = rans.Run(np.array(symbols, np.uint8), frequencies[None])
    states, words = rans.encode([run], 1)
    assert (int(states[0]), words.tolist()) == one_state(symbols, frequencies)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 255), st.integers(1, 5)), max_size=4),
    st.sampled_from([1, 2, 7, 64, 1000]),
    st.integers(0, 9),
    st.floats(0.05, 3),
)
def test_runs_of_any_sizes_come_back(sizes, lanes, seed, spread):
    random = np.random.default_rng(seed)
    runs = []
    for size, letters, contexts in sizes:
        symbols = np.minimum(random.exponential(spread, size) * 3, letters - 1).astype(np.uint8)
        runs.append(run_of(symbols, random.integers(0, contexts, size).astype(np.uint8), letters))
    states, words = rans.encode(runs, lanes)
    assert states.dtype == np.uint32 and words.dtype == np.uint16 and (states >= 1 << 16).all()
    for run, found in zip(runs, decoded(runs, states, words), strict=True):
        np.testing.assert_array_equal(found, run.keys % run.frequencies.shape[1])


@pytest.mark.parametrize("lanes", [1, 7, 32])
def test_few_lanes_are_coded_as_many(lanes, monkeypatch):
    """Symbol by symbol or by arrays: the same words, and the same symbols from them."""
    random = np.random.default_rng(lanes)
    runs = [
        run_of(random.integers(0, 9, size).astype(np.uint8), random.integers(0, 3, size), 9)
        for size in (0, 1, 500, 2000)
    ]
    states, words = rans.encode(runs, lanes)
    found = decoded(runs, states, words)
    monkeypatch.setattr(rans, "_FEW_LANES", 0)
    by_arrays = rans.encode(runs, lanes)
    np.testing.assert_array_equal(by_arrays[0], states)
    np.testing.assert_array_equal(by_arrays[1], words)
    for one, other in zip(found, decoded(runs, states, words), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_cost_is_that_of_the_tables():
    random = np.random.default_rng(0)
    symbols = random.choice(4, 100_000, p=[0.9, 0.06, 0.03, 0.01]).astype(np.uint8)
    run = run_of(symbols, np.zeros(symbols.size, np.uint8), 4)
    bits = -np.log2(run.frequencies[0] / 4096)[symbols].sum()
    states, words = rans.encode([run], 8)
    assert bits < 16 * words.size + 32 * states.size < bits + 8 * 33


def test_extreme_frequencies_and_states():
    """A symbol of all 4096 slots takes no words; the rarest ones take one at almost every step."""
    one = rans.Run(np.zeros(1000, np.uint8), np.array([[4096]]))
    states, words = rans.encode([one], 3)
    assert not words.size and (states == 1 << 16).all()
    rare = rans.Run(np.ones(1000, np.uint8), np.array([[4095, 1]]))
    states, words = rans.encode([rare], 3)
    assert abs(16 * words.size - 12 * 1000) < 100
    np.testing.assert_array_equal(decoded([rare], states, words)[0], rare.keys)


@pytest.mark.parametrize("lanes", [4, 40])
def test_lost_and_left_words_and_other_states_are_refused(lanes):
    symbols = np.random.default_rng(1).integers(0, 9, 300).astype(np.uint8)
    run = run_of(symbols, np.zeros(300, np.uint8), 9)
    states, words = rans.encode([run], lanes)
    with pytest.raises(ValueError, match="more symbols than there are words"):
        decoded([run], states, words[:-1])
    with pytest.raises(ValueError, match="that no symbol came from"):
        decoded([run], states, np.append(words, words[:1]))
    changed = states.copy()
    changed[2] ^= 1 << 20
    with pytest.raises(ValueError, match="no symbol came from|more symbols"):
        decoded([run], changed, words)
    with pytest.raises(ValueError, match="a lane in state 65535, below 65536"):
        rans.Decoder(np.array([1 << 16, 65_535], np.uint32), words)
    decoder = rans.Decoder(states, words)
    with pytest.raises(ValueError, match=f"contexts of 3 symbols before, with {lanes} lanes"):
        decoder.take(np.empty(300, np.uint8), run.frequencies, reach=3)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 5), st.integers(1, 255)),
        elements=st.one_of(st.integers(0, 3), st.integers(0, 10**9)),
    )
)
def test_tables_have_4096_slots_and_no_symbol_is_lost(counts):
    counts[~counts.any(axis=1), -1] = 1
    places = tables.rounded(counts)
    found = tables.frequencies(places)
    assert (found.sum(axis=1) == 4096).all() and (found >= 0).all()
    assert (found[counts > 0] > 0).all()
    symbols = tables.as_symbols(places)
    assert symbols.max() < tables.FIXED_LETTERS
    np.testing.assert_array_equal(tables.from_symbols(symbols, counts.shape[1]), places)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99), st.integers(2, 255), st.floats(0.3, 2))
def test_tables_cost_little_more_than_the_entropy(seed, letters, power):
    random = np.random.default_rng(seed)
    p = random.random(letters) / np.arange(1, letters + 1) ** power
    counts = random.multinomial(100_000, p / p.sum())[None]
    found = tables.frequencies(tables.rounded(counts))[0]
    kept = counts[0] > 0
    cost = -(counts[0][kept] * np.log2(found[kept] / 4096)).sum()
    entropy = -(counts[0][kept] * np.log2(counts[0][kept] / 100_000)).sum()
    assert cost <= 1.06 * entropy + 2000  # the rarest symbols have 1 of 4096 slots


def test_tables_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="a frequency of place 44 among 44"):
        tables.frequencies(np.array([[44, 0]]))
    with pytest.raises(ValueError, match="a frequency of place"):
        tables.frequencies(np.array([[-1, 0]]))
    with pytest.raises(ValueError, match="frequencies of more than 4096"):
        tables.frequencies(np.array([[40, 41, 41]]))


@pytest.mark.parametrize("which", range(8))
def test_fixed_tables_by_hand(which):
    found = tables.fixed(which)
    assert found.sum() == 4096 and (np.diff(found) <= 0).all() and found.min() == 1
    exact = 4096 * (1 - (8 + which) / 16) * ((8 + which) / 16) ** np.arange(1, 4)
    np.testing.assert_allclose(found[1:4], exact, atol=2)


def test_decoding_tables_by_hand():
    found = tables.decoding_tables(np.array([[4000, 0, 96], [0, 4096, 0]]))
    symbols, frequencies, places = found >> 24, (found >> 12 & 4095) + 1, found & 4095
    assert symbols[:4096].tolist() == [0] * 4000 + [2] * 96
    assert frequencies[:4096].tolist() == [4000] * 4000 + [96] * 96
    assert places[:4096].tolist() == [*range(4000), *range(96)]
    assert (symbols[4096:] == 1).all() and (frequencies[4096:] == 4096).all()
    np.testing.assert_array_equal(places[4096:], np.arange(4096))
