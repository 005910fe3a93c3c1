"""Symbols as lanes: exact, near their entropy, and wrong lanes are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcompress.packing.lanes import LOWEST, decode, encode

SYMBOLS = st.lists(st.integers(0, 255), min_size=1, max_size=300)
LANES = encode(np.arange(100, dtype=np.uint8) % 5, 3)


@given(SYMBOLS, st.data())
def test_any_symbols_in_any_number_of_lanes_come_back(symbols, data):
    symbols = np.array(symbols, np.uint8)
    lanes = encode(symbols, data.draw(st.integers(1, symbols.size)))
    assert (decode(lanes, symbols.size) == symbols).all()


def test_a_lane_by_hand():
    """Two symbols of one bit each: state `2^16` becomes `(x // 2048) * 4096 + x % 2048 + first`."""
    lanes = encode(np.array([1, 0], np.uint8), 1)
    after_0 = (LOWEST // 2048) * 4096 + LOWEST % 2048
    after_1 = (after_0 // 2048) * 4096 + after_0 % 2048 + 2048
    assert lanes.states.tolist() == [after_1] and lanes.words.size == 0
    assert lanes.frequencies[:2].tolist() == [2048, 2048]


def test_a_lone_symbol_takes_no_words():
    lanes = encode(np.full(5000, 200, np.uint8), 7)
    assert lanes.words.size == 0 and (lanes.states == LOWEST).all()
    assert (decode(lanes, 5000) == 200).all()


def test_the_size_is_near_the_entropy():
    rng = np.random.default_rng(0)
    symbols = np.clip(rng.normal(size=1 << 16) * 3 + 8, 0, 15).astype(np.uint8)
    fractions = np.bincount(symbols) / symbols.size
    entropy_bytes = -(fractions * np.log2(fractions)).sum() / 8 * symbols.size
    lanes = encode(symbols, 64)
    assert lanes.words.nbytes + lanes.states.nbytes / 2 == pytest.approx(entropy_bytes, rel=0.005)


@pytest.mark.parametrize("count", [0, 4])
def test_more_lanes_than_symbols_are_refused(count):
    with pytest.raises(ValueError, match="lanes: must be 1 to the 3 symbols"):
        encode(np.zeros(3, np.uint8), count)


def changed(name, place, value):
    array = getattr(LANES, name).copy()
    array[place] = value
    return LANES._replace(**{name: array})


WRONG = {
    "a state too small": changed("states", 1, LOWEST - 1),
    "another state": changed("states", 1, LOWEST + 5),
    "a start beyond the words": changed("starts", 2, 4_000_000_000),
    "a start of another lane": changed("starts", 1, 0),
    "another word": changed("words", 0, LANES.words[0] ^ 1),
    "a word left over": LANES._replace(words=np.append(LANES.words, np.uint16(1))),
    "a word too few": LANES._replace(words=LANES.words[:-1]),
    "no words": LANES._replace(words=LANES.words[:0]),
    "frequencies of another total": changed("frequencies", 0, 3),
    "one lane fewer": LANES._replace(starts=LANES.starts[:2]),
    "no lanes": LANES._replace(starts=LANES.starts[:0], states=LANES.states[:0]),
    "wider words": LANES._replace(words=LANES.words.astype(np.uint32)),
    "words in two rows": LANES._replace(words=LANES.words[None]),
}


@pytest.mark.parametrize("lanes", WRONG.values(), ids=WRONG)
def test_wrong_lanes_are_refused(lanes):
    with pytest.raises(ValueError, match="must"):
        decode(lanes, 100)


@pytest.mark.parametrize("size", [0, 2, 99, 101])
def test_lanes_of_another_number_of_symbols_are_refused(size):
    with pytest.raises(ValueError, match="must"):
        decode(LANES, size)
