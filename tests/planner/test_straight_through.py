"""Training of rounded weights: what the network sees is what the file holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.planner import encoded_again, rounded

WEIGHTS = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
MOVED = WEIGHTS + 0.3 * np.random.default_rng(1).standard_normal((12, 6)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "leaf",
    [
        *(jc.quantize({"w": WEIGHTS}, bits)["w"] for bits in (1, 2, 4, 8)),
        jc.quantize({"w": WEIGHTS}, 4, symmetric=False)["w"],
        jc.kmeans({"w": WEIGHTS}, 5)["w"],
    ],
    ids=["1 bit", "2 bits", "4 bits", "8 bits", "affine", "shared"],
)
def test_the_file_holds_what_training_saw(leaf):
    view = rounded({"w": leaf})
    seen = np.asarray(view({"w": jnp.asarray(MOVED)})["w"])
    stored = jc.dense(encoded_again({"w": MOVED}, {"w": leaf}))["w"]
    np.testing.assert_allclose(seen, stored, rtol=1e-6, atol=1e-7)
    assert len(np.unique(stored)) > 1
    gradient = jax.grad(lambda w: view({"w": w})["w"].sum())(jnp.asarray(MOVED))
    np.testing.assert_array_equal(np.asarray(gradient), np.asarray(jc.dense({"w": leaf})["w"]) != 0)
