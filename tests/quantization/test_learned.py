"""Rounding with gradients: the formulas of LSQ by hand, and what holds for all numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcompress.quantization._learned import Learned, learn, learned_qparams, rounded
from jaxcompress.quantization.grids import QParams, make_grid, on_grid, qparams_for

SYMMETRIC, AFFINE = make_grid(3), make_grid(3, symmetric=False)  # -3 to 3, -4 to 3
VALUES = np.array([-2.0, -0.6, 0.0, 0.8, 1.5, 1.6], np.float32)
HALF = Learned(np.array([-1.0], np.float32))  # a scale of 1/2


@partial(jax.jit, static_argnums=2)
def differentiate(values, learned, grid, weights):
    def total(values, learned):
        results = rounded(values, learned, grid)
        return jnp.sum(results * weights), results

    (_, results), found = jax.value_and_grad(total, (0, 1), has_aux=True)(values, learned)
    return results, *found


def slopes(values, learned, grid, weights=1.0):
    """The rounded values, and the slopes of their weighted sum by the values and by the grid."""
    weights = np.broadcast_to(np.asarray(weights, np.float32), values.shape)
    return jax.device_get(differentiate(values, learned, grid, weights))


def test_the_formula_of_lsq_by_hand():
    results, to_values, to_grid = slopes(VALUES, HALF, SYMMETRIC)
    assert results.tolist() == [-1.5, -0.5, 0.0, 1.0, 1.5, 1.5]
    assert to_values.tolist() == [0, 1, 1, 1, 1, 0]
    to_scale = (-3) + (-1 + 1.2) + 0 + (2 - 1.6) + (3 - 3) + 3
    # The scale is 2^-1 (1 + e + 1) there, so that its slope by the exponent is 1/2.
    np.testing.assert_allclose(to_grid.exponent, [0.5 * to_scale / np.sqrt(6 * 3)], rtol=1e-5)


def test_the_zero_point_learns_from_what_is_clipped():
    learned = learn(QParams(np.float32(0.5), np.int8(-2)), AFFINE)  # -1 to 2.5
    values = np.array([-3.0, -0.4, 0.0, 2.4, 2.5, 4.0], np.float32)
    weights = [1.0, 10.0, 10.0, 10.0, 10.0, 3.0]
    results, to_values, to_grid = slopes(values, learned, AFFINE, weights)
    assert results.tolist() == [-1.0, -0.5, 0.0, 2.5, 2.5, 2.5]
    assert to_values.tolist() == [0.0, 10.0, 10.0, 10.0, 10.0, 0.0]
    np.testing.assert_allclose(to_grid.below, -0.5 * 7 * (1 + 3) / np.sqrt(6 * 7), rtol=1e-6)
    # The function itself, from one integer to the next.
    moved = slopes(values, learned._replace(below=learned.below + 1 / 7), AFFINE)[0] - results
    assert moved[[0, 5]].tolist() == [-0.5, -0.5]


def test_slopes_are_those_of_the_function_where_it_has_some():
    learned = learn(QParams(np.float32(0.4), np.int8(-1)), AFFINE)  # -1.2 to 1.6
    values, step = np.array([-7.0, -3.0, -2.0, 9.0, 4.0, 3.0], np.float32), 1e-2
    weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.float32)
    results, to_values, to_grid = slopes(values, learned, AFFINE, weights)
    there, back = (
        slopes(values, learned._replace(exponent=learned.exponent + d), AFFINE)[0]
        for d in (step, -step)
    )
    slope = np.sum(weights * (there - back)) / (2 * step)
    np.testing.assert_allclose(to_grid.exponent * np.sqrt(6 * 7), slope, rtol=1e-4)
    assert (slopes(values + step, learned, AFFINE)[0] == results).all() and not to_values.any()


@pytest.mark.slow
@given(
    st.lists(st.floats(-100, 100, width=16), min_size=6, max_size=6),
    st.floats(2**-10, 2**10, width=32),
    st.sampled_from([1, 3, 8]),
)
@settings(max_examples=50, deadline=None)
def test_values_and_scale_move_together(values, scale, bits):
    """Rounding is homogeneous: `value * d/d value + scale * d/d scale` is the result itself."""
    grid = make_grid(bits)
    values = np.array(values, np.float32)
    learned = learn(QParams(np.array([scale], np.float32)), grid)
    results, to_values, to_grid = slopes(values, learned, grid)
    whole = np.floor(np.asarray(learned.exponent))
    scale = (2**whole * (1 + learned.exponent - whole)).astype(np.float32)
    assert (results == on_grid(values, QParams(scale), grid)).all()
    to_scale = to_grid.exponent / 2**whole * np.sqrt(6 * grid.highest)
    moved = np.sum(values * to_values) + scale * to_scale
    np.testing.assert_allclose(moved, [results.sum()], rtol=1e-3, atol=1e-5 * abs(values).sum())


def test_qparams_start_where_they_were():
    scales = np.logspace(-30, 30, 99, dtype=np.float32)
    found = learned_qparams(learn(QParams(scales), SYMMETRIC), SYMMETRIC).scale
    np.testing.assert_allclose(found, scales, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_scales_stay_above_0_wherever_an_optimizer_takes_them(dtype):
    exponents = np.array([-np.inf, -1e30, -200, -126.5, 127.5, 200, 1e30, np.inf], np.float32)
    scales = np.asarray(learned_qparams(Learned(exponents), SYMMETRIC, dtype).scale)
    assert (scales > 0).all() and np.isfinite(255 * scales).all()


def test_scales_of_double_precision_stay_above_0_too():
    with jax.enable_x64(True):
        scales = learned_qparams(Learned(np.float32([-200.5, 200])), SYMMETRIC, np.float64).scale
        assert scales.dtype == np.float64 and (scales > 0).all()


@pytest.mark.parametrize("below", [-5.0, 2.0])
def test_zero_points_stay_on_the_grid(below):
    """And nothing pulls them further out, which would have to be undone first."""
    learned = Learned(np.float32(0), np.float32(below))
    end = AFFINE.lowest if below < 0 else AFFINE.highest
    values = np.array([50.0, -50.0, 0, 0, 0, 0], np.float32)
    results, _, outwards = slopes(values, learned, AFFINE, np.sign(below))
    assert results.tolist()[:3] == [AFFINE.highest - end, AFFINE.lowest - end, 0]
    assert outwards.below == 0
    inwards = slopes(values, learned, AFFINE, -np.sign(below))[2].below
    np.testing.assert_allclose(inwards, np.sign(below) * 7 * 2 / np.sqrt(6 * 7), rtol=1e-6)


def test_each_block_learns_from_its_own_entries():
    values = np.array([[0.3, 5.0], [0.3, 0.3], [9.0, 0.3]], np.float32)
    learned = Learned(np.zeros((2, 2), np.float32))  # blocks of rows 0 and 1, and of row 2
    found = slopes(values, learned, SYMMETRIC)[2].exponent * np.sqrt(6 / 4 * 3)
    np.testing.assert_allclose(found, [[-0.6, 3 - 0.3], [3, -0.3]], rtol=1e-5)


def test_nan_stays_visible():
    values = np.where(VALUES > 1, np.nan, VALUES)
    results, *_ = slopes(values, HALF, SYMMETRIC)
    assert np.isnan(results).tolist() == (VALUES > 1).tolist()


def test_nothing_is_rounded_where_there_is_nothing():
    assert rounded(np.zeros((0, 3)), Learned(np.zeros((1, 3))), SYMMETRIC).shape == (0, 3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.float16])
@pytest.mark.parametrize(
    ("bits", "symmetric"), [(8, True), (8, False), (4, True), (3, False), (2, True)]
)
def test_what_a_grid_was_made_for_is_not_clipped(bits, symmetric, dtype):
    grid = make_grid(bits, symmetric=symmetric)
    rng = np.random.default_rng(0)
    spread = 10.0 ** rng.uniform(-1, 1, 200) * rng.choice([-1, 1], 200)
    values = (rng.normal(size=(9, 200)) * spread + rng.normal(size=200)).astype(dtype)
    wide = values.astype(np.float32)
    low, high = wide.min(axis=0, keepdims=True), wide.max(axis=0, keepdims=True)
    learned = learn(qparams_for(low, high, grid), grid)
    _, to_values, _ = slopes(values, learned, grid)
    assert np.all(to_values == 1)
    reach = np.maximum(-low, high) if symmetric else np.where(high > -low, high, low)
    step = (reach if symmetric else high.clip(0) - low.clip(max=0)) / (grid.highest - grid.lowest)
    outside = (np.sign(reach) * (abs(reach) + 6 * step)).astype(dtype)
    assert not slopes(np.broadcast_to(outside, values.shape), learned, grid)[1].any()
