"""Weights of extreme magnitudes are shared as ordinary ones are."""

import warnings

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.metrics import root_mean_square
from jaxcompress.sharing._runs import Runs, changes
from jaxcompress.sharing.magnitudes import best_means

BULK = np.random.default_rng(0).standard_normal(600)


def shared(technique, values, *args):
    """Return codebook and dense values; a warning is an error."""
    leaf = technique({"w": values.reshape(1, -1)}, *args)["w"]
    return np.asarray(leaf.codebook), np.asarray(leaf.dense()).ravel()


def inner_error(dense, values):
    """Return the root mean square error of all but outliers."""
    inner = np.abs(values) < 1e3
    return float(np.sqrt(np.mean((dense[inner] - values[inner]) ** 2.0)))


@pytest.mark.parametrize(
    ("outliers", "dtype"),
    [
        ([1e20], "float32"),
        ([-1e20], "float32"),
        ([-1e20, 3e19, 1e10], "float32"),
        ([1e38, 1e20, 1e9, -1e30], "float32"),
        ([1e300], "float64"),
        ([-1.7e308, 1.7e308], "float64"),
        ([1e300, 1e299, 1e200, -1e100], "float64"),
    ],
)
def test_outliers_take_one_value_each(outliers, dtype):
    values = np.concatenate([BULK, outliers]).astype(dtype)
    bulk = BULK.astype(dtype)
    rest = 16 - len(outliers)
    codebook, dense = shared(jc.kmeans, values, 16)
    assert len(codebook) == 16 and np.isin(np.array(outliers, dtype), codebook).all()
    alone, _ = shared(jc.kmeans, bulk, rest)
    others = np.setdiff1d(codebook, np.array(outliers, dtype))
    np.testing.assert_allclose(others, alone, rtol=1e-12 if dtype == "float64" else 0)
    _, dense = shared(jc.uniform, values, 0.25)
    assert inner_error(dense, values) < 0.08
    np.testing.assert_array_equal(dense[-len(outliers) :], values[-len(outliers) :])
    codebook, dense = shared(jc.entropy_constrained, values, 0.01)
    expected, _ = shared(jc.entropy_constrained, bulk, 0.01)
    assert abs(len(codebook) - len(expected) - len(outliers)) <= 1
    assert inner_error(dense, values) < 0.12
    np.testing.assert_array_equal(dense[-len(outliers) :], values[-len(outliers) :])


@pytest.mark.parametrize("power", [-1000, -900, 900, 1000])
def test_powers_of_two_change_no_code(power):
    base = jc.kmeans({"w": BULK.reshape(1, -1)}, 7)["w"]
    far = jc.kmeans({"w": np.ldexp(BULK, power).reshape(1, -1)}, 7)["w"]
    np.testing.assert_array_equal(base.codes, far.codes)
    np.testing.assert_allclose(np.ldexp(np.asarray(far.codebook), -power), base.codebook)


@pytest.mark.parametrize("unit", [np.float32(2.0**-149), 2.0**-1074])
def test_subnormal_weights_are_clustered(unit):
    levels = np.random.default_rng(0).integers(-3000, 3000, 500)
    weights = (levels * unit).astype(np.asarray(unit).dtype)
    codebook, dense = shared(jc.kmeans, weights, 16)
    assert len(codebook) == 16 and codebook.dtype == np.asarray(unit).dtype
    off = np.abs(dense / unit - levels).astype(float)
    assert np.sqrt(np.mean(off**2)) < 6000 / 16 / 3


