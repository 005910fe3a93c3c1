"""Biases that make up for rounding: by hand, through norms, and the mean error that is left."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.leaves import Quantized, dense
from jaxcompress.quantization._bias_correction import correct_biases
from tests.helpers.traced_nets import conv

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def rounded(array, bits=3):
    highest = 2 ** (bits - 1) - 1
    scale = np.abs(array).max(keepdims=True) / np.float32(highest)
    return Quantized(values=np.round(array / scale).astype(np.int8), scale=scale, bits=bits)


def linear(p, x):
    return x @ p["w"] + p["b"]


def test_a_bias_by_hand():
    tree = {"w": np.array([[1.25, 2.0], [2.5, 3.0]], np.float32), "b": np.zeros(2, np.float32)}
    leaf = Quantized(
        values=np.array([[1, 2], [3, 3]], np.int8), scale=np.ones((1, 1), np.float32), bits=3
    )
    # Means of x are 2 and -1 over the three samples, whatever the batches.
    batches = [np.array([[1, 1], [5, -2]], np.float32), np.array([[0, -2]], np.float32)]
    corrected = correct_biases(linear, tree, {"w": leaf, "b": tree["b"]}, batches)
    assert corrected["b"].tolist() == [2 * 0.25 + -1 * -0.5, 0]
    assert corrected["w"] is leaf and not tree["b"].any()


def by_norm(p, x):
    y = conv(x, p["w"]) + p["b"]
    return (y - p["mean"]) * lax.rsqrt(p["var"] + 1e-3) * p["scale"]


def by_heads(p, x):
    y = lax.dot_general(x, p["heads"], (((3,), (0,)), ((1,), (2,))))  # the head is its last axis
    return y + p["bias"][:, None, None]


def divided(p, x):
    return (p["up"] - lax.conv_transpose(x, p["w"], (2, 2), "SAME")) / -2


@pytest.mark.parametrize("apply", [by_norm, by_heads, divided])
def test_means_of_channels_come_back(apply):
    tree = {"w": draw(3, 3, 4, 5), "b": draw(5), "mean": draw(5), "scale": draw(5), "up": draw(5)}
    tree |= {"var": draw(5) ** 2, "heads": draw(4, 3, 4), "bias": draw(4, 3)}
    quantized = tree | {name: rounded(tree[name]) for name in ("w", "heads")}
    x = abs(draw(6, 4, 4, 4))
    corrected = correct_biases(apply, tree, quantized, [x[:4], x[4:]])
    results = [np.asarray(apply(dense(t), x)) for t in (tree, quantized, corrected)]
    axes = (1, 2) if apply is by_heads else (0, 1, 2)
    wanted, before, after = (result.mean(axes) for result in results)
    assert np.abs(before - wanted).max() > 0.02
    np.testing.assert_allclose(after, wanted, atol=1e-5)
    assert jax.tree.structure(corrected) == jax.tree.structure(quantized)
    changed = [name for name in tree if corrected[name] is not quantized[name]]
    assert changed == {by_norm: ["mean"], by_heads: ["bias"], divided: ["up"]}[apply]


def test_the_mean_error_of_layers_falls():
    def apply(p, x):
        return linear(p["b"], jax.nn.relu(linear(p["a"], x)))

    tree = {"a": {"w": draw(8, 16), "b": draw(16)}, "b": {"w": draw(16, 3), "b": draw(3)}}
    quantized = {name: {"w": rounded(layer["w"]), "b": layer["b"]} for name, layer in tree.items()}
    x = abs(draw(100, 8))
    corrected = correct_biases(apply, tree, quantized, [x[:50], x[50:]])
    wanted = apply(tree, x).mean(0)
    before, after = (
        np.abs(apply(dense(t), x).mean(0) - wanted).max() for t in (quantized, corrected)
    )
    assert after < before / 3


@pytest.mark.parametrize(
    "apply",
    [
        lambda p, x: x @ p["w"],
        lambda p, x: jnp.tanh(x @ p["w"]) + p["b"],
        lambda p, x: linear(p, x) + p["b"].sum(),
        lambda p, x: linear(p, linear(p, x)),
    ],
    ids=["no bias", "a bias behind something else", "a bias that is read twice", "shared"],
)
def test_layers_without_a_bias_of_their_own_stay(apply):
    tree = {"w": draw(2, 2), "b": draw(2)}
    quantized = tree | {"w": rounded(tree["w"])}
    corrected = correct_biases(apply, tree, quantized, [draw(3, 2)])
    assert corrected["w"] is quantized["w"] and corrected["b"] is tree["b"]


def test_weights_that_rounding_left_alone_keep_their_bias():
    tree = {"w": draw(2, 2), "b": draw(2)}
    assert correct_biases(linear, tree, dict(tree), [draw(3, 2)])["b"] is tree["b"]


def test_bad_input():
    tree = {"w": draw(2, 2), "b": draw(2)}
    quantized = tree | {"w": rounded(tree["w"])}
    with pytest.raises(ValueError, match="batches: must hold at least one batch, got none"):
        correct_biases(linear, tree, quantized, [])
    with pytest.raises(ValueError, match="b: quantized must have the shape of tree"):
        correct_biases(linear, tree, quantized | {"b": draw(3)}, [draw(3, 2)])
    with pytest.raises(ValueError, match="w: must be finite, got 2 NaN or infinite of 2"):
        correct_biases(linear, tree, quantized, [np.full((3, 2), np.nan, np.float32)])
