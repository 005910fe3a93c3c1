"""Tables of the range coder: probabilities that are near the best, and slots that fit them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcompress.packing.frequencies import SLOTS, decoding_table, quantized_frequencies

COUNTS = st.lists(st.integers(0, 1 << 33), min_size=1, max_size=256).filter(any)


def bits(counts, frequencies):
    used = counts > 0
    return -(counts[used] * np.log2(frequencies[used] / SLOTS)).sum()


@given(COUNTS)
def test_every_symbol_that_occurs_has_a_slot_and_all_slots_are_given(counts):
    frequencies = quantized_frequencies(np.array(counts))
    assert frequencies.sum() == SLOTS
    assert ((frequencies > 0) == (np.array(counts) > 0)).all()


@pytest.mark.slow
@pytest.mark.parametrize("rare", [1, 300, 1000])
def test_no_three_symbols_can_be_given_fewer_bits(rare):
    counts = np.array([rare, 1000, 77_777])
    best = min(
        bits(counts, np.array([a, b, SLOTS - a - b]))
        for a, b in itertools.product(range(1, 300), range(1, 300))
    )
    assert bits(counts, quantized_frequencies(counts)) == pytest.approx(best, rel=1e-6)


def test_many_rare_symbols_take_slots_from_the_frequent_ones():
    counts = np.array([1] * 254 + [1 << 20, 1 << 21])
    frequencies = quantized_frequencies(counts)
    assert (frequencies[:254] == 1).all()
    assert frequencies[254:].tolist() == [1281, 2561]  # a third and two thirds of 3842


@given(COUNTS)
def test_slots_of_a_symbol_are_neighbours_and_numbered(counts):
    frequencies = quantized_frequencies(np.array(counts))
    table = decoding_table(frequencies)
    symbols, offsets = table >> 24, table & 4095
    assert (np.diff(symbols.astype(int)) >= 0).all()
    assert (np.bincount(symbols, minlength=len(counts)) == frequencies).all()
    assert ((table >> 12 & 4095) + 1 == frequencies[symbols]).all()
    assert (offsets < frequencies[symbols]).all() and (
        offsets[np.diff(symbols, prepend=999) != 0] == 0
    ).all()


@pytest.mark.parametrize("counts", [[], [0, 0], [1, -1, 5], [[1, 2]], [1] * 257, [1 << 43]])
def test_counts_without_a_table_are_refused(counts):
    with pytest.raises(ValueError, match="counts: must be"):
        quantized_frequencies(np.array(counts, np.int64))


@pytest.mark.parametrize("frequencies", [[], [4095], [4097], [-1, 4097], [16] * 257, [[4096]]])
def test_frequencies_that_are_no_table_are_refused(frequencies):
    with pytest.raises(ValueError, match="frequencies: must be"):
        decoding_table(np.array(frequencies, np.int64))