def test_values_of_two_scales():
    tiny, huge = 1e-30, 1e30
    values = np.concatenate([BULK * tiny, np.full(300, huge)]).astype("f")
    codebook, dense = shared(jc.kmeans, values, 16)
    assert len(codebook) == 16 and codebook[-1] == np.float32(huge)
    assert np.sqrt(np.mean((dense[:600] / tiny - BULK) ** 2)) < 0.12
    both = np.concatenate([BULK * tiny, BULK * huge]).astype("f")
    codebook, dense = shared(jc.kmeans, both, 16)
    assert len(codebook) == 16 and np.sum(np.abs(codebook) < 1) <= 1
    codebook, _ = shared(jc.kmeans, np.concatenate([BULK * 1e-300, [1e300, -1e300]]), 16)
    assert len(codebook) == 16
    codebook, dense = shared(jc.kmeans, np.array([tiny, huge, tiny, huge], "f"), 2)
    assert codebook.tolist() == [np.float32(tiny), np.float32(huge)]


def test_equal_weights_keep_their_value():
    for value in (1e300, 5e-324, 0.1, -1.7e308):
        codebook, dense = shared(jc.kmeans, np.full(50, value), 1)
        assert codebook.tolist() == [value] and (dense == value).all()
        codebook, dense = shared(jc.entropy_constrained, np.full(50, 1e300), 0.01)
        assert (dense == 1e300).all()


def test_two_scales_share_out_the_clusters():
    """Each of 2 scales of 3 values has its own errors; the larger ones are paid for first."""
    values = np.array([1, 1.25, 2, 1e12, 1.25e12, 2e12])
    expected = {
        2: [4.25 / 3, 4.25e12 / 3],
        3: [4.25 / 3, 1.125e12, 2e12],
        4: [4.25 / 3, 1e12, 1.25e12, 2e12],
        5: [1.125, 2, 1e12, 1.25e12, 2e12],
    }
    for k, means in expected.items():
        np.testing.assert_allclose(best_means(values, changes(values), k), means)


def test_ordinary_weights_are_clustered_by_sums_of_squares():
    for values in (BULK, BULK.astype("f"), 5 + BULK, BULK**3):
        ordered = np.sort(values)
        runs = Runs(ordered)
        np.testing.assert_array_equal(
            best_means(ordered, changes(ordered), 9), runs.means(runs.best(9))
        )


def test_the_warning_tells_weights_from_means():
    few = {"w": np.array([[1.0, 2.0, 3.0]])}
    with pytest.warns(UserWarning, match="^w: its distinct weights are fewer than the 5"):
        jc.kmeans(few, 5)
    near = np.float16(1) + np.arange(3) * np.float16(2**-10)
    with warnings.catch_warnings(action="error"):
        jc.kmeans({"w": near.reshape(1, -1).astype(np.float16)}, 3)


@pytest.mark.slow
def test_a_size_is_met_beside_an_outlier():
    values = np.append(BULK, 1e20).astype("f").reshape(1, -1)
    rate = jc.sharing.rate_weight_for({"w": values}, 700)
    leaf = jc.entropy_constrained({"w": values}, rate)["w"]
    assert 600 < jc.metrics.entropy_bound_bytes({"w": leaf}) <= 700
    assert inner_error(np.asarray(leaf.dense()), values) < 0.05
    small = jc.compress({"w": values}, target_bytes=1000, scope=jc.scopes.everything)["w"]
    assert inner_error(np.asarray(small.dense()), values) < 0.3


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_weights_without_squares_are_refused_where_bits_have_a_price(scale):
    values = {"w": (BULK * scale).reshape(1, -1)}
    with pytest.raises(ValueError, match="^params: weights must be between 1e-144 and 1e144"):
        jc.sharing.rate_weight_for(values, 700)
    with pytest.raises(ValueError, match="^step_size: its square must be a finite number above 0"):
        jc.sharing.high_rate_weight(scale)


def test_root_mean_squares_of_any_magnitude():
    assert root_mean_square([np.array([3e300, 0.0]), np.array([-3e300])]) == pytest.approx(3e300)
    assert root_mean_square([np.array([3e-300, 1.0]), np.ones(1)]) == pytest.approx(np.sqrt(2 / 3))
    assert root_mean_square([np.array([3e-300])]) == pytest.approx(3e-300)
