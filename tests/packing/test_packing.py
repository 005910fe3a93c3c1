"""Streams of small integers, by hand and there and back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxcompress.packing import csr, digits, entropy, levels, positions
from jaxcompress.packing._ans import ONE, Player, Recorder
from jaxcompress.packing.contexts import Adaptive, Choice
from jaxcompress.packing.matrices import as_matrix


@pytest.mark.parametrize("block", [3, 1 << 20])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    matrix=hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 3), st.integers(0, 600)), elements=st.integers(0, 9)
    ),
    density=st.floats(0, 1),
)
def test_csr_round_trip_with_long_gaps(monkeypatch, block, matrix, density):
    matrix = matrix * (np.random.default_rng(0).random(matrix.shape) < density)
    monkeypatch.setattr(csr, "_BLOCK", block)
    flat = np.zeros(matrix.size, matrix.dtype)
    before = -1
    for places, entries in csr.decode(csr.encode(matrix, matrix != 0), matrix.shape):
        flat[places] = entries
        assert (np.diff(places, prepend=before) > 0).all()
        before = places[-1]
    np.testing.assert_array_equal(flat.reshape(matrix.shape), matrix)


def test_csr_by_hand():
    matrix = np.zeros((2, 600), np.uint8)
    matrix[0, 0], matrix[0, 3], matrix[1, 520] = 7, 8, 9
    packed = csr.encode(matrix, matrix != 0)
    assert packed.row_lengths.tolist() == [2, 3]
    assert packed.distances.tolist() == [1, 3, 255, 255, 11]
    assert packed.entries.tolist() == [7, 8, 0, 0, 9]


@pytest.mark.parametrize(
    ("kept", "stream"),
    [
        ([1, 0, 0, 1, 1], [0, 2, 0]),
        ([0] * 254 + [1], [254]),
        ([0] * 255 + [1], [255, 0]),
        ([0] * 600 + [1, 0, 0], [255, 255, 90]),
        ([0, 0], []),
        ([], []),
    ],
)
def test_gaps_by_hand(kept, stream):
    kept = np.array(kept, bool)
    assert positions.gaps(kept).tolist() == stream
    found = positions.kept_from_gaps(np.array(stream, np.uint8), kept.size, int(kept.sum()))
    np.testing.assert_array_equal(found, kept)


@pytest.mark.parametrize("density", [0.0, 0.001, 0.3, 1.0])
def test_gaps_across_chunks(density):
    kept = np.random.default_rng(1).random(700_001) < density
    stream = positions.gaps(kept)
    np.testing.assert_array_equal(
        positions.kept_from_gaps(stream, kept.size, int(kept.sum())), kept
    )


@pytest.mark.parametrize(
    ("stream", "size", "count"),
    [([3], 3, 1), ([0, 0, 0], 2, 3), ([1], 9, 2), ([255], 300, 0), ([0, 255], 300, 1)],
)
def test_gaps_that_do_not_fit_are_refused(stream, size, count):
    with pytest.raises(ValueError, match="position|kept entries"):
        positions.kept_from_gaps(np.array(stream, np.uint8), size, count)


def test_bits_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="bits after"):
        positions.kept_from_bits(np.array([0b00010000], np.uint8), 3, 0)
    with pytest.raises(ValueError, match="2 kept entries instead of 1"):
        positions.kept_from_bits(np.array([0b11000000], np.uint8), 3, 1)


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4, 6, 7, 16, 17, 255, 256, 257, 65_535])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 1001])
def test_digits_round_trip(k, size):
    numbers = np.random.default_rng(k).integers(0, max(k, 1), size).astype(np.uint16)
    stream = digits.pack(numbers, k)
    assert stream.dtype == np.uint8 and stream.size == digits.count_bytes(size, k)
    np.testing.assert_array_equal(digits.unpack(stream, size, k), numbers)


def test_digits_by_hand():
    assert digits.pack(np.array([1, 2, 3], np.uint8), 6).tolist() == [1 + 2 * 6 + 3 * 36]
    assert digits.pack(np.array([300, 1], np.uint16), 400).tolist() == [44, 1, 1, 0]


@pytest.mark.parametrize(
    ("stream", "size", "k"), [([216], 3, 6), ([16], 1, 16), ([17], 1, 17), ([0, 2], 1, 400)]
)
def test_digits_that_pack_would_not_make_are_refused(stream, size, k):
    with pytest.raises(ValueError, match="number of|after the last"):
        digits.unpack(np.array(stream, np.uint8), size, k)


@given(st.integers(0, 300), st.integers(0, 300))
def test_levels_round_trip(k, negative):
    negative = min(negative, k)
    codes = np.arange(k + 1)
    found = levels.from_codes(codes, k, negative)
    assert found[0] == 0 and (np.diff(found[1:]) > 0).all() and len(set(found.tolist())) == k + 1
    assert (found < 0).sum() == negative
    np.testing.assert_array_equal(levels.to_codes(found, k, negative), codes)


def test_levels_without_a_code_are_refused():
    for level in (-3, 2):
        with pytest.raises(ValueError, match="level beyond"):
            levels.to_codes(np.array([level]), 3, 2)


def test_counts_adapt_as_by_hand():
    """One observation is worth as much as the start; a context learns from its own bits only."""

    class Coder:
        def code(self, probabilities, bits):
            self.probabilities = probabilities / ONE
            return bits

    coder, model = Coder(), Adaptive(2)
    model.code(coder, np.array([0, 0, 1]), np.array([1, 1, 0]))
    np.testing.assert_allclose(coder.probabilities, [0.5, 0.5, 0.5])
    model.code(coder, np.array([0, 1]), np.array([1, 0]))
    np.testing.assert_allclose(coder.probabilities, [(0.5 + 2) / 3, 0.5 / 2], rtol=1e-5)


def test_bits_come_back_and_take_their_information():
    rng = np.random.default_rng(0)
    probabilities = rng.integers(1, ONE, 20_000)
    bits = (rng.integers(0, ONE, 20_000) < probabilities).astype(int)
    recorder = Recorder()
    recorder.code(probabilities, bits)
    information = recorder.cost_bits()
    words = recorder.words()
    assert information < 32 * sum(map(len, words)) < 1.001 * information + 64
    player = Player(words)
    np.testing.assert_array_equal(player.code(probabilities), bits)
    player.close()


@st.composite
def level_tensors(draw):
    lowest, highest = draw(st.sampled_from([(-3, 5), (0, 1), (-1, 0), (-300, 300), (0, 0)]))
    shape = draw(st.sampled_from([(9, 7), (2, 3, 4, 5), (40,), (), (100, 2), (1, 1), (33, 20)]))
    values = draw(hnp.arrays(np.int32, shape, elements=st.integers(lowest, highest)))
    keep = draw(st.floats(0, 1))
    return values * (np.random.default_rng(0).random(shape) < keep), lowest, highest


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(level_tensors())
def test_entropy_coding_round_trip(case):
    tensor, lowest, highest = case
    words = entropy.encode(tensor, lowest, highest)
    nonzero = int(np.count_nonzero(tensor))
    found = entropy.decode(words, tensor.shape, nonzero, lowest, highest)
    np.testing.assert_array_equal(found, tensor)


@pytest.mark.parametrize("row_classes", entropy.CLASSES)
@pytest.mark.parametrize("lags", [(0, 0), (1, 0), (3, 28), (200, 1)])
def test_every_model_decodes_what_it_coded(row_classes, lags, monkeypatch):
    choice = Choice(row_classes, lags, row_classes)
    monkeypatch.setattr(entropy, "_choose", lambda *_: choice)
    rng = np.random.default_rng(0)
    tensor = rng.integers(-9, 10, (50, 30)) * (rng.random((50, 30)) < rng.random((50, 1)))
    words = entropy.encode(tensor, -9, 9)
    found = entropy.decode(words, tensor.shape, int(np.count_nonzero(tensor)), -9, 9)
    np.testing.assert_array_equal(found, tensor)


def test_long_tensors_are_coded_in_segments(monkeypatch):
    monkeypatch.setattr("jaxcompress.packing._ans._SEGMENT", 500)
    rng = np.random.default_rng(0)
    tensor = rng.integers(-3, 4, (80, 60)) * (rng.random((80, 60)) < 0.3)
    words = entropy.encode(tensor, -3, 3)
    assert len(words.segments) > 5
    nonzero = int(np.count_nonzero(tensor))
    np.testing.assert_array_equal(entropy.decode(words, tensor.shape, nonzero, -3, 3), tensor)
    for wrong in (words.segments[:-1], [*words.segments, words.segments[0]]):
        with pytest.raises(ValueError, match="words"):
            entropy.decode(words._replace(segments=wrong), tensor.shape, nonzero, -3, 3)


@pytest.mark.slow
def test_structure_is_found_and_chance_costs_little():
    """Rows and columns of differing density, and signs that return every seven rows."""
    rng = np.random.default_rng(0)
    shape = (210, 100)
    chance = np.sign(rng.standard_normal(shape)).astype(int) * (rng.random(shape) < 0.2)

    def share_of_entropy(tensor):
        counts = np.unique(tensor, return_counts=True)[1]
        bits = (counts * np.log2(tensor.size / counts)).sum()
        words = entropy.encode(tensor, -1, 1)
        return 32 * sum(map(len, words.segments)) / bits, words.choice

    assert share_of_entropy(chance)[0] < 1.01
    uneven = np.sign(chance) * (rng.random((210, 1)) < rng.random((1, 100)) ** 2)
    rows = chance * (rng.random((210, 1)) < 0.5)
    periodic = np.tile(chance[:7], (30, 1)) * (rng.random(shape) < 0.9)
    assert share_of_entropy(uneven)[0] < 0.97
    assert share_of_entropy(rows)[0] < 0.87
    share, choice = share_of_entropy(periodic)
    assert share < 0.5 and choice.lags[0] % 7 == 0 and choice.lags[0]


def test_tall_matrices_are_laid_on_their_side():
    assert as_matrix((3, 3, 8, 16)) == (72, 16, False)
    assert as_matrix((1000, 4)) == (4, 1000, True)
    assert as_matrix((5,)) == (1, 5, False)
    assert as_matrix(()) == (1, 1, False)


@pytest.mark.slow
def test_zeros_are_not_free():
    for shape in ((784, 300), (5, 1_000_000), (1_000_000, 5)):
        words = entropy.encode(np.zeros(shape, np.int32), 0, 0)
        assert not entropy.decode(words, shape, 0, 0, 0).any()
        with pytest.raises(ValueError, match="words"):
            entropy.decode(words, (3 * shape[0], shape[1]), 0, 0, 0)


def test_a_few_words_cannot_stand_for_a_huge_tensor():
    words = entropy.Words(Choice(), [np.array([1, 2, 3], np.uint32)])
    with pytest.raises(ValueError, match="too many for so few words"):
        entropy.decode(words, (100_000, 100_000), 5, -1, 1)
