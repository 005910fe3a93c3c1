"""The axis along which grids lie, relative steps, and scales of few digits."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.quantization import (
    Samples,
    best_axis,
    few_digits,
    make_grid,
    min_max,
    per_best_axis,
    relative_step,
    usual_range,
)

RNG = np.random.default_rng(0)


def skewed(shape, axis):
    """Normal weights whose scales differ by up to e^4 along an axis."""
    sizes = [n if place == axis else 1 for place, n in enumerate(shape)]
    return (RNG.standard_normal(shape) * np.exp(RNG.uniform(-4, 0, sizes))).astype(np.float32)


def relative_error(tensor, leaf):
    return np.linalg.norm(leaf.dense() - tensor) / np.linalg.norm(tensor)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((64, 64, 1, 1), 0), ((64, 64, 1, 1), 1), ((40, 90), 1), ((3, 3, 20, 60), 3)],
)
def test_the_axis_is_the_one_whose_scales_differ(shape, axis):
    tensor = skewed(shape, axis)
    assert best_axis(tensor) == best_axis(tensor, usual=0) == axis
    assert per_best_axis()("w", tensor) == tuple(
        n if place == axis else 1 for place, n in enumerate(shape)
    )


def test_a_convolution_of_another_library_has_a_third_of_the_error():
    tensor = skewed((256, 256, 1, 1), 0)
    last = jc.quantize({"w": tensor}, 8)["w"]
    best = jc.quantize({"w": tensor}, 8, granularity=per_best_axis())["w"]
    assert relative_error(tensor, last) > 0.02 and relative_error(tensor, best) < 0.0075


def test_where_no_axis_is_clearly_better_the_usual_one_is_taken():
    tensor = RNG.standard_normal((50, 50)).astype(np.float32)
    assert best_axis(tensor) == 1 and best_axis(tensor, usual=0) == 0
    assert best_axis(np.zeros((4, 5))) == 1 and best_axis(np.ones(7)) == 0
    with pytest.raises(ValueError, match="axis must be one of the 2"):
        best_axis(tensor, usual=2)


def test_one_grid_is_enough_where_scales_would_cost_more():
    depthwise = RNG.standard_normal((3, 3, 1, 200)).astype(np.float32)
    assert per_best_axis()("w", depthwise) == (1, 1, 1, 1)
    assert per_best_axis()("w", np.float32(3)) == () and per_best_axis()("w", np.zeros((2, 3)))


def test_nan_and_infinity_do_not_choose():
    tensor = skewed((30, 40), 0)
    tensor[0, 0], tensor[1, 1] = np.nan, np.inf
    assert best_axis(tensor) == 0


@settings(deadline=None, max_examples=40)
@given(st.floats(0.05, 2), st.integers(-20, 20))
def test_steps_are_relative_to_the_weights_that_are_not_zero(step_size, exponent):
    values = np.array([[3.0, -3.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]) * 2.0**exponent
    low, high = relative_step(step_size)(Samples(values), make_grid(8))
    np.testing.assert_allclose(high, 127 * step_size * np.array([3.0, 1.0]) * 2.0**exponent)
    np.testing.assert_array_equal(low, -high)


def test_no_weight_is_clipped_by_small_steps():
    values = np.array([[100.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    low, high = relative_step(0.001)(Samples(values), make_grid(8))
    assert high.tolist() == [100.0, 0.0] and low.tolist() == [-100.0, 0.0]
    with pytest.raises(ValueError, match="step_size: must be"):
        relative_step(0)


def test_the_error_is_the_same_whatever_the_magnitude():
    tensor = skewed((64, 500), 0)
    leaf = jc.quantize({"w": tensor}, 8, granularity=per_best_axis(), estimate=relative_step(0.25))[
        "w"
    ]
    errors = np.linalg.norm(leaf.dense() - tensor, axis=1) / np.linalg.norm(tensor, axis=1)
    np.testing.assert_allclose(errors, 0.25 / np.sqrt(12), rtol=0.15)


@settings(deadline=None, max_examples=60)
@example(1.192092896e-07, 2)
@given(st.floats(1e-30, 1e30), st.integers(2, 8))
def test_scales_of_few_digits_are_little_larger(largest, bits):
    grid = make_grid(bits)
    high = few_digits(min_max)(Samples(np.array([[largest]])), grid).high[0]
    digits, _ = np.frexp(high / grid.highest)
    assert largest * (1 - 2.0**-24) <= high <= largest * (1 + 2.0**-7)  # of float32
    assert (digits * 256) % 1 == 0
    again = few_digits(min_max)(Samples(np.array([[high]])), grid).high[0]
    assert again == high


def test_affine_scales_of_few_digits_cover_the_range():
    tensor = skewed((30, 400), 0) + np.float32(0.01)
    leaf = jc.quantize({"w": tensor}, 4, symmetric=False, estimate=few_digits(min_max))["w"]
    assert not (np.asarray(leaf.scale).view(np.uint32) & 0xFFFF).any()
    assert (np.abs(leaf.dense() - tensor) <= 0.5001 * np.asarray(leaf.scale)).mean() > 0.99


def test_such_scales_have_no_lower_half_in_float32():
    tensor = skewed((30, 400), 0)
    leaf = jc.quantize({"w": tensor}, 4, estimate=few_digits(usual_range))["w"]
    assert not (np.asarray(leaf.scale).view(np.uint32) & 0xFFFF).any()
    plain = jc.quantize({"w": tensor}, 4)["w"]
    assert relative_error(tensor, leaf) < 1.03 * relative_error(tensor, plain)
