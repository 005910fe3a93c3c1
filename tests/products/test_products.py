"""The products of functions: names, weights and the axes of their channels, by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from jaxcompress.products.find import find_products, keeps_derivatives
from jaxcompress.trace.program import trace
from jaxcompress.trees import named_leaves


def products(apply, params, *inputs):
    program = trace(apply, params, *inputs, keep=keeps_derivatives)
    return find_products(program, named_leaves(params).paths)


def channels(apply, params, *inputs):
    found = products(apply, params, *inputs)
    return {p.name: w.channels for p in found for w in p.weights.values()}


def nnx_channels(layer, shape):
    graph, state = nnx.split(layer)
    (found,) = channels(lambda s, x: nnx.merge(graph, s)(x), state, np.ones(shape, "f")).values()
    return found


@pytest.mark.slow
def test_channels_of_every_kind_of_layer():
    rngs = nnx.Rngs(0)
    assert nnx_channels(nnx.Linear(4, 3, rngs=rngs), (2, 4)) == (1,)
    assert nnx_channels(nnx.Conv(4, 3, (3, 3), rngs=rngs), (2, 5, 5, 4)) == (3,)
    depthwise = nnx.Conv(4, 8, (3, 3), feature_group_count=4, rngs=rngs)
    assert 3 in nnx_channels(depthwise, (2, 5, 5, 4))
    assert nnx_channels(nnx.ConvTranspose(4, 3, (3, 3), rngs=rngs), (2, 5, 5, 4)) == (3,)
    swapped = nnx.ConvTranspose(4, 3, (3, 3), transpose_kernel=True, rngs=rngs)
    assert nnx_channels(swapped, (2, 5, 5, 4)) == (2,)
    assert nnx_channels(nnx.Einsum("bd,hdk->bhk", (5, 4, 6), rngs=rngs), (2, 4)) == (0, 2)
    general = nnx.LinearGeneral((2, 4), (3, 5), axis=(-2, -1), rngs=rngs)
    assert nnx_channels(general, (7, 2, 4)) == (2, 3)


def test_weights_that_stand_on_the_left_or_are_moved():
    linear = eqx.nn.Linear(4, 3, key=jax.random.key(0))
    arrays, rest = eqx.partition(linear, eqx.is_array)
    x = np.ones((2, 4), "f")
    assert channels(lambda p, x: jax.vmap(eqx.combine(p, rest))(x), arrays, x) == {"weight": (0,)}

    def moved(p, x):
        return x @ p["qkv"].T[:, 3:6] + x @ p["flat"].reshape(4, 3)

    params = {"qkv": np.ones((9, 4), "f"), "flat": np.ones((2, 2, 3), "f")}
    assert channels(moved, params, x) == {"qkv": (0,), "flat": (2,)}


def test_stacked_weights_have_channels_for_each_turn():
    def apply(p, x):
        return lax.scan(lambda h, w: (h @ w, None), x, p["w"])[0]

    (found,) = products(apply, {"w": np.ones((3, 4, 4), "f")}, np.ones((2, 4), "f"))
    assert found.weights[1].channels == (0, 2) and found.observable


def test_what_a_loop_computes_from_stacked_weights_has_no_channels():
    def apply(p, x):
        return x @ lax.map(lambda w: w @ w, p["w"])[1]

    (found,) = products(apply, {"w": np.ones((3, 4, 4), "f")}, np.ones((2, 4), "f"))
    assert found.weights[1].moves is None and found.weights[1].channels is None


def test_weights_without_entries():
    x = np.ones((2, 0), "f")
    assert channels(lambda p, x: x @ p["w"], {"w": np.ones((0, 3), "f")}, x) == {"w": (0, 1)}


def test_names_tell_products_of_one_weight_and_of_none_apart():
    def apply(p, x):
        h = x @ p["w"] @ p["w"]
        scores = h @ h.T
        return (scores @ h) @ (p["small"] @ p["large"])

    params = {"w": np.ones((4, 4), "f"), "small": np.ones((4, 2), "f")}
    params["large"] = np.ones((2, 9), "f")
    found = products(apply, params, np.ones((3, 4), "f"))
    assert [p.name for p in found] == ["w", "w (2)", "dot_general", "dot_general (2)", "large"]
    assert [p.activations for p in found] == [(0,), (0,), (0, 1), (0, 1), (0,)]
    assert [found[2].operand_name(k) for k in (0, 1)] == ["dot_general:0", "dot_general:1"]
    assert found[1].operand_name(0) == "w (2)"
    assert found[-1].weights[1].channels is None  # it is computed


def test_products_in_branches_and_loops_without_end_cannot_be_observed():
    def apply(p, x):
        x = lax.cond(x.sum() > 0, lambda x: x @ p, lambda x: x, x)
        return lax.while_loop(lambda x: x.sum() < 3, lambda x: x @ p, x)

    found = products(apply, jnp.ones((2, 2)), np.ones((2, 2), "f"))
    assert [p.observable for p in found] == [False, False]


def test_products_of_parameters_alone_are_none():
    assert products(lambda p, x: (p @ p).sum() * x, np.ones((2, 2), "f"), np.ones(2, "f")) == []
