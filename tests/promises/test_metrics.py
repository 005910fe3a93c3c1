"""Counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.leaves import Quantized, half


def params():
    return {"kernel": np.array([[0.0, 1.0, 1.0, 2.0]], np.float32), "bias": np.zeros(4, np.float32)}


def test_sparsity_states_its_denominator():
    assert jc.measure_sparsity(params()) == 0.25
    assert jc.measure_sparsity(params(), scope=jc.scopes.everything) == 5 / 8
    assert jc.measure_sparsity(jc.leaves.sparse(params())) == 0.25


def test_distinct_counts_per_leaf_without_zero():
    assert jc.metrics.count_distinct(params()) == 2
    assert jc.metrics.count_distinct({"a": params(), "b": params()}) == 4


def test_the_factors_of_products_are_counted_and_not_their_product():
    column, row = np.array([[1.0], [0.0]], "f"), np.array([[0.0, 3.0, 5.0]], "f")
    thin = {"w": jc.LowRank(factors=(column, row), equation="ir,ro->io")}
    assert jc.measure_sparsity(thin) == 2 / 5  # of the product 4 of 6 are 0
    assert jc.metrics.count_distinct(jc.kmeans(thin, 1)) == 2


def test_entropy_bound_by_hand():
    # Codes 0 1 1 2: entropy 1.5 bits each, 6 bits; two codebook entries; four float32 biases.
    leaf = jc.kmeans(params(), 2)
    assert jc.metrics.entropy_bound_bytes(leaf) == pytest.approx(6 / 8 + 2 * 4 + 4 * 4)
    # Positions: 4 * H(1/4) bits, three float32 values.
    bits = 4 * -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert jc.metrics.entropy_bound_bytes(jc.leaves.sparse(params())) == pytest.approx(
        bits / 8 + 12 + 16
    )
    assert jc.metrics.entropy_bound_bytes(params()) == 32


def test_entropy_bound_of_grids_by_hand():
    # Levels 0 1 1 2 in both blocks, of which one has its zero at 1: 1.5 bits each.
    leaf = Quantized(
        values=np.array([[0, 1, 1, 2], [1, 2, 2, 3]], np.int8),
        scale=np.ones((2, 1), np.float32),
        zero_point=np.array([[0], [1]], np.int8),
        bits=3,
    )
    assert jc.metrics.entropy_bound_bytes({"k": leaf}) == pytest.approx(8 * 1.5 / 8 + 2 * 4 + 2)
    plain = Quantized(values=leaf.values[:1], scale=leaf.scale[:1], bits=3)
    assert jc.metrics.entropy_bound_bytes({"k": plain}) == pytest.approx(6 / 8 + 4)
    assert jc.metrics.entropy_bound_bytes(half(params())) == 2 * 4 + 4 * 4


def test_no_file_beats_the_bound_for_random_codes(tmp_path):
    weights = np.random.default_rng(0).standard_normal((300, 200)).astype(np.float32)
    shared = jc.kmeans({"w": weights}, 16)
    assert jc.save(tmp_path / "m.npz", shared) > jc.metrics.entropy_bound_bytes(shared)


def test_parameters_are_counted_as_if_dense():
    column, row = np.ones((3, 1), "f"), np.ones((1, 5), "f")
    tree = {
        "thin": jc.LowRank(factors=(column, row), equation="ir,ro->io"),
        "shared": jc.kmeans(params(), 2),
        "wave": np.ones(2, np.complex64),
        "small": jnp.ones(3, jnp.float8_e4m3fn),
        "step": np.array(7),
        "mask": np.ones(9, bool),
        "key": jax.random.key(0),
    }
    assert jc.count_parameters(tree) == 3 * 5 + 4 + 4 + 2 + 3
    assert jc.count_parameters({"a": params(), "b": params()}) == 16
    assert jc.count_parameters(np.float32(3)) == 1 and jc.count_parameters({}) == 0


def test_parameters_of_shapes_and_tracers_are_counted():
    tree = {"w": np.ones((2, 3), "f"), "n": np.arange(4)}
    assert jc.count_parameters(jax.eval_shape(lambda: jax.tree.map(jnp.asarray, tree))) == 6
    assert jax.jit(lambda t: jc.count_parameters(t) + 0 * t["w"].sum())(tree) == 6
    with pytest.raises(TypeError, match="w: leaves must be arrays, got str"):
        jc.count_parameters({"w": "a"})
