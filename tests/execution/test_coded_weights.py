"""Coded weights in functions: the numbers of dense ones, and one in memory at a time.

Functions that are compared to the bit add multiples of a power of two that float32 has exactly:
XLA may turn a product around in one of the two programs, which then adds in another order.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.compiled import jit_for_inference
from jaxcompress.execution._functions import execute
from jaxcompress.leaves import Clustered, Coded, LowRank, Quantized, coded, dense

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.integers(-2, 3, (4, 40)), "f")


def clustered(*shape):
    codes = jnp.asarray(np.minimum(RNG.geometric(0.5, shape) - 1, 7), jnp.uint8)
    return Clustered(codes=codes, codebook=jnp.asarray([-1, 2, 0, -3, 1, 4, -2, 3], "f"))


def quantized(*shape):
    values = np.clip(np.round(RNG.normal(size=shape) * 2), -8, 7)
    scale = jnp.asarray(RNG.choice([0.25, 0.5], (*(1,) * (len(shape) - 1), shape[-1])), "f")
    return Quantized(values=jnp.asarray(values, jnp.int8), scale=scale, bits=4)


def equal(apply, leaves, *inputs, stack=0):
    small = coded(leaves, stack=stack)
    found = [isinstance(leaf, Coded) for leaf in jax.tree.leaves(small, is_leaf=is_coded)]
    assert all(found), found
    got, wanted = execute(apply)(small, *inputs), jit_for_inference(apply)(dense(leaves), *inputs)
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def near(got, wanted):
    """Sums of up to 160 products, in any order: 160 times half a unit of 2**-23 is 1e-5."""
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def is_coded(leaf):
    return isinstance(leaf, Coded)


def bounded(x):
    return jnp.clip(x, -2, 2)


def attention(p, x, weigh=jax.nn.softmax, bend=jax.nn.gelu):
    q, k, v = x @ p["q"], x @ p["k"], x @ p["v"]
    x = x + weigh(q @ k.T) @ v
    return x + bend(x @ p["up"]) @ p["down"]


ATTENTION = {
    "q": clustered(40, 40),
    "k": quantized(40, 40),
    "v": clustered(40, 40),
    "up": quantized(40, 160),
    "down": clustered(160, 40),
}


@pytest.mark.slow
def test_attention_has_the_bits_of_dense_weights():
    equal(partial(attention, weigh=bounded, bend=bounded), ATTENTION, X)


def test_weights_that_are_moved_converted_and_used_otherwise():
    def apply(p, x):
        narrow = x.astype(jnp.bfloat16) @ p["a"].astype(jnp.bfloat16)
        heads = p["a"].reshape(40, 4, 10).transpose(1, 0, 2)
        return {
            "narrow": narrow,
            "heads": jnp.einsum("bi,hid->bhd", x, heads),
            "transposed": x @ p["b"].T,
            "both": p["a"] @ p["b"],
            "rows": p["b"][jnp.array([3, 1, 3])],
            "entry": x + p["b"][2],
            "sum": (p["a"] ** 2).sum(),
            "returned": p["b"],
            "moved": p["b"].T,
            "twice": (x @ p["b"]) @ p["b"].T,
            "branches": lax.cond(x[0, 0] > 0, lambda x: x @ p["a"], lambda x: -x, x),
            "while": lax.fori_loop(0, 3, lambda k, x: bounded(x @ p["b"]), x),
        }

    equal(apply, {"a": clustered(40, 40), "b": quantized(40, 40)}, X)


def test_convolutions():
    def apply(kernel, x):
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    equal(apply, clustered(3, 3, 8, 16), jnp.asarray(RNG.integers(-9, 9, (2, 5, 5, 8)), "f"))


def test_factors():
    def apply(p, x):
        return jnp.tanh(x @ p) @ p.T

    factors = (clustered(40, 40), quantized(40, 40))
    leaf, x = LowRank(factors=factors, equation="ir,ro->io"), X
    got = execute(apply)(coded(leaf), x)
    near(got, apply(dense(leaf), x))


def layers(p, x):
    return lax.scan(lambda x, w: (bounded(x @ w), None), x, p)[0]


STACKS = {"clustered": clustered(3, 40, 40), "quantized": quantized(3, 40, 40)}


@pytest.mark.parametrize("leaf", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("stack", [0, 1])
def test_loops_over_stacked_layers(leaf, stack):
    equal(layers, leaf, X, stack=stack)


@pytest.mark.slow
def test_several_weights_of_a_layer_in_a_loop():
    def apply(p, x):
        def layer(x, w):
            inner = lax.fori_loop(0, 2, lambda k, y: bounded(y @ w["a"]), x)
            return bounded(x @ w["a"]) @ w["b"].T + inner @ w["b"], None

        return lax.scan(layer, x, p)[0]

    equal(apply, {"a": STACKS["clustered"], "b": STACKS["quantized"]}, X, stack=1)


def test_layers_of_a_stack_one_by_one():
    def apply(p, x):
        for k in range(3):
            x = bounded(x @ p[k])
        return x + layers(p, x)

    equal(apply, STACKS["quantized"], X, stack=1)
    jaxpr = str(jax.make_jaxpr(execute(apply))(coded(STACKS["quantized"], stack=1), X))
    assert "f32[3,40,40]" not in jaxpr  # no stack is decoded as a whole


def test_weights_that_a_loop_uses_at_each_turn_are_decoded_once():
    def apply(p, x):
        return lax.scan(lambda h, _: (bounded(h @ p), None), x, None, length=5)[0]

    leaf = clustered(40, 40)
    equal(apply, leaf, X)
    jaxpr = jax.make_jaxpr(execute(apply))(coded(leaf), X)
    (loop,) = [e for e in jaxpr.eqns if e.primitive.name == "scan" and e.params["length"] == 5]
    assert "u8[" not in str(loop.params["jaxpr"])


@pytest.mark.slow
def test_derivatives_by_inputs():
    small = coded(ATTENTION)
    fast = execute(attention)
    got = jax.jit(jax.grad(lambda x: fast(small, x).sum()))(X / 50)
    wanted = jax.jit(jax.grad(lambda x: attention(dense(ATTENTION), x).sum()))(X / 50)
    near(got, wanted)


@pytest.mark.slow
def test_under_vmap_weights_are_decoded_once():
    batch = jnp.stack([X, -X, 2 * X, 3 * X, 5 * X]) / 50
    fast = jax.vmap(execute(attention), (None, 0))
    small = coded(ATTENTION)
    wanted = jax.vmap(lambda x: attention(dense(ATTENTION), x))(batch)
    near(jax.jit(fast)(small, batch), wanted)
    assert "u8[5," not in str(jax.make_jaxpr(fast)(small, batch))


def temporary(function, *arguments):
    compiled = jit_for_inference(function).lower(*arguments).compile()
    return compiled.memory_analysis().temp_size_in_bytes


WIDTH = 256
ONE = WIDTH * WIDTH * 4


def deep(p, x):
    for up, side, down in zip(p[::3], p[1::3], p[2::3], strict=True):
        x = jnp.tanh(x @ up) * (x @ side.T) + x @ down
    return x


@pytest.mark.slow
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="schedules of other devices differ")
def test_two_weights_are_never_in_memory_at_once():
    """Temporaries are those of one layer: float32, and a byte for each of its integers."""
    leaves = [quantized(WIDTH, WIDTH) for _ in range(9)]
    x = jnp.ones((2, WIDTH))
    small = coded(leaves)
    one_by_one = temporary(execute(deep), small, x)
    assert ONE < one_by_one < 1.5 * ONE
    assert temporary(lambda p, x: deep(dense(p), x), small, x) > 5 * ONE  # the control


def test_a_weight_of_inputs_that_are_no_numbers():
    def apply(p, key, x):
        return jax.random.randint(key, (2, 40), -9, 9).astype("f") @ p + x[:0].sum()

    equal(apply, clustered(40, 40), jax.random.key(0), X)


def test_closed_over_leaves_are_not_folded_into_constants():
    small = coded(clustered(40, 40))
    text = jax.jit(lambda x: execute(lambda p, x: x @ p)(small, x)).lower(X).compile().as_text()
    assert "f32[40,40]{1,0} constant" not in text
