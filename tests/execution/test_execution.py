"""Dense functions on compressed leaves: the same results, and no float copy of a weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.compiled import jit_for_inference
from jaxcompress.execution._functions import execute
from jaxcompress.leaves import Clustered, Half, Quantized, Sparse, dense

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 6)).astype("f")


def quantized(shape, scale_shape, zero_point=None, dtype="f"):
    scale = jnp.asarray(RNG.uniform(0.005, 0.01, scale_shape), dtype)
    values = jnp.asarray(RNG.integers(-127, 128, shape), jnp.int8)
    return Quantized(values=values, scale=scale, zero_point=zero_point, bits=8)


LEAVES = {
    "clustered": Clustered(
        codes=RNG.integers(0, 4, (6, 5)).astype(np.uint8), codebook=np.arange(3, dtype="f")
    ),
    "half": Half(values=jnp.ones((6, 5), jnp.bfloat16), dtype=np.dtype("f")),
    "sparse": Sparse(values=np.ones(3, "f"), indices=np.array([1, 7, 20], np.int32), shape=(6, 5)),
    "tensor": quantized((6, 5), (1, 1)),
    "channel": quantized((6, 5), (1, 5)),
    "inputs": quantized((6, 5), (6, 1)),
    "blocks": quantized((6, 5), (3, 5)),
    "affine": quantized((6, 5), (1, 5), jnp.full((1, 5), 3, jnp.int8)),
    "array": np.ones((6, 5), "f"),
}


def everywhere(params, x):
    return {name: (x @ leaf + leaf[0]).sum(axis=0) for name, leaf in params.items()}


def close(fast, apply, params, *inputs):
    got, wanted = fast(params, *inputs), apply(dense(params), *inputs)
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_every_leaf_type_computes_what_its_array_does():
    close(execute(everywhere), jax.jit(everywhere), LEAVES, X)


def shapes(params, x):
    wide = x @ params["wide"]
    return {
        "wide": wide,
        "left": params["left"] @ x.T,
        "vector": params["left"] @ x[0],
        "turned": x @ params["left"].T,
        "heads": jnp.einsum("bi,ihd->bhd", x, params["heads"]),
        "last": jnp.einsum("bti,hdi->hbdt", x[None], params["last"]),
        "middle": jnp.einsum("bi,hid->bhd", x, params["heads_middle"]),
        "out": jnp.einsum("bhd,hdo->bo", x.reshape(2, 2, 3), params["out"]),
        "batch": jnp.einsum("bi,bio->bo", x, params["batch"]),
        "both": params["left"] @ params["wide"],
        "outer": lax.dot_general(x, params["row"], (((), ()), ((), ()))),
        "sum": x @ params["row"],
        "empty": x[:, :0] @ params["empty"],
        "same": params["left"],
        "constant": jnp.asarray(X),
        "scan": lax.scan(lambda h, w: (jnp.tanh(h @ w + X), None), x, params["stack"])[0],
    }


PARAMS = {
    "wide": quantized((6, 300), (1, 300)),  # more than two blocks, and no multiple of one
    "left": quantized((131, 6), (131, 1)),
    "heads": quantized((6, 2, 3), (1, 2, 3)),
    "last": quantized((2, 3, 6), (2, 1, 1)),
    "heads_middle": quantized((2, 6, 3), (2, 1, 3)),
    "out": quantized((2, 3, 4), (1, 1, 4)),
    "batch": quantized((2, 6, 4), (2, 1, 4)),
    "row": quantized((6,), (1,)),
    "empty": quantized((0, 3), (1, 3)),
    "stack": quantized((2, 6, 6), (1, 1, 6)),
}


@pytest.mark.slow
def test_products_of_every_shape():
    close(execute(shapes), jax.jit(shapes), PARAMS, X)


def test_in_bfloat16():
    leaf = quantized((6, 5), (1, 5), dtype=jnp.bfloat16)
    x = jnp.ones((2, 6), jnp.bfloat16)
    got = execute(lambda w, x: x @ w)(leaf, x)
    assert got.dtype == jnp.bfloat16
    wanted = x.astype("f") @ leaf.values.astype("f") * leaf.scale.astype("f")
    np.testing.assert_allclose(got.astype("f"), wanted, rtol=0.01)


def test_weak_types_stay_weak():
    def apply(params, x):
        return x @ params["w"] * params["s"]

    leaf = quantized((6, 5), (1, 5), dtype=jnp.bfloat16)
    got = jax.eval_shape(execute(apply), {"w": leaf, "s": jnp.asarray(2.0)}, jnp.full((2, 6), 1.0))
    assert got.dtype == jnp.bfloat16


def test_gradients_of_arrays_and_inputs():
    def loss(params, x):
        return jnp.sum(jax.nn.relu(x @ params["w"] + params["b"]) ** 2) / 1e4

    leaf, fast = quantized((6, 300), (1, 300)), execute(loss)
    b = jnp.ones(300)
    got = jax.jit(jax.grad(lambda b, leaf, x: fast({"w": leaf, "b": b}, x), (0, 2)))(b, leaf, X)
    wanted = jax.jit(jax.grad(lambda b, x: loss({"w": leaf.dense(), "b": b}, x), (0, 1)))(b, X)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_under_vmap():
    leaf = quantized((6, 300), (1, 300))
    rows = jax.jit(jax.vmap(execute(lambda w, x: x @ w), (None, 0)))(leaf, X)
    np.testing.assert_allclose(rows, X @ leaf.dense(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("samples", [0, 1, 3, 9])
def test_any_number_of_samples_and_inputs(samples):
    def apply(params, x):
        return x @ params["right"], jnp.einsum("oi,bi->ob", params["left"], x)

    params = {"right": quantized((21, 130), (1, 130)), "left": quantized((130, 21), (130, 1))}
    close(execute(apply), jax.jit(apply), params, RNG.normal(size=(samples, 21)).astype("f"))


def test_a_prime_number_of_inputs_is_summed_in_few_turns():
    def apply(w, x):
        return jnp.einsum("bi,oi->bo", x, w)

    leaf, x = quantized((3, 4099), (3, 1)), RNG.normal(size=(1, 4099)).astype("f")
    fast = execute(apply)
    close(fast, jax.jit(apply), leaf, x)
    assert "length=3" in str(jax.make_jaxpr(fast)(leaf, x))


def test_operands_of_two_dtypes():
    def apply(w, x):
        return lax.dot_general(x, w, (((1,), (0,)), ((), ())))

    close(execute(apply), jax.jit(apply), quantized((6, 5), (1, 5)), jnp.ones((2, 6), jnp.bfloat16))


@pytest.mark.parametrize("compile", [jax.jit, jit_for_inference])
@pytest.mark.parametrize("samples", [1, 9])
@pytest.mark.parametrize("shape, axis", [((256, 1024), 0), ((1024, 256), 1), ((1024, 4096), 1)])
def test_weights_stay_integers_in_memory(compile, samples, shape, axis):
    def apply(w, x):
        return lax.dot_general(x, w, (((1,), (axis,)), ((), ())))

    leaf, x = quantized(shape, (1, 1)), np.ones((samples, shape[axis]), "f")
    found = compile(execute(apply)).lower(leaf, x).compile().memory_analysis()
    activations = 4 * samples * sum(shape)
    block = 4 * 128 * shape[axis]  # of which a float copy is made at a time
    assert found.argument_size_in_bytes < leaf.values.size + activations + 100
    assert found.temp_size_in_bytes < block + 3 * activations < 4 * leaf.values.size / 2
