"""Ranges made equal across layers: by hand, and only where the function stays the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress.quantization.grids import make_grid, on_grid, qparams_for
from jaxcompress.rewrite._equalize import equalize
from jaxcompress.units.silence import relative_difference
from tests.helpers.traced_nets import batch_norm, conv, make

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def uneven(tree):
    """Give every output channel of weights a size of its own, from 1/10 to 10."""
    return jax.tree.map(
        lambda a: a * 10 ** RNG.uniform(-1, 1, a.shape[-1]).astype(np.float32) if a.ndim > 1 else a,
        tree,
    )


def ranges(array, axis):
    return np.abs(np.asarray(array)).max(tuple(k for k in range(array.ndim) if k != axis))


def unchanged(apply, tree, *inputs):
    equal = equalize(apply, tree, *inputs)
    return all(a is b for a, b in zip(jax.tree.leaves(equal), jax.tree.leaves(tree), strict=True))


def in_bits(tree, bits=6):
    def rounded(a):
        grid = make_grid(bits)
        low, high = np.asarray(a.min()), np.asarray(a.max())
        return on_grid(a, qparams_for(low, high, grid), grid) if a.ndim > 1 else a

    return jax.tree.map(rounded, tree)


def test_three_layers_by_hand():
    def apply(p, x):
        x = jax.nn.relu(x @ p["a"] + p["bias"])
        return jax.nn.relu(x @ p["b"]) @ p["c"]

    tree = {
        "a": np.array([[8, 0, 1]], np.float32),
        "bias": np.array([4, 5, -6], np.float32),
        "b": np.array([[2, 1], [7, 0], [-4, 0]], np.float32),
        "c": np.array([[1], [-2]], np.float32),
    }
    equal = equalize(apply, tree, np.array([[1], [-1]], np.float32))
    assert equal["a"][0, 1] == 0 and equal["bias"][1] == 5
    made, read = ranges(equal["a"], 1), ranges(equal["b"], 0)
    np.testing.assert_allclose(made[[0, 2]], read[[0, 2]], rtol=3e-3)
    np.testing.assert_allclose(ranges(equal["b"], 1), ranges(equal["c"], 0), rtol=3e-3)
    np.testing.assert_allclose(equal["bias"][0] / equal["a"][0, 0], 0.5, rtol=1e-5)
    np.testing.assert_allclose(equal["bias"][2] / equal["a"][0, 2], -6, rtol=1e-5)


def test_the_range_of_a_depthwise_layer():
    def apply(p, x):
        x = jax.nn.relu(conv(x, p["expand"]) + p["bias"])
        x = jax.nn.relu(batch_norm(conv(x, p["depth"], feature_group_count=6), p["bn"]))
        return conv(x, p["project"])

    s, t = (10 ** RNG.uniform(-1, 1, 6).astype(np.float32) for _ in range(2))
    tree = {
        "expand": draw(1, 1, 2, 6) * s,
        "bias": draw(6) * s,
        "depth": draw(3, 3, 1, 6) / s * t,
        "bn": {"mean": draw(6) * t, "var": draw(6), "scale": draw(6), "bias": draw(6) * t},
        "project": draw(1, 1, 6, 3) / t[:, None],
    }
    x = draw(2, 4, 4, 2)
    equal = equalize(apply, tree, x)
    made, between = ranges(equal["expand"], 3), ranges(equal["depth"], 3)
    np.testing.assert_allclose(made, between, rtol=3e-3)
    np.testing.assert_allclose(between, ranges(equal["project"], 2), rtol=3e-3)
    compiled = jax.jit(apply)
    wanted = compiled(tree, x)
    before, after = (relative_difference(compiled(in_bits(p), x), wanted) for p in (tree, equal))
    assert relative_difference(compiled(equal, x), wanted) < 1e-5
    assert after < before / 3


def test_layers_that_share_channels_share_their_factors():
    apply, tree, inputs = make("residual")
    tree = uneven(tree)
    equal = equalize(apply, tree, *inputs)
    assert relative_difference(*(jax.jit(apply)(p, *inputs) for p in (equal, tree))) < 1e-5
    by = ranges(equal["stem"], 3) / ranges(tree["stem"], 3)  # conv2 reads conv1, which is scaled
    inverse = equal["head"] / tree["head"]
    np.testing.assert_allclose(inverse * by[:, None], 1, rtol=1e-5)
    made = np.maximum(ranges(equal["stem"], 3), ranges(equal["conv2"], 3))
    read = np.maximum(ranges(equal["conv1"], 2), ranges(equal["head"], 0))
    np.testing.assert_allclose(made, read, rtol=3e-3)
    np.testing.assert_allclose(ranges(equal["conv1"], 3), ranges(equal["conv2"], 2), rtol=3e-3)


MOVED = {
    "flatten": (lambda p: p["a"], lambda p: p["w"].reshape(9, 4, 5).swapaxes(1, 2)),
    "unflatten": (lambda p: p["up"].reshape(-1, 4), lambda p: p["conv"].swapaxes(2, 3)),
    # A channel of each of two groups of 3 makes a unit.
    "grouped": (
        lambda p: p["grouped"].reshape(-1, 3),
        lambda p: p["b"].reshape(2, 3, 3).swapaxes(1, 2),
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_channels_that_are_moved(name):
    apply, tree, inputs = make(name)
    tree = uneven(tree)
    equal = equalize(apply, tree, *inputs)
    assert relative_difference(*(jax.jit(apply)(p, *inputs) for p in (equal, tree))) < 1e-5
    made, read = (ranges(array, array.ndim - 1) for array in (side(equal) for side in MOVED[name]))
    np.testing.assert_allclose(made, read, rtol=3e-3)


@pytest.mark.parametrize(
    "between",
    [jnp.tanh, jax.nn.silu, jax.nn.relu6, lambda x: x - x.mean(-1, keepdims=True) + 1],
)
def test_what_is_not_homogeneous_stays(between):
    def apply(p, x):
        return between(x @ p["a"]) @ p["b"]

    assert unchanged(apply, {"a": draw(2, 3), "b": draw(3, 2)}, draw(4, 2))


def test_clipping_that_only_the_factors_reach_is_noticed():
    def apply(p, x):
        return jnp.clip(jax.nn.relu(x @ p["a"]) @ p["b"], -100, 100) @ p["c"]

    tree = {"a": draw(2, 3), "b": 1e-3 * draw(3, 3), "c": 1e11 * draw(3, 2)}
    x = draw(4, 2)
    equal = equalize(apply, tree, x)
    assert relative_difference(apply(equal, x), apply(tree, x)) < 1e-5
    assert equal["c"] is tree["c"]
    np.testing.assert_allclose(ranges(equal["a"], 1), ranges(equal["b"], 0), rtol=3e-3)


def test_products_of_bfloat16_with_weights_of_float32():
    def apply(p, x):
        p = jax.tree.map(lambda a: a.astype(jnp.bfloat16), p)
        return (jax.nn.relu(x.astype(jnp.bfloat16) @ p["a"]) @ p["b"]).astype(jnp.float32)

    equal = equalize(apply, uneven({"a": draw(4, 5), "b": draw(5, 3)}), draw(8, 4))
    np.testing.assert_allclose(ranges(equal["a"], 1), ranges(equal["b"], 0), rtol=3e-3)


def test_weights_and_offsets_that_others_read_stay():
    def apply(p, x):
        return jax.nn.relu(jax.nn.relu(x @ p["a"] + p["c"]) @ p["b"] + p["c"]) @ p["b"]

    assert unchanged(apply, {"a": draw(2, 3), "b": draw(3, 3), "c": draw(3)}, draw(4, 2))


def test_inputs_must_have_values():
    shape = jax.ShapeDtypeStruct((1, 2), np.float32)
    with pytest.raises(TypeError, match="inputs: must be arrays with values, got shapes"):
        equalize(lambda p, x: x @ p, draw(2, 2), shape)
