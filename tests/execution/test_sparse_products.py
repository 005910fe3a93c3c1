"""Sparse weights in products: `execute` and the peers that it is measured beside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from benchmarks.sparse.run import blocked, largest_error, padded, peers
from jaxcompress.execution._functions import execute
from jaxcompress.leaves import Sparse, dense

X = np.arange(8, dtype="f").reshape(2, 4)


def leaf(*shape):
    indices = np.arange(0, np.prod(shape), 3, dtype=np.int32)  # two zeros between entries
    return Sparse(values=np.arange(1, len(indices) + 1, dtype="f"), indices=indices, shape=shape)


def everywhere(params, x):
    image = x.reshape(1, 2, 4, 1)
    return {
        "product": x @ params["kernel"] + params["bias"],
        "turned": x @ params["kernel"].T,
        "rows": params["kernel"][jnp.array([2, 0])],
        "convolution": lax.conv_general_dilated(
            image, params["filter"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ),
        "loop": lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, params["stack"])[0],
        "itself": params["bias"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("place", [np.asarray, jnp.asarray])
def test_a_function_of_sparse_leaves_computes_what_it_does_of_arrays(place):
    shapes = {"kernel": (4, 4), "bias": (4,), "filter": (2, 2, 1, 3), "stack": (2, 4, 4)}
    params = jax.tree.map(place, {name: leaf(*shape) for name, shape in shapes.items()})
    got, wanted = execute(everywhere)(params, X), everywhere(dense(params), X)
    assert got.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-5, err_msg=name)


def test_a_sparse_product_by_hand():
    kernel = Sparse(
        values=jnp.array([2.0, -3.0]), indices=jnp.array([1, 2]), shape=(2, 2)
    )  # [[0, 2], [-3, 0]]
    fast = execute(lambda params, x: x @ params["kernel"])
    assert fast({"kernel": kernel}, jnp.array([[5.0, 7.0]])).tolist() == [[-21.0, 10.0]]


@pytest.mark.slow
def test_the_peers_give_the_product_of_their_weights():
    x = jax.random.normal(jax.random.key(0), (3, 8))
    for name, (product, parts, weights) in peers(8, 12, 0.75, block=4).items():
        assert 0 < np.count_nonzero(weights) <= weights.size / 2, name
        assert largest_error(jax.jit(product), parts, weights, x) < 1e-6, name
        assert largest_error(jax.jit(product), parts, weights + 1, x) > 1e-2, name


def test_padding_and_blocks_by_hand():
    values, places = padded(np.array([[0, 5], [6, 7], [0, 0]], "f"))
    assert values.tolist() == [[6, 0], [5, 7]] and places.tolist() == [[1, 0], [0, 1]]
    weights, kept = blocked(8, 4, 0.75, 2)
    held = weights.reshape(4, 2, 2, 2).any(axis=(1, 3))
    assert kept == 1 and held.sum(axis=0).tolist() == [1, 1]
