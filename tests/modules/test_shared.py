"""One module in two places, and modules that are called with keywords: NNX, Linen, Equinox."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jaxcompress as jc
from jaxcompress.modules import at_sizes, rebuild

ROWS = np.random.default_rng(0).standard_normal((2, 6)).astype("f")


# NNX


class Twice(nnx.Module):
    """The same block twice in a list, and a layer that stands in the list and beside it."""

    def __init__(self, hidden, rngs, last=True):
        block = nnx.Sequential(
            nnx.Linear(6, hidden, rngs=rngs), nnx.tanh, nnx.Linear(hidden, 6, rngs=rngs)
        )
        self.a = nnx.Linear(6, 6, rngs=rngs)
        other = nnx.Linear(6, 6, rngs=rngs)
        self.blocks = nnx.List([block, self.a, block, *([other] if last else [])])

    def __call__(self, x, *, scale=1.0):
        for block in self.blocks:
            x = x + scale * block(x)
        return self.a(x)


def arrays_of(module):
    return nnx.to_pure_dict(nnx.state(module))


def test_nnx_blocks_that_are_one_module_are_called_as_often_as_before(tmp_path):
    module, small = Twice(8, nnx.Rngs(0)), Twice(5, nnx.Rngs(1))
    jc.save(tmp_path / "small.npz", arrays_of(small))
    found = rebuild(module, jc.load(tmp_path / "small.npz"), ROWS)
    assert len(found.blocks) == 4 and found.blocks[0] is found.blocks[2]
    assert found.blocks[1] is found.a
    np.testing.assert_array_equal(found(ROWS), small(ROWS))


def test_functions_of_nnx_modules_call_a_shared_block_as_often_as_the_module():
    net = jc.nnx.functional(partial(Twice, 8))
    params, stats = net.init(jax.random.key(0))
    module = Twice(8, nnx.Rngs(0))
    nnx.update(module, params)
    np.testing.assert_allclose(net.apply(params, stats, ROWS), module(ROWS), rtol=1e-5, atol=1e-6)


def test_which_of_shared_nnx_blocks_are_dropped_is_not_guessed():
    less = arrays_of(Twice(8, nnx.Rngs(0), last=False))
    with pytest.raises(ValueError, match=r"^blocks: must have arrays for all 2 .* got 1; build"):
        rebuild(Twice(8, nnx.Rngs(0)), less, ROWS)


class Tied(nnx.Module):
    def __init__(self, width, rngs):
        self.first = nnx.Linear(6, width, rngs=rngs)
        self.second = self.first

    def __call__(self, x):
        return self.second(self.first(x)[:, :6]).sum(axis=1)


def test_arrays_of_one_nnx_module_in_two_places_are_given_once():
    small = Tied(6, nnx.Rngs(1))
    tree = arrays_of(small)
    found = rebuild(Tied(8, nnx.Rngs(0)), tree, ROWS)
    assert found.first is found.second and found.second.out_features == 6
    np.testing.assert_array_equal(found(ROWS), small(ROWS))
    twice = {"first": tree["first"], "second": tree["first"]}
    with pytest.raises(ValueError, match=r"^second/bias: must be left out, as it is first/bias"):
        rebuild(Tied(8, nnx.Rngs(0)), twice, ROWS)


# Linen


class Inner(linen.Module):
    hidden: int
    options: Any = None

    @linen.compact
    def __call__(self, x):
        return linen.Dense(x.shape[-1])(jnp.tanh(linen.Dense(self.hidden)(x)))


class Outer(linen.Module):
    one: linen.Module
    two: linen.Module
    more: tuple[linen.Module, ...] = ()

    def __call__(self, x):
        for each in (self.one, self.two, *self.more):
            x = each(x)
        return x


def shared(hidden, other=4):
    inner = Inner(hidden)
    return Outer(inner, inner, (Inner(other), inner))


@pytest.mark.slow
def test_a_linen_module_in_several_places_is_solved_for_once():
    small = shared(5, 3)
    variables = small.init(jax.random.key(0), ROWS)
    assert len(variables["params"]) == 2, "Linen keeps the arrays once"
    found = rebuild(shared(8), variables, ROWS)
    assert found == small and found.one is found.two is found.more[1]
    np.testing.assert_array_equal(found.apply(variables, ROWS), small.apply(variables, ROWS))


def test_equal_linen_modules_that_are_two_stay_two():
    small = Outer(Inner(5), Inner(3))
    variables = small.init(jax.random.key(0), ROWS)
    assert rebuild(Outer(Inner(8), Inner(8)), variables, ROWS) == small


class Parted(linen.Module):
    layer: Any

    @linen.compact
    def __call__(self, x, *, train):
        x = linen.Dropout(0.5, deterministic=not train)(self.layer()(x))
        return linen.BatchNorm(use_running_average=not train)(x)


def parted(features):
    return Parted(partial(linen.Dense, features=features))


@pytest.mark.slow
def test_sizes_in_the_keywords_of_a_partial_are_fields():
    variables = parted(5).init(jax.random.key(0), ROWS, train=False)
    with pytest.raises(ValueError, match="^tree: must give outputs as wide as the module's"):
        rebuild(parted(8), variables, ROWS, train=False)  # found, and wider than the output

    class Last(linen.Module):
        body: Any

        @linen.compact
        def __call__(self, x, *, train):
            return linen.Dense(2)(self.body(x, train=train))

    variables = Last(parted(5)).init(jax.random.key(0), ROWS, train=False)
    found = rebuild(Last(parted(8)), variables, ROWS, train=False)
    assert found.body.layer.keywords == {"features": 5} and found.body.layer.func is linen.Dense
    made = at_sizes(Last(parted(8)), ROWS, train=False)
    leaves = jc.scopes.named_leaves(variables)
    sizes = {path: leaf.shape for path, leaf in zip(leaves.paths, leaves.leaves, strict=True)}
    assert made(sizes)(variables, ROWS, train=False).shape == (2, 2)


# Equinox


class Reused(eqx.Module):
    first: eqx.nn.MLP
    layers: list[eqx.nn.MLP]

    def __init__(self, hidden, key):
        self.first = eqx.nn.MLP(6, 6, hidden, 1, key=key)
        self.layers = [self.first, eqx.nn.MLP(6, 6, hidden, 1, key=key), self.first]

    def __call__(self, x, *, key=None, inference=False):
        assert inference
        for layer in self.layers:
            x = layer(x, key=key)
        return x


@pytest.mark.slow
def test_equinox_modules_in_two_places_are_one_again_where_their_arrays_are_equal():
    small = Reused(5, jax.random.key(1))
    arrays = eqx.filter(small, eqx.is_array)
    found = rebuild(Reused(8, jax.random.key(0)), arrays, ROWS[0], inference=True)
    assert found.first is found.layers[0] is found.layers[2] is not found.layers[1]
    np.testing.assert_array_equal(found(ROWS[0], inference=True), small(ROWS[0], inference=True))
    apart = eqx.tree_at(lambda m: m.layers[2].layers[0].bias, arrays, np.ones(5, "f"))
    found = rebuild(Reused(8, jax.random.key(0)), apart, ROWS[0], inference=True)
    assert found.layers[0] is not found.layers[2], "Equinox computes with both"
    np.testing.assert_array_equal(found.layers[2].layers[0].bias, np.ones(5))


def test_what_equinox_shares_by_its_own_layer_is_shared_again():
    def net(width, seed):
        one, other = jax.random.split(jax.random.key(seed))
        embed = eqx.nn.Embedding(7, width, key=one)
        pair = (embed, eqx.nn.Linear(width, 7, use_bias=False, key=other))
        return eqx.nn.Shared(pair, lambda p: p[1].weight, lambda p: p[0].weight)

    class Net(eqx.Module):
        shared: eqx.nn.Shared

        def __call__(self, token):
            embed, head = self.shared()
            return head(embed(token))

    small, token = Net(net(4, 1)), jnp.array(3)
    found = rebuild(Net(net(6, 0)), eqx.filter(small, eqx.is_array), token)
    np.testing.assert_array_equal(found(token), small(token))


# All of them


def test_keywords_that_no_call_takes_are_refused():
    module = eqx.nn.Linear(6, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"^inputs: must be those of one call of the module, got"):
        rebuild(module, eqx.filter(module, eqx.is_array), ROWS[0], training=True)


def test_functions_and_nnx_modules_take_keywords():
    def apply(params, x, *, scale):
        return x @ params["w"] * scale

    tree = {"w": np.ones((6, 2), "f")}
    assert rebuild(apply, tree, ROWS, scale=jnp.float32(2)) is apply
    module = Twice(8, nnx.Rngs(0))
    assert rebuild(module, arrays_of(module), ROWS, scale=0.5)(ROWS).shape == (2, 6)
