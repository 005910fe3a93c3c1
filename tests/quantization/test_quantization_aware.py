"""Quantization-aware training: what is trained is what is stored, in every kind of function."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

import jaxcompress as jc
from jaxcompress.leaves import Quantized
from jaxcompress.nnx import functional
from jaxcompress.quantization._aware import quantization_aware
from jaxcompress.quantization._granularity import per_tensor
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization.calibration import calibrate
from jaxcompress.quantization.grids import make_grid, on_grid
from jaxcompress.trees import named_leaves
from tests.helpers.small_nets import Normed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype(np.float32)
PARAMS = {
    "hidden": RNG.normal(size=(4, 16)).astype(np.float32),
    "bias": RNG.normal(size=16).astype(np.float32),
    "out": RNG.normal(size=(16, 3)).astype(np.float32),
}
PARTS = {"params": "params", "steps": "steps"}


def mlp(params, x):
    return jax.nn.relu(x @ params["hidden"] + params["bias"]) @ params["out"]


def same(one, other):
    return all(
        np.array_equal(np.asarray(a), np.asarray(b)) and a.dtype == b.dtype
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def images(params, x):
    x = lax.conv_general_dilated(
        x, params["conv"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return {"logits": jax.nn.silu(x).reshape(len(x), -1) @ params["dense"].T}


def looped(params, x):
    return lax.scan(lambda h, w: (jax.nn.silu(h @ w), h.sum()), x, params["stacked"])


def half_precise(params, x):
    return mlp(params, x.astype(jnp.bfloat16))


def normals(*shape, dtype=np.float32):
    return jnp.asarray(RNG.normal(size=shape), dtype)


CASES = {
    "mlp": (mlp, PARAMS, X, {"hidden": (1, 16), "out": (1, 3)}),
    "images": (
        images,
        {"conv": normals(3, 3, 2, 4), "dense": normals(5, 64)},
        normals(2, 4, 4, 2),
        {"conv": (1, 1, 1, 4), "dense": (5, 1)},
    ),
    "looped": (looped, {"stacked": normals(3, 4, 4)}, X, {"stacked": (3, 1, 4)}),
    "half precise": (
        half_precise,
        jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), PARAMS),
        X,
        {"hidden": (1, 16), "out": (1, 3)},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_stored_is_what_was_trained(name):
    apply, params, x, shapes = CASES[name]
    aware = quantization_aware(apply, None, bits=4)
    trainable = aware.init(params, x)
    stored = aware.quantize(trainable)
    kept = {path: leaf for path, leaf in stored.items() if isinstance(leaf, Quantized)}
    assert {path: leaf.scale.shape for path, leaf in kept.items()} == shapes
    assert all(leaf.dtype == params[path].dtype and leaf.bits == 4 for path, leaf in kept.items())
    assert same(jax.jit(aware.apply)(trainable, x), jax.jit(apply)(jc.dense(stored), x))


def test_arrays_of_numpy_in_double_precision():
    aware = quantization_aware(mlp, None, bits=4)
    wide = jax.tree.map(np.float64, PARAMS)
    trainable, other = aware.init(wide, X), aware.init(PARAMS, X)
    np.testing.assert_allclose(
        aware.apply(trainable, X), aware.apply(other, X), rtol=1e-4, atol=1e-6
    )
    assert aware.quantize(trainable)["out"].dtype == np.float32


@pytest.mark.slow
def test_qparams_of_activations_are_those_of_single_precision():
    """As they are simulated, in half precision too, which would round the scales themselves."""
    params, x = {"w": jnp.eye(4, dtype=jnp.bfloat16)}, jnp.asarray(X, jnp.bfloat16)

    def apply(params, x):
        return x @ params["w"]

    aware = quantization_aware(apply, calibrate(apply, params, [x]))
    trainable = aware.init(params, x)
    qparams = aware.activation_qparams(trainable)["w"]
    wanted = on_grid(x.astype(jnp.float32), qparams, make_grid(8, symmetric=False))
    assert same(aware.apply(trainable, x), wanted.astype(jnp.bfloat16))


def test_training_starts_where_quantize_and_calibrate_end():
    ranges = calibrate(mlp, PARAMS, [X])
    aware = quantization_aware(mlp, ranges, bits=8, weight_bits=3)
    trainable = aware.init(PARAMS, X)
    for one, other in zip(
        jax.tree.leaves(aware.quantize(trainable)),
        jax.tree.leaves(quantize(PARAMS, 3)),
        strict=True,
    ):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-6)
    qparams = aware.activation_qparams(trainable)
    low, high = ranges["hidden"].low, ranges["hidden"].high
    np.testing.assert_allclose(qparams["hidden"].scale, (high - low) / 255, rtol=1e-5)
    assert qparams["out"].zero_point == -128  # behind the ReLU
    assert aware.left_float(PARAMS, X) == {}


def loss_of(aware, x, y):
    def loss(trainable):
        logits = aware.apply(trainable, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    return loss


def train(loss, tx, trainable, steps):
    def step(carry, _):
        trainable, state = carry
        updates, state = tx.update(jax.grad(loss)(trainable), state, trainable)
        return (optax.apply_updates(trainable, updates), state), None

    @jax.jit
    def all_steps(trainable):
        carry = (trainable, tx.init(trainable))
        return lax.scan(step, carry, length=steps)[0][0]

    return all_steps(trainable)


LABELS = np.argmax(mlp(PARAMS, X), axis=1)


@pytest.mark.slow
def test_training_beats_rounding_after_training():
    """The weights fit their labels perfectly until they are rounded."""
    ranges = calibrate(mlp, PARAMS, [X])
    aware = quantization_aware(mlp, ranges, bits=4, weight_bits=2)
    trainable = aware.init(PARAMS, X)
    loss = loss_of(aware, X, LABELS)
    trained = train(loss, optax.adam(0.01), trainable, 200)
    before, after = jax.jit(lambda *both: tuple(map(loss, both)))(trainable, trained)
    assert after < 0.8 * before
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), trained["steps"], trainable["steps"])
    scales = [*moved["weights"].values(), *moved["activations"].values()]
    assert all(learned.exponent for learned in scales)  # the zero points of ReLUs may well stay


@pytest.mark.slow
def test_what_is_pruned_stays_pruned_and_what_is_shared_shared():
    pruned = {**PARAMS, "out": PARAMS["out"] * (abs(PARAMS["out"]) > 0.5)}
    shared = jc.kmeans(pruned, 4)
    start = jc.dense(shared)
    aware = quantization_aware(mlp, None, bits=4, granularity=per_tensor)
    trainable = aware.init(start, X)
    tx = optax.partition(
        {
            "params": jc.share_centroids(optax.adam(0.03), {"params": shared}),
            "steps": optax.adam(0.03),
        },
        PARTS,
    )
    trained = train(loss_of(aware, X, LABELS), tx, trainable, 20)
    stored = jc.dense(aware.quantize(trained))
    for path in ("hidden", "out"):
        assert not np.array_equal(trained["params"][path], start[path])
        assert (stored[path][start[path] == 0] == 0).all()
        assert len(np.unique(stored[path][start[path] != 0])) <= 4


def test_a_mask_is_held_on_grids_of_every_channel():
    mask = jc.magnitude_mask(PARAMS, 0.5)
    aware = quantization_aware(mlp, None, bits=2)
    chain = optax.chain(optax.adamw(0.03), jc.hold_mask({"params": mask}))
    tx = optax.partition({"params": chain, "steps": optax.adam(0.03)}, PARTS)
    start = aware.init(jc.apply_mask(PARAMS, mask), X)
    trained = train(loss_of(aware, X, LABELS), tx, start, 20)
    stored = jc.dense(aware.quantize(trained))
    for path in ("hidden", "out"):
        assert (np.asarray(stored[path])[~mask[path]] == 0).all()


@pytest.mark.slow
def test_ranges_of_inference_fit_the_function_in_training_mode():
    net = functional(Normed)
    params, stats = net.init(jax.random.key(0))
    x = normals(8, 5, 5, 2)
    ranges = calibrate(net.apply, params, [(stats, x)])
    aware = quantization_aware(net.apply_training, ranges, bits=8)
    trainable = aware.init(params, stats, x)
    assert list(trainable["steps"]["activations"]) == ["conv/kernel", "dense/kernel"]

    @jax.jit
    def both(trainable):
        def total(trainable):
            logits, changed = aware.apply(trainable, stats, x)
            return jnp.sum(logits**2), (logits, changed)

        return jax.grad(total, has_aux=True)(trainable), net.apply_training(params, stats, x)

    (slopes, (logits, changed)), (wanted, wanted_stats) = both(trainable)
    np.testing.assert_allclose(logits, wanted, atol=0.1)
    assert not np.array_equal(logits, wanted)
    assert jax.tree.structure(changed) == jax.tree.structure(wanted_stats)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(slopes["params"]["dense"]))


def odd(params, x):
    h = x @ (params["small"] @ params["large"])
    h = h @ params["tied"] @ params["tied"].T
    return lax.cond(h.sum() > 0, lambda h: h @ params["tied"], lambda h: h, h)


def test_what_cannot_be_rounded_is_left_and_listed():
    params = {"small": normals(4, 2), "large": normals(2, 6), "tied": normals(6, 6)}
    ranges = calibrate(odd, params, [X])
    aware = quantization_aware(odd, ranges)
    trainable = aware.init(params, X)
    # Neither axis of the tied weights is free of sums in all products: one scale for all.
    assert {path: grid.exponent.shape for path, grid in trainable["steps"]["weights"].items()} == {
        "tied": (1, 1)
    }
    left = aware.left_float(params, X)
    assert left == {
        "weight of large": "it is computed",
        "tied (3)": "it lies in a branch or a while loop",
    }
    paths = named_leaves(
        aware.quantize(trainable), is_leaf=lambda leaf: isinstance(leaf, Quantized)
    ).paths
    assert paths == ["large", "small", "tied"]


def test_mistakes_are_named():
    ranges = calibrate(mlp, PARAMS, [X])
    with pytest.raises(ValueError, match="hidden: ranges must be for products .* among net/hidden"):
        quantization_aware(lambda p, x: mlp(p["net"], x), ranges).init({"net": PARAMS}, X)
    with pytest.raises(ValueError, match="bits: must be 2 to 8 .* got 1"):
        quantization_aware(mlp, ranges, bits=1)
    with pytest.raises(ValueError, match="scope: no leaf is chosen"):
        quantization_aware(lambda p, x: x, None).init(PARAMS, X)
