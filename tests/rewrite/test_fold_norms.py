"""Norms folded into the weights before them: by hand, for every kind of layer, and what is left."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax import lax

from jaxcompress.nnx import functional
from jaxcompress.rewrite._fold_norms import FoldedLayer, fold_norms, folded_layers
from jaxcompress.units.silence import relative_difference
from nets.resnet import ResNet, ResNetConfig

RNG = np.random.default_rng(0)


def f32(*values):
    return np.array(values, np.float32)


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def bn(n):
    return {
        "mean": draw(n),
        "var": RNG.uniform(0.2, 2.0, n).astype(np.float32),
        "scale": draw(n),
        "bias": draw(n),
    }


def norm(y, p):
    return (y - p["mean"]) * lax.rsqrt(p["var"] + 1e-3) * p["scale"] + p["bias"]


def difference(apply, tree, *inputs):
    """Return how much folding changes, compared here and not within."""
    compiled, shapes = jax.jit(apply), jax.eval_shape(lambda: inputs)
    folded = fold_norms(apply, tree, *shapes)
    assert jax.tree.structure(folded) == jax.tree.structure(tree)
    results = (jax.tree.leaves(compiled(t, *inputs)) for t in (folded, tree))
    return max(map(relative_difference, *results))


def filled(shapes):
    return jax.tree.map(
        lambda a: RNG.uniform(0.2, 2, a.shape).astype(a.dtype) if a.dtype == np.float32 else a,
        shapes,
    )


def unchanged(apply, tree, *inputs):
    folded = fold_norms(apply, tree, *inputs)
    return all(a is b for a, b in zip(jax.tree.leaves(folded), jax.tree.leaves(tree), strict=True))


def test_a_norm_by_hand():
    def apply(p, x):
        y = x @ p["w"] + p["c"]
        return jnp.maximum((y - p["mean"]) / jnp.sqrt(p["var"]) * p["scale"] + p["bias"], 0)

    tree = {
        "w": f32([1, 2], [3, 4]),
        "c": f32(1, 1),
        "mean": f32(3, 5),
        "var": f32(4, 16),
        "scale": f32(6, -2),
        "bias": f32(10, 20),
    }
    folded = fold_norms(apply, tree, f32([1, 1]))
    assert {name: leaf.tolist() for name, leaf in folded.items()} == {
        "w": [[3, -1], [9, -2]],  # times 6 / 2 and -2 / 4
        "c": [0, 0],
        "mean": [0, 0],
        "var": [4, 16],
        "scale": [2, 4],
        "bias": [4, 22],  # 10 + 3 * (1 - 3) and 20 - 0.5 * (1 - 5)
    }
    assert folded_layers(apply, tree, f32([1, 1])) == (
        FoldedLayer("w", ("bias", "c", "mean", "scale")),
    )


@pytest.mark.parametrize(
    ("apply", "changed"),
    [
        (
            lambda p, x: (x @ p["w"] - p["mean"]) / jnp.sqrt(p["var"] + 0.5) + p["bias"],
            {"mean": 0.0, "var": 0.5, "bias": 1.0 - 6 / 2},
        ),
        (
            lambda p, x: (x @ p["w"] - p["mean"]) * lax.rsqrt(p["var"] + 0.5) * p["bias"],
            {"mean": 3.0, "bias": 2.0},
        ),
        (
            lambda p, x: p["bias"] - (x @ p["w"]) / (p["mean"] * 2),
            {"mean": -0.5},
        ),
        (
            lambda p, x: (x @ p["w"]) * (i := p["mean"] / jnp.sqrt(p["var"] + 0.5)) + (1 - 3 * i),
            {},
        ),
        (
            lambda p, x: (
                (x @ p["w"]) * (i := p["mean"] / jnp.sqrt(p["var"] + 0.5)) + (p["bias"] - 3 * i)
            ),
            {"mean": 2.0, "bias": 1.0 - 3 * 3 + 3},
        ),
    ],
    ids=["no scale", "no bias", "subtracted", "nothing to hold the offset", "computed before"],
)
def test_what_is_left_of_other_norms(apply, changed):
    tree = {"w": f32([4]), "mean": f32(6), "var": f32(3.5), "bias": f32(1)}
    folded = fold_norms(apply, tree, f32([1.5]))
    np.testing.assert_allclose(apply(folded, f32([1.5])), apply(tree, f32([1.5])), rtol=1e-6)
    assert {k: v.item() for k, v in folded.items() if k != "w" and v is not tree[k]} == changed
    assert (folded["w"] is tree["w"]) == (not changed)


@pytest.mark.slow
def test_a_resnet_and_folding_twice():
    net = functional(lambda rngs: ResNet(ResNetConfig(widths=(3, 4, 5), blocks=1), rngs=rngs))
    params, stats = jax.eval_shape(net.init, jax.random.key(0))
    tree = jax.tree.map(
        lambda a: RNG.uniform(0.2, 2, a.shape).astype(np.float32), {"params": params, "s": stats}
    )
    tree["params"] = jax.tree.map(lambda a: draw(*a.shape), tree["params"])

    def apply(tree, x):
        return net.apply(tree["params"], tree["s"], x)

    x = draw(2, 8, 8, 3)
    folded = fold_norms(apply, tree, x)  # compares the results
    layers = folded_layers(apply, tree, x)
    assert len(layers) == 9 and FoldedLayer(
        "params/block2/project/kernel",
        ("params/block2/norm3/bias", "params/block2/norm3/scale", "s/block2/norm3/mean"),
    ) in layers  # fmt: skip
    scale, var = folded["params"]["norm"]["scale"], folded["s"]["norm"]["var"]
    np.testing.assert_allclose(scale / np.sqrt(var + 1e-5), 1, rtol=1e-6)
    assert not folded["s"]["norm"]["mean"].any()
    assert folded_layers(apply, folded, x) == () and unchanged(apply, folded, x)


def test_channels_of_every_kind_of_product():
    dims = ("NHWC", "HWIO", "NHWC")

    def apply(p, x, t):
        convolved = lax.conv_general_dilated(x, p["conv"], (2, 2), "SAME", dimension_numbers=dims)
        depthwise = lax.conv_general_dilated(
            x, p["depth"], (1, 1), "SAME", dimension_numbers=dims, feature_group_count=4
        )
        grouped = lax.conv_general_dilated(
            x, p["group"], (1, 1), "VALID", dimension_numbers=dims, feature_group_count=2
        )
        up = lax.conv_transpose(x, p["up"], (2, 2), "SAME", transpose_kernel=True)
        heads = jnp.einsum("nd,dhk->nhk", t, p["heads"])
        own = jnp.einsum("nhk,hkm->nhm", t.reshape(-1, 2, 2), p["own"])
        left = (p["left"].reshape(3, 4) @ t.T).T
        split = (t @ p["split"]).reshape(-1, 2, 3)
        return [
            norm(convolved, p["bn3"]),
            norm(depthwise, p["bn8"]),
            norm(grouped, p["bn6"]),
            norm(up, p["bn5"]),
            heads * p["by_head"][:, None] + p["by_key"],
            norm(own.reshape(-1, 10), p["bn10"]),
            norm(left, p["bn3b"]),
            (split * p["by_head2"][:, None]).reshape(-1, 6) + p["end"],
        ]

    tree = {
        "conv": draw(3, 3, 4, 3),
        "depth": draw(3, 3, 1, 8),
        "group": draw(1, 1, 2, 6),
        "up": draw(3, 3, 5, 4),
        "heads": draw(4, 2, 3),
        "own": draw(2, 2, 5),
        "left": draw(12),
        "split": draw(4, 6),
        "by_head": draw(2),
        "by_key": draw(3),
        "by_head2": draw(2),
        "end": draw(6),
    }
    tree |= {f"bn{k}": bn(int(k.rstrip("b"))) for k in ("3", "8", "6", "5", "10", "3b")}
    x, t = draw(2, 4, 4, 4), draw(3, 4)
    assert difference(apply, tree, x, t) < 1e-5
    layers = [layer.weight for layer in folded_layers(apply, tree, x, t)]
    assert layers == ["conv", "depth", "group", "up", "heads", "own", "left", "split"]


def fold_one(apply, tree, x):
    assert difference(apply, tree, x) < 1e-5
    assert len(folded_layers(apply, tree, x)) == 1


def test_a_norm_of_nnx():
    def build():
        conv = nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0))
        return nnx.Sequential(conv, nnx.BatchNorm(3, rngs=nnx.Rngs(0), use_scale=False), nnx.relu)

    module = nnx.eval_shape(build)
    module.eval()
    graph, state = nnx.split(module)
    fold_one(lambda s, x: nnx.merge(graph, s)(x), filled(state), draw(2, 4, 4, 2))


def test_a_norm_of_linen():
    module = nn.Sequential([nn.Dense(3), nn.BatchNorm(use_running_average=True, use_bias=False)])
    x = draw(2, 4)
    fold_one(module.apply, filled(jax.eval_shape(module.init, jax.random.key(0), x)), x)


def test_a_norm_of_equinox():
    shapes = eqx.filter_eval_shape(lambda key: eqx.nn.Conv2d(2, 3, 3, key=key), jax.random.key(0))
    conv = filled(shapes)
    pair = eqx.nn.make_with_state(lambda: (conv, eqx.nn.BatchNorm(3, "batch", mode="ema")))()
    arrays, rest = eqx.partition(eqx.nn.inference_mode(pair), eqx.is_array)

    def apply(arrays, x):
        (conv, norm), state = eqx.combine(arrays, rest)
        return jax.vmap(lambda x: norm(conv(x), state)[0], axis_name="batch")(x)

    fold_one(apply, filled(arrays), draw(2, 2, 4, 4))


def test_channels_of_factor_zero_get_no_weight():
    tree = {"w": draw(4, 3), "bn": bn(3)}
    tree["bn"]["scale"][1] = 0
    folded = fold_norms(lambda p, x: norm(x @ p["w"], p["bn"]), tree, draw(2, 4))
    assert (folded["w"] == 0).all(0).tolist() == [False, True, False]
    assert folded["bn"]["scale"][1] == 0 and folded["bn"]["bias"][1] == tree["bn"]["bias"][1]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-30, -1.0])
def test_statistics_of_any_value_raise_no_warning(value):
    def apply(p, x):
        return (x @ p["w"] - p["mean"]) / jnp.sqrt(p["var"]) * p["scale"] + p["bias"]

    tree = {"w": draw(2, 3), **bn(3)}
    tree["var"][1] = value
    shape = jax.ShapeDtypeStruct((1, 2), np.float32)
    folded = fold_norms(apply, tree, shape)
    assert (folded["w"] is tree["w"]) == (value not in (np.inf, 1e-30))


def through_a_loop(p, x):
    return lax.scan(lambda h, w: (norm(h @ w, p["bn"]), None), x, p["w"][None])[0]


def looked_at_twice(p, x):
    y = x @ p["w"]
    return norm(y, p["bn"]), y


def added_between(p, x):
    return norm(x @ p["w"] + x, p["bn"])


def one_norm_for_two(p, x):
    return norm(norm(x @ p["w"], p["bn"]) @ p["v"], p["bn"])


def one_weight_for_two(p, x):
    return norm(x @ p["w"], p["bn"]) @ p["w"]


def norm_of_positions(p, x):
    return x @ p["w"] * p["v"][: len(x)]


@pytest.mark.parametrize(
    "apply",
    [
        lambda p, x: jnp.tanh(norm(x, p["bn"])) @ p["w"],
        lambda p, x: norm(jnp.tanh(x @ p["w"]), p["bn"]),
        lambda p, x: x @ p["w"] + p["bn"]["bias"],
        lambda p, x: x @ p["w"] / 2,
        lambda p, x: norm(x @ (p["w"] * 2), p["bn"]),
        through_a_loop,
        looked_at_twice,
        added_between,
        one_norm_for_two,
        one_weight_for_two,
        norm_of_positions,
    ],
)
def test_what_cannot_be_folded_is_left_alone(apply):
    tree = {"w": draw(3, 3), "v": draw(3, 3), "bn": bn(3)}
    assert unchanged(apply, tree, draw(2, 3))


def test_narrow_numbers_and_leaves_of_other_kinds():
    tree = {"w": draw(8, 4), "bn": bn(4)}
    tree = {"count": np.int32(3), "key": jax.random.key(0)} | jax.tree.map(
        lambda a: jnp.asarray(a, jnp.bfloat16), tree
    )

    def apply(p, x):
        return norm(x @ p["w"], p["bn"]) + jnp.bfloat16(p["count"])

    x = jnp.asarray(draw(5, 8), jnp.bfloat16)
    folded = fold_norms(apply, tree, x)
    assert jax.tree.map(lambda a: a.dtype, folded) == jax.tree.map(lambda a: a.dtype, tree)
    assert folded["w"] is not tree["w"] and isinstance(folded["w"], jax.Array)


def test_norms_of_float32_behind_products_of_bfloat16():
    """Mixed precision: what is computed in 8 bits of mantissa is compared as such."""
    tree = {"w": draw(8, 4), "bn": bn(4)}

    def apply(p, x):
        y = x.astype(jnp.bfloat16) @ p["w"].astype(jnp.bfloat16)
        return norm(y.astype(jnp.float32), p["bn"])

    folded = fold_norms(apply, tree, draw(5, 8))
    factors = tree["bn"]["scale"] / np.sqrt(tree["bn"]["var"] + 1e-3)
    np.testing.assert_allclose(folded["w"], tree["w"] * factors, rtol=1e-5)


def test_a_function_that_rounding_changes_is_refused():
    def apply(p, x):
        return jnp.sin(1e7 * norm(norm(x @ p["w"], p["bn"]) @ p["v"], p["bn2"]))

    tree = {"w": draw(3, 3), "v": draw(3, 3), "bn": bn(3), "bn2": bn(3)}
    x = draw(9, 3)
    with pytest.raises(ValueError, match=r"^[wv]: results must stay the same within 1.2e-04"):
        fold_norms(apply, tree, x)
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    assert fold_norms(apply, tree, shape)["w"] is not tree["w"]


def test_leaves_must_have_values():
    shapes = {"w": jax.ShapeDtypeStruct((2, 2), np.float32)}
    with pytest.raises(TypeError, match="w: must be an array with values, got ShapeDtypeStruct"):
        fold_norms(lambda p, x: x @ p["w"], shapes, draw(1, 2))
    with pytest.raises(TypeError, match="w: must be an array with values"):
        jax.jit(lambda p, x: fold_norms(lambda p, x: x @ p["w"], p, x))({"w": draw(2, 2)}, draw(2))
