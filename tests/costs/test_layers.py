"""Times of single products: each once, those of loops as often as they run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress.costs import layer_times


def apply(params, x):
    def turn(h, w):
        return jax.nn.relu(h @ w), None

    h, _ = jax.lax.scan(turn, x @ (2 * params["in"]), params["stack"])
    scores = h @ h.T
    return (scores @ h) @ params["out"]


PARAMS = {
    "in": np.ones((6, 8), np.float32),
    "stack": np.ones((3, 8, 8), np.float32),
    "out": np.ones((8, 2), np.float32),
}


def test_each_product_is_a_line_with_its_parameter():
    found = layer_times(apply, PARAMS, np.ones((5, 6), np.float32), batches=(1, 4), rounds=2)
    assert [(each.path, each.batch_size, each.calls) for each in found] == [
        (path, batch, 3 if path == "stack" else 1)
        for batch in (1, 4)
        for path in ("in", "stack", "", "", "out")
    ]
    assert found[5].shapes == ((4, 6), (6, 8)) and found[6].shapes == ((4, 8), (8, 8))
    assert all(each.ms > 0 for each in found)


def test_products_of_equal_shapes_take_the_same_time():
    params = {"a": np.ones((4, 4), np.float32), "b": np.ones((4, 4), np.float32)}
    one, two = layer_times(lambda p, x: x @ p["a"] @ p["b"], params, np.ones((2, 4)), rounds=2)
    assert (one.path, two.path) == ("a", "b") and one.ms == two.ms


def test_products_of_half_precision_are_measured():
    params = {"a": jnp.ones((4, 4), jnp.bfloat16)}
    (found,) = layer_times(lambda p, x: x @ p["a"], params, jnp.ones((2, 4), jnp.bfloat16))
    assert found.path == "a"


@pytest.mark.parametrize(
    ("options", "word"), [({"rounds": 1}, "rounds"), ({"batches": 0}, "batches")]
)
def test_what_cannot_be_measured_is_refused(options, word):
    with pytest.raises(ValueError, match=f"^{word}: must be"):
        layer_times(apply, PARAMS, np.ones((5, 6), np.float32), **options)
