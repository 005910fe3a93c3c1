"""Range estimators, against ranges worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxcompress.quantization import mse_optimal
from jaxcompress.quantization.grids import make_grid, on_grid, qparams_for
from jaxcompress.quantization.ranges import (
    Range,
    Samples,
    kl_optimal,
    min_max,
    percentile,
)

ESTIMATORS = {
    "min_max": min_max,
    "percentile": percentile(keep=0.9),
    "mse_optimal": mse_optimal,
    "kl": kl_optimal,
}
INT8, INT4, TERNARY, BINARY = (make_grid(bits) for bits in (8, 4, 2, 1))
AFFINE = make_grid(4, symmetric=False)


def samples(*rows, counts=None):
    return Samples(np.array(rows, np.float32), None if counts is None else np.array(counts))


def ranges(found):
    return [pair for pair in zip(found.low.tolist(), found.high.tolist(), strict=True)]


def squared_error(given_samples, found, grid):
    values = given_samples.values.astype(np.float64)
    qparams = qparams_for(found.low[:, None], found.high[:, None], grid)
    counts = 1 if given_samples.counts is None else given_samples.counts
    return np.sum(counts * (values - on_grid(values, qparams, grid)) ** 2, axis=1)


def test_min_max_holds_zero_and_believes_what_is_known_better():
    assert ranges(min_max(samples([1, 2], [-3, -1], [0, 0]), INT8)) == [(0, 2), (-3, 0), (0, 0)]
    known = samples([1, 2])._replace(low=np.array([-1.5]), high=np.array([2.5]))
    assert ranges(min_max(known, INT8)) == [(-1.5, 2.5)]


def test_percentile_leaves_out_the_tails_and_does_not_count_zeros():
    ten = [*range(1, 10), -100]
    assert ranges(percentile(keep=0.9)(samples(ten), INT8)) == [(-9, 9)]
    assert ranges(percentile(keep=0.9)(samples(ten + 90 * [0]), INT8)) == [(-9, 9)]
    assert ranges(percentile(keep=1.0)(samples(ten), INT8)) == [(-100, 100)]
    # A tenth at either end of an affine grid.
    assert ranges(
        percentile(keep=0.8)(samples([-50, *range(-4, 0), *range(1, 5), 70]), AFFINE)
    ) == [(-4, 4)]
    assert ranges(percentile(keep=0.8)(samples(range(1, 11)), AFFINE)) == [(0, 9)]


def test_percentile_weighs_by_counts():
    counted = samples([1, 2, 3, 4], counts=[[50, 30, 15, 5]])
    assert [percentile(keep=share)(counted, INT8).high[0] for share in (0.5, 0.8, 0.95, 1)] == [
        *(1, 2, 3, 4)
    ]


@pytest.mark.parametrize(
    "share, error", [(0, ValueError), (1.5, ValueError), (np.nan, ValueError), ("x", TypeError)]
)
def test_percentiles_that_are_none(share, error):
    with pytest.raises(error, match="keep: "):
        percentile(keep=share)


def test_one_bit_has_the_mean_magnitude():
    found = mse_optimal(samples([1, -2, 6, 0], [-1, 1, 1, -1]), BINARY)
    assert ranges(found) == [(-3, 3), (-1, 1)]
    assert ranges(mse_optimal(samples([1, 5], counts=[[3, 1]]), BINARY)) == [(-2, 2)]


def test_two_bits_are_near_the_optimum():
    row = np.sort(np.random.default_rng(0).standard_normal(1001))[None]
    found = squared_error(Samples(row), mse_optimal(Samples(row), TERNARY), TERNARY)[0]
    # The best of all: the k largest magnitudes have their mean, the others are zero.
    ordered = np.sort(np.abs(row[0]))[::-1]
    best = np.sum(row**2) - np.max(np.cumsum(ordered) ** 2 / np.arange(1, 1002))
    assert best <= found * (1 + 1e-9) and found <= best * 1.01
    # By hand: zero for 0.1, the mean of 2 and 4 for the others.
    assert ranges(mse_optimal(samples([0.1, 2, -4]), TERNARY)) == [(-3, 3)]


def test_an_outlier_is_clipped_where_that_pays():
    row = [*np.linspace(-1, 1, 4001), 3.0]
    low, high = mse_optimal(samples(row), INT4)
    assert 0.9 < high[0] < 1.3 and low[0] == -high[0]
    low, high = mse_optimal(samples(row), AFFINE)
    assert 0.9 < high[0] < 1.3 and -1.1 < low[0] < -0.9


def test_rows_longer_than_a_block_are_searched_like_short_ones():
    row = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    for grid in (INT4, AFFINE):
        once, often = (mse_optimal(Samples(np.tile(row, n)[None]), grid) for n in (1, 100))
        np.testing.assert_allclose(once, often, rtol=1e-6)
        counted = mse_optimal(Samples(row[None], np.full((1, 1000), 100)), grid)
        np.testing.assert_allclose(once, counted, rtol=1e-6)


def test_many_rows_are_searched_one_by_one():
    rows = np.random.default_rng(0).standard_normal((3000, 40)).astype(np.float32)
    whole = mse_optimal(Samples(rows), INT4)
    for row in (0, 1637, 1638, 2999):
        alone = mse_optimal(Samples(rows[row : row + 1]), INT4).high[0]
        assert alone == pytest.approx(whole.high[row], rel=1e-6)


def test_entropy_keeps_the_bulk_and_clips_what_is_rare():
    bulk = np.abs(np.random.default_rng(0).standard_normal(50_000))
    row = np.append(bulk, [60.0, 80.0])[None]
    low, high = kl_optimal(Samples(row), INT8)
    assert 2.5 < high[0] < 10 and low[0] == 0
    # A histogram of the same numbers says the same.
    counts, edges = np.histogram(row, 4096)
    binned = Samples(((edges[1:] + edges[:-1]) / 2)[None], counts[None], high=row.max(axis=1))
    assert kl_optimal(binned, INT8).high[0] == pytest.approx(high[0], rel=0.05)


def test_entropy_of_what_the_grid_can_tell_apart_keeps_all():
    row = np.arange(1, 128, dtype=np.float64)[None]
    assert kl_optimal(Samples(row), INT8).high[0] == 127


@pytest.mark.parametrize("bits, symmetric", [(8, True), (1, True), (2, False)])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_constant_and_zero_rows(name, bits, symmetric):
    rows = samples([0, 0, 0], [2, 2, 2], [-3, -3, -3], [0, 0, 5])
    low, high = ESTIMATORS[name](rows, make_grid(bits, symmetric=symmetric))
    assert np.isfinite(low).all() and np.isfinite(high).all()
    assert (low <= 0).all() and (high >= 0).all()
    assert low[0] == high[0] == 0
    assert high[1] == pytest.approx(2, rel=1e-2)
    assert low[2] == pytest.approx(-3, rel=1e-2)
    assert high[3] == pytest.approx(5, rel=1e-2)


ROWS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(1, 12)),
    # A scale that is too small to divide by counts as 0.
    elements=st.floats(-1e3, 1e3).filter(lambda number: not 0 < abs(number) < 1e-290),
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 8), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_search_is_never_worse_than_covering_everything(values, bits, symmetric, seed):
    grid = make_grid(bits, symmetric=symmetric or bits == 1)
    counts = np.random.default_rng(seed).integers(0, 5, values.shape)
    for some in (Samples(values), Samples(values, counts)):
        searched = squared_error(some, mse_optimal(some, grid), grid)
        covered = squared_error(some, min_max(some, grid), grid)
        assert (searched <= covered * (1 + 1e-9) + 1e-300).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 4, 6]), st.sampled_from([1, 3, 700]))
def test_the_search_ends_only_where_no_narrower_range_is_better(seed, bits, length):
    draw = np.random.default_rng(seed)
    rows = draw.standard_t(1.5, (5, length)) * 10.0 ** draw.integers(-3, 4, (5, 1))
    grid, some = make_grid(bits), Samples(rows)
    high = np.abs(rows).max(axis=1)
    tried = [
        squared_error(some, Range(-f * high, f * high), grid) for f in 2.0 ** (-np.arange(64) / 8)
    ]
    searched = squared_error(some, mse_optimal(some, grid), grid)
    assert (searched <= np.min(tried, axis=0) * (1 + 1e-4) + 1e-12 * high**2).all()


@pytest.mark.parametrize("grid", [INT4, AFFINE, BINARY], ids=["symmetric", "affine", "binary"])
def test_a_row_of_any_length_has_the_range_of_its_numbers(grid):
    row = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    for size in (1, 511, 512, 4096, 4097, 9000):  # short rows, long ones, and pieces filled up
        single, double = (
            mse_optimal(Samples(row[None, :size].astype(dtype)), grid) for dtype in "fd"
        )
        np.testing.assert_allclose(single, double, rtol=1e-3)


def test_an_affine_range_moves_its_zero_point():
    row = np.array([[*np.linspace(0.9, 1.1, 50), *np.linspace(-0.3, 0, 50), -2.0]])
    found = squared_error(Samples(row), mse_optimal(Samples(row), AFFINE), AFFINE)[0]
    ends = [
        (low, high) for low in -np.arange(0.02, 2.1, 0.02) for high in np.arange(0.9, 1.3, 0.02)
    ]
    best = min(squared_error(Samples(row), Range(*np.array([e]).T), AFFINE)[0] for e in ends)
    assert found <= 1.05 * best


def test_large_numbers_do_not_overflow():
    values = np.array([[1.0, -3.0, 2.0, 5.0]], "f") * np.float32(1e19)
    grid = make_grid(2)
    wide, plain = (mse_optimal(Samples(v), grid).high for v in (values, values / values.max()))
    np.testing.assert_allclose(wide / values.max(), plain, rtol=1e-5)
