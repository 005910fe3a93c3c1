"""Rounding whose errors cancel: sums of errors, their price, and what never changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.quantization import balance_rounding, min_max, per_block, per_channel, per_tensor


def _errors(params, quantized):
    leaf = quantized["w"]
    scale = np.asarray(jc.leaves.quantized.spread(np.asarray(leaf.scale), leaf.shape))
    return (params["w"] - np.asarray(leaf.dense())) / scale


@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple),
    axis=st.integers(-2, 1),
    bits=st.integers(2, 8),
    symmetric=st.booleans(),
    blocks=st.sampled_from([per_tensor, per_channel(), per_channel(0), per_block(3, axis=0)]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=150)
def test_sums_do_not_grow_and_integers_move_by_one(shape, axis, bits, symmetric, blocks, seed):
    random = np.random.default_rng(seed)
    weights = random.standard_normal(shape) * random.integers(0, 2, shape)
    params = {"w": weights}
    options = {"symmetric": symmetric, "granularity": blocks, "estimate": min_max}
    quantized = jc.quantize(params, bits, **options)
    balanced = balance_rounding(params, quantized, axis=axis)
    before, after = (np.asarray(tree["w"].values, int) for tree in (quantized, balanced))
    grid = jc.quantization.make_grid(bits, symmetric=symmetric)
    assert np.abs(after - before).max() <= 2  # once for the window, once for the output
    assert grid.lowest <= after.min() and after.max() <= grid.highest
    assert (np.asarray(balanced["w"].dense())[weights == 0] == 0).all()
    np.testing.assert_array_equal(balanced["w"].scale, quantized["w"].scale)
    if len(shape) == 2 and blocks in (per_tensor, per_channel):
        others = 1 - axis % 2
        sums = [np.abs(_errors(params, tree).sum(axis=others)) for tree in (quantized, balanced)]
        assert (sums[1] <= np.maximum(sums[0], 0.5) + 1e-9).all()


@pytest.mark.parametrize(("shape", "axis"), [((700, 40), 1), ((40, 700), 0), ((700, 40), -1)])
def test_errors_of_each_output_sum_to_half_a_step_for_almost_no_error(shape, axis):
    params = {"w": np.random.default_rng(0).standard_normal(shape)}
    quantized = jc.quantize(params, granularity=per_channel(axis))
    balanced = balance_rounding(params, quantized, axis=axis)
    before, after = (_errors(params, tree) for tree in (quantized, balanced))
    assert np.abs(before.sum(axis=1 - axis % 2)).max() > 10
    assert np.abs(after.sum(axis=1 - axis % 2)).max() <= 0.5 + 1e-9
    assert np.linalg.norm(after) < 1.002 * np.linalg.norm(before)


@pytest.mark.parametrize(("shape", "axis"), [((3, 3, 16, 8), -1), ((8, 16, 3, 3), 0)])
def test_errors_of_windows_cancel_too(shape, axis):
    params = {"w": np.random.default_rng(0).standard_normal(shape)}
    quantized = jc.quantize(params, granularity=per_channel(axis))
    balanced = balance_rounding(params, quantized, axis=axis)
    window = (0, 1) if axis else (2, 3)
    sums = [np.abs(_errors(params, tree).sum(axis=window)) for tree in (quantized, balanced)]
    assert sums[1].mean() < 0.45 * sums[0].mean()
    outputs = _errors(params, balanced).sum(axis=(0, 1, 2) if axis else (1, 2, 3))
    assert np.abs(outputs).max() <= 0.5 + 1e-9


def test_outputs_of_inputs_that_are_not_centred_are_nearer():
    random = np.random.default_rng(0)
    params = {"w": random.standard_normal((256, 32))}
    inputs = np.maximum(random.standard_normal((64, 256)), 0)
    quantized = jc.quantize(params, 4, estimate=min_max)
    balanced = balance_rounding(params, quantized)
    exact = inputs @ params["w"]
    errors = [
        np.linalg.norm(inputs @ np.asarray(tree["w"].dense()) - exact)
        for tree in (quantized, balanced)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_what_is_on_the_grid_stays_and_other_leaves_too():
    params = {"w": np.random.default_rng(0).standard_normal((64, 64)), "b": np.ones(3)}
    once = jc.quantize(params, 4)
    exact = {"w": np.asarray(once["w"].dense()), "b": params["b"]}
    again = balance_rounding(exact, jc.quantize(exact, 4))
    np.testing.assert_array_equal(again["w"].dense(), exact["w"])
    assert again["b"] is exact["b"]
    binary = jc.quantize(params, 1)
    assert balance_rounding(params, binary)["w"] is binary["w"]


def test_equal_errors_are_taken_in_order():
    params = {"w": np.full((10, 1), 0.45)}
    params["w"][-1] = 7.0
    balanced = balance_rounding(params, jc.quantize(params, 4))
    np.testing.assert_array_equal(balanced["w"].values.ravel(), [1, 1, 1, 1, 0, 0, 0, 0, 0, 7])


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_weights_of_one_sign_cost_no_more_than_two_thirds(bits):
    random = np.random.default_rng(0)
    params = {"w": np.abs(random.standard_t(2, size=(1024, 64)))}
    quantized = jc.quantize(params, bits)
    balanced = balance_rounding(params, quantized)
    errors = [
        np.linalg.norm(np.asarray(tree["w"].dense()) - params["w"])
        for tree in (quantized, balanced)
    ]
    assert errors[1] ** 2 < 1.75 * errors[0] ** 2
    assert (balanced["w"].values != quantized["w"].values).any()


def test_trees_that_do_not_match_are_refused():
    params = {"w": np.ones((4, 4))}
    with pytest.raises(ValueError, match="params"):
        balance_rounding({"v": np.ones((4, 4))}, jc.quantize(params))
