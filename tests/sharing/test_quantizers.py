"""Uniform and entropy-constrained sharing: exact on small arrays, and the promises around them."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.sharing._members import Members
from jaxcompress.sharing._uniform import _share, _sorted
from jaxcompress.trees import widened


def uniform(values, step, **kwargs):
    return jc.uniform({"w": np.asarray(values, np.float32).reshape(1, -1)}, step, **kwargs)["w"]


def constrained(values, rate_weight, **kwargs):
    params = {"w": np.asarray(values, np.float32).reshape(1, -1)}
    return jc.entropy_constrained(params, rate_weight, **kwargs)["w"]


def bits(leaf):
    return 8 * jc.metrics.entropy_bound_bytes({"w": leaf})


def cost(leaf, values, rate_weight):
    difference = np.asarray(leaf.dense(), np.float64).ravel() - np.asarray(values, np.float64)
    return float(np.sum(difference**2)) + rate_weight * bits(leaf)


def least_cost(values, rate_weight):
    """Try every way to cut the sorted values into cells, each of them or none being zero."""
    values = np.asarray(values, np.float64)
    members = np.sort(values[values != 0])
    pruned = len(values) - len(members)
    best = np.inf
    inner = range(1, len(members))
    for number in range(len(members)):
        for cuts in itertools.combinations(inner, number):
            cells = np.split(members, cuts)
            for zero in range(-1, len(cells)):
                counts = [len(cell) for cell in cells] + [pruned]
                error = sum(
                    np.sum(cell**2) if place == zero else np.sum((cell - cell.mean()) ** 2)
                    for place, cell in enumerate(cells)
                )
                if zero >= 0:
                    counts[-1] += counts.pop(zero)
                entries = len(counts) - 1
                used = np.array([count for count in counts if count])
                rate = np.sum(used * np.log2(len(values) / used)) + 32 * entries
                best = min(best, error + rate_weight * rate)
    return best


FINITE = st.floats(-100, 100, width=32)
NORMAL = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
HEAVY = np.random.default_rng(1).standard_t(2, 20_000).astype(np.float32)


# Uniform.


def test_uniform_by_hand():
    leaf = uniform([0.2, 0.3, -0.8, 0.0, 1.1, 0.6], 0.5)
    assert leaf.codebook.tolist() == [-1.0, 0.5, 1.0]
    assert leaf.codes.tolist() == [[0, 2, 1, 0, 3, 2]]
    assert leaf.codes.dtype == np.uint8


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=30), st.floats(0.01, 50))
def test_uniform_is_off_by_half_a_step_at_most(values, step):
    leaf = uniform(values, step)
    error = np.abs(np.asarray(leaf.dense(), np.float64).ravel() - np.float32(values))
    assert error.max() <= step / 2 * (1 + 1e-5) + 1e-5
    codebook = np.asarray(leaf.codebook, np.float64)
    assert (np.diff(codebook) > 0).all() and (codebook != 0).all()
    np.testing.assert_allclose(codebook / step, np.rint(codebook / step), rtol=1e-5)
    assert set(range(1, len(codebook) + 1)) <= set(np.asarray(leaf.codes).ravel().tolist())


def test_one_step_serves_all_leaves_of_the_scope():
    params = {"a": jnp.array([[0.9, 2.1]]), "b": jnp.array([[9.2]]), "bias": jnp.array([0.3])}
    shared = jc.uniform(params, 1.0)
    assert [shared[name].codebook.tolist() for name in "ab"] == [[1.0, 2.0], [9.0]]
    assert shared["bias"] is params["bias"]


def test_importance_makes_steps_finer():
    params = {"a": jnp.array([[0.9, 2.1]]), "b": jnp.array([[0.9, 2.1]])}
    shared = jc.uniform(params, 1.0, importance=lambda path, leaf: 4.0 if path == "b" else 1.0)
    assert [shared[name].codebook.tolist() for name in "ab"] == [[1.0, 2.0], [1.0, 2.0]]
    shared = jc.uniform(params, 0.8, importance=lambda path, leaf: 4.0 if path == "b" else 1.0)
    np.testing.assert_allclose(shared["a"].codebook, [0.8, 2.4], rtol=1e-6)
    np.testing.assert_allclose(shared["b"].codebook, [0.8, 2.0], rtol=1e-6)


def test_uniform_in_a_small_dtype_stores_each_value_once():
    values = jnp.array([[256.0, 257.0, 258.0, 260.0, -300.0]], jnp.bfloat16)
    leaf = jc.uniform({"w": values}, 0.7)["w"]
    assert leaf.codebook.dtype == jnp.bfloat16
    assert (np.diff(np.asarray(leaf.codebook, np.float32)) > 0).all()
    np.testing.assert_array_equal(leaf.dense(), values)


def test_uniform_near_the_ends_of_the_dtype():
    most = float(np.finfo(np.float32).max)
    leaf = uniform([most, -most, 1.0], 0.55 * most)
    np.testing.assert_allclose(np.asarray(leaf.dense()), [[most, -most, 0]], rtol=1e-6)
    assert len(uniform([1e-45, 3e-45, 0.0], 1e-47).codebook) == 2


def test_more_levels_than_codes_tell_apart_are_refused():
    values = np.arange(1, 70_001, dtype=np.float32)
    with pytest.raises(
        ValueError, match=r"w: step_size must leave at most 65535 .* got 70,000 with 1"
    ):
        uniform(values, 1.0)
    far = jc.uniform({"w": np.array([[1e300, 1.0]])}, 1e-300)["w"]  # each is a multiple itself
    np.testing.assert_allclose(far.dense(), [[1e300, 1.0]], rtol=1e-15)
    assert len(uniform(values[:65_535], 1.0).codebook) == 65_535


# Entropy-constrained.


def test_constrained_by_hand():
    # Zero twice costs squares of 13 and no bit; -3 and zero a square of 4, 32 bits of an entry
    # and 2 of codes; two entries 66 bits.
    assert constrained([2.0, -3.0], 9 / 34 + 0.01).codebook.tolist() == []
    assert constrained([2.0, -3.0], 9 / 34 - 0.01).codebook.tolist() == [-3.0]
    assert constrained([2.0, -3.0], 4 / 32 + 0.01).codebook.tolist() == [-3.0]
    assert constrained([2.0, -3.0], 0.01).codebook.tolist() == [-3.0, 2.0]
    leaf = constrained([0.1, 2.0, 2.2, -3.0, 0.0, 2.1], 0.01)
    assert leaf.codes.tolist() == [[0, 2, 2, 1, 0, 2]]
    np.testing.assert_allclose(leaf.codebook, [-3.0, 2.1], rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=7), st.floats(-12, 3))
def test_constrained_is_optimal_on_small_arrays(values, log_price):
    rate_weight = math.exp(log_price) * max(max(map(abs, values)), 1e-3) ** 2 / 32
    best = least_cost(np.float32(values), rate_weight)
    assert cost(constrained(values, rate_weight), values, rate_weight) <= best * (1 + 1e-5)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=60), st.floats(0.01, 100))
def test_constrained_is_no_worse_than_uniform_in_its_own_terms(values, step):
    rate_weight = jc.sharing.high_rate_weight(step)
    ours, grid = constrained(values, rate_weight), uniform(values, step)
    values = np.float32(values)
    assert cost(ours, values, rate_weight) <= cost(grid, values, rate_weight) * (1 + 1e-6) + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("step", [0.02, 0.2, 0.7, 2.0])
@pytest.mark.parametrize("values", [NORMAL, HEAVY], ids=["normal", "heavy tail"])
def test_many_weights_cost_less_than_on_the_grid(values, step):
    rate_weight = jc.sharing.high_rate_weight(step)
    ours, grid = constrained(values, rate_weight), uniform(values, step)
    assert cost(ours, values, rate_weight) < cost(grid, values, rate_weight)


@settings(max_examples=60, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40), st.floats(1e-3, 10), st.floats(1, 100))
def test_dearer_bits_are_never_more(values, rate_weight, times):
    cheap, dear = constrained(values, rate_weight), constrained(values, rate_weight * times)
    assert bits(dear) <= bits(cheap) + 1e-6


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40))
def test_bits_for_nothing_keep_the_weights(values):
    values = np.float32(values)
    np.testing.assert_array_equal(constrained(values, 1e-200).dense().ravel(), values)


def test_bits_beyond_price_leave_zeros():
    assert constrained(NORMAL, 1e9).codebook.shape == (0,)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=40), st.floats(1e-4, 10))
def test_constrained_twice_is_constrained_once(values, rate_weight):
    once = constrained(values, rate_weight).dense()
    np.testing.assert_array_equal(constrained(once, rate_weight).dense(), once)


@pytest.mark.parametrize("step", [0.02, 0.5, 1.5])
def test_constrained_twice_is_constrained_once_for_many_weights(step):
    once = constrained(HEAVY, jc.sharing.high_rate_weight(step)).dense()
    np.testing.assert_array_equal(
        constrained(once, jc.sharing.high_rate_weight(step)).dense(), once
    )


def test_an_entry_is_the_mean_of_its_members():
    leaf = constrained(NORMAL, 0.01)
    codes = np.asarray(leaf.codes).ravel()
    means = [NORMAL[codes == code].mean(dtype=np.float64) for code in range(1, codes.max() + 1)]
    np.testing.assert_allclose(leaf.codebook, means, rtol=1e-5)
    assert (np.diff(leaf.codebook) > 0).all() and len(means) == len(leaf.codebook)


def test_pruned_weights_make_zero_cheaper():
    values = np.concatenate([NORMAL[:1000], np.zeros(9000, np.float32)])
    alone = np.count_nonzero(constrained(NORMAL[:1000], 0.01).dense())
    assert np.count_nonzero(constrained(values, 0.01).dense()) < alone


def test_a_leaf_of_zeros_and_one_of_equal_weights():
    assert constrained([0.0, 0.0], 0.1).dense().tolist() == [[0.0, 0.0]]
    leaf = constrained(np.full(100, 3.0), 0.1)
    assert leaf.codebook.tolist() == [3.0] and set(np.asarray(leaf.codes).ravel()) == {1}


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 1e18, 3e37])
def test_the_unit_of_the_weights_does_not_matter(scale):
    codes = constrained(NORMAL[:2000], jc.sharing.high_rate_weight(0.5)).codes
    scaled = constrained(
        NORMAL[:2000] * np.float32(scale), jc.sharing.high_rate_weight(0.5 * scale)
    )
    assert np.mean(scaled.codes == codes) > 0.999


def test_bfloat16_entries_lie_inside_their_cells():
    values = jnp.asarray(NORMAL.reshape(100, -1), jnp.bfloat16)
    leaf = jc.entropy_constrained({"w": values}, 1e-4)["w"]
    assert leaf.codebook.dtype == jnp.bfloat16
    assert (np.diff(np.asarray(leaf.codebook, np.float32)) > 0).all()
    again = jc.entropy_constrained({"w": leaf.dense()}, 1e-4)["w"]
    np.testing.assert_array_equal(again.dense(), leaf.dense())


def test_hundreds_of_levels_use_wider_codes():
    leaf = constrained(NORMAL, jc.sharing.high_rate_weight(0.005))
    assert len(leaf.codebook) > 255 and leaf.codes.dtype == np.uint16
    values = np.random.default_rng(2).standard_normal(200_000).astype(np.float32)
    for rate_weight in (1e-30, 1e-14):
        with pytest.raises(ValueError, match="w: rate_weight must leave at most 65535 .* larger"):
            constrained(values, rate_weight)


# Sizes.


@pytest.mark.slow
@pytest.mark.parametrize("size_bytes", [300, 5_000, 20_000])
def test_a_size_is_met_and_nearly_used(size_bytes):
    params = {"a": NORMAL.reshape(100, -1), "b": HEAVY[:5000].reshape(50, -1), "bias": np.ones(9)}
    shared = jc.entropy_constrained(params, jc.sharing.rate_weight_for(params, size_bytes))
    assert 0.97 * size_bytes < jc.metrics.entropy_bound_bytes(shared) <= size_bytes


@pytest.mark.slow
def test_a_size_for_pruned_weights_counts_the_zeros():
    params = {"w": NORMAL.reshape(100, -1)}
    mask = jc.magnitude_mask(params, 0.9)
    rate_weight = jc.sharing.rate_weight_for(params, 2000, mask=mask)
    shared = jc.entropy_constrained(params, rate_weight, mask=mask)
    assert jc.metrics.entropy_bound_bytes(shared) <= 2000 and jc.measure_sparsity(shared) >= 0.9


def test_a_size_below_the_leaves_that_stay_is_refused():
    params = {"w": np.ones((2, 2), np.float32), "bias": np.ones(100, np.float32)}
    with pytest.raises(ValueError, match="must be at least the 400 bytes .* got 399; raise it"):
        jc.sharing.rate_weight_for(params, 399)
    shared = jc.entropy_constrained(params, jc.sharing.rate_weight_for(params, 400))
    assert jc.metrics.entropy_bound_bytes(shared) == 400


def test_a_size_with_room_for_every_weight_keeps_them():
    params = {"w": NORMAL[:500].reshape(10, -1)}
    shared = jc.entropy_constrained(params, jc.sharing.rate_weight_for(params, 1e6))
    np.testing.assert_allclose(shared["w"].dense(), params["w"], atol=1e-3)


@pytest.mark.slow
def test_a_size_is_met_with_importance_too():
    params = {"a": NORMAL.reshape(100, -1), "b": HEAVY[:500].reshape(50, -1)}
    importance = jc.sharing.size_importance(params)
    rate_weight = jc.sharing.rate_weight_for(params, 5000, importance=importance)
    shared = jc.entropy_constrained(params, rate_weight, importance=importance)
    assert 4900 < jc.metrics.entropy_bound_bytes(shared) <= 5000


# Both.

QUANTIZERS = {"uniform": jc.uniform, "entropy_constrained": jc.entropy_constrained}


@pytest.fixture(params=QUANTIZERS)
def quantize(request):
    return QUANTIZERS[request.param]


def test_the_mask_says_who_is_a_member(quantize):
    params = {"w": np.array([[1.0, 2.0, 5.0, 0.0]], np.float32)}
    shared = quantize(params, 1e-3, mask={"w": np.array([[True, True, False, True]])})
    np.testing.assert_allclose(shared["w"].dense(), [[1.0, 2.0, 0.0, 0.0]], atol=1e-3)
    assert shared["w"].codes.tolist() == [[1, 2, 0, 0]]


@pytest.mark.slow
def test_shared_weights_are_tuned_like_any(quantize):
    params = {"w": jnp.asarray(NORMAL[:600].reshape(20, -1))}
    mask = jc.magnitude_mask(params, 0.5)
    shared = quantize(jc.apply_mask(params, mask), 0.02, mask=mask)
    start, tx = jc.dense(shared), jc.share_centroids(optax.adam(0.01), shared)
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, start), tx.init(start), start)
    tuned = jc.leaves.update_codebooks(shared, optax.apply_updates(start, updates))
    np.testing.assert_array_equal(tuned["w"].codes, shared["w"].codes)
    np.testing.assert_allclose(tuned["w"].codebook, shared["w"].codebook - 0.01, atol=1e-5)


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
def test_parameters_out_of_range(quantize, value):
    with pytest.raises(ValueError, match=f"must be finite and above 0, got {value}; pass"):
        quantize({"w": np.ones((2, 2))}, value)


@pytest.mark.parametrize("value", ["1", True, None, [1.0], 1j])
def test_parameters_of_another_kind(quantize, value):
    with pytest.raises(TypeError, match="must be a number above 0"):
        quantize({"w": np.ones((2, 2))}, value)


def test_hostile_trees(quantize):
    with pytest.raises(ValueError, match=r"w: must be finite, got 1 .* \(0, 1\)"):
        quantize({"w": np.array([[1.0, np.nan]])}, 0.1)
    with pytest.raises(ValueError, match="scope: no leaf is chosen"):
        quantize({"b": np.ones(3)}, 0.1)
    with pytest.raises(ValueError, match="w: mask must have the shape of params"):
        quantize({"w": np.ones((2, 2))}, 0.1, mask={"w": np.ones((2, 1), bool)})
    with pytest.raises(TypeError, match="call it outside of jit"):
        jax.jit(lambda p: jc.dense(quantize(p, 0.1)))({"w": jnp.ones((2, 2))})


def test_importance_is_the_rate_weight_divided(quantize):
    params = {"w": NORMAL[:1000].reshape(10, -1)}
    important = quantize(params, 0.4, importance=lambda path, leaf: 4.0)["w"]
    divided = quantize(params, 0.2 if quantize is jc.uniform else 0.1)["w"]
    np.testing.assert_array_equal(important.dense(), divided.dense())


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, "2"])
def test_importance_must_be_above_zero(quantize, value):
    with pytest.raises((TypeError, ValueError), match="w: importance: must be .* let it be 1"):
        quantize({"w": np.ones((2, 2))}, 0.1, importance=lambda path, leaf: value)


def test_values_of_all_sizes_survive(quantize):
    values = np.array([[-1e30, 1e-30, 2e-30, 1e-20, 1.0, -1.0, 3e38, -3e38]], np.float32)
    for price in (1e-45, 1.0, 1e38, 1e70):
        assert np.isfinite(np.asarray(quantize({"w": values}, price)["w"].dense())).all()


def test_255_values_and_zero_fit_into_a_byte(quantize):
    values = np.arange(-127, 129, dtype=np.float32)[None]
    mask = {"w": np.ones(values.shape, bool)}
    leaf = quantize({"w": values}, 1.0 if quantize is jc.uniform else 1e-9, mask=mask)["w"]
    assert len(leaf.codebook) == 255 and leaf.codes.dtype == np.uint8
    np.testing.assert_array_equal(leaf.dense(), values)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 3), st.sampled_from(["f", "d", "e"]))
def test_levels_counted_in_a_table_and_sorted_ones_give_the_same(seed, step_size, dtype):
    draw = np.random.default_rng(seed)
    kernel = (draw.standard_t(2, 300) * (draw.random(300) < 0.8)).astype(dtype)
    mask = draw.random(300) < 0.9
    for kept in (None, mask):
        members = Members("k", kernel, widened(kernel), kernel != 0 if kept is None else kept)
        counted, ordered = _share(members, step_size), _sorted(members, step_size)
        np.testing.assert_array_equal(counted.codes, ordered.codes)
        np.testing.assert_array_equal(counted.codebook, ordered.codebook)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, jnp.float8_e4m3fn])
def test_weights_of_few_bits_are_ordered_by_counting(dtype):
    kernel = np.random.default_rng(0).standard_normal(500).astype(dtype)
    kernel[::50] = 0
    values = widened(kernel)
    for member in (values != 0, np.ones(500, bool), np.zeros(500, bool)):
        found = Members("k", kernel, values, member).ordered()
        np.testing.assert_array_equal(found, np.sort(values[member]))
        assert found.dtype == values.dtype
