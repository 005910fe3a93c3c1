"""Tensors that had few values before keep them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.oneshot._exact import of_few_values

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_few_values_become_codes(dtype):
    tensor = (RNG.integers(-20, 21, (30, 70)) * 0.25).astype(dtype)
    leaf = of_few_values(tensor)
    assert isinstance(leaf, jc.Clustered) and leaf.codebook.size == 40
    np.testing.assert_array_equal(leaf.dense(), tensor)
    assert leaf.dense().dtype == dtype
    assert of_few_values(tensor, 39) is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1), st.integers(0, 2**32 - 1))
def test_integers_with_a_scale_for_each_channel_become_a_grid(axis, seed):
    rng = np.random.default_rng(seed)
    sizes = (12, 1) if axis == 0 else (1, 200)
    scale = np.exp(rng.normal(size=sizes)).astype(np.float32)
    integers = np.rint(rng.normal(size=(12, 200)) * 20).clip(-127, 127).astype(np.int8)
    integers[:, 0] = 1  # the smallest level tells the scale exactly
    integers[0] = 1
    tensor = integers * scale
    leaf = of_few_values(tensor)
    if leaf is not None:  # a channel in which no small level occurs may be missed
        np.testing.assert_array_equal(leaf.dense(), tensor)
    if axis == 0:
        assert isinstance(leaf, jc.Quantized) and leaf.scale.shape == (12, 1)


def test_most_weights_are_not_of_few_values():
    normal = RNG.standard_normal((60, 60)).astype(np.float32)
    assert of_few_values(normal) is None
    assert of_few_values(np.arange(20.0)) is None  # a codebook would not pay
    mixed = np.tile(np.float32([1, 2]), 9000)
    mixed[5001:5600] = normal.reshape(-1)[:599]  # past the weights that are looked at first
    assert of_few_values(mixed) is None


def test_pack_and_compress_keep_such_tensors_exactly():
    tensor = (RNG.integers(-7, 8, (40, 50)) * 0.1).astype(np.float32)
    normal = RNG.standard_normal((40, 50)).astype(np.float32)
    params = {"ternary": tensor, "w": normal}
    small = jc.compress(params)
    np.testing.assert_array_equal(jc.dense(small)["ternary"], tensor)
    assert jc.oneshot.report(params, small).worst[0].path == "w"
    coarse = jc.compress(params, step_size=1.0)  # fewer values take fewer bits
    assert jc.oneshot.report(params, coarse).kept == {}


def test_signs_of_zeros_are_kept():
    tensor = np.tile(np.float32([1, -0.0]), 50)
    assert of_few_values(tensor) is None
