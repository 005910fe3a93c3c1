"""Second moments of what meets the weights: they give the sums of squares of all outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.products import moments as module
from jaxcompress.products.moments import input_moments

IMAGES = ("NHWC", "HWIO", "NHWC")


def convolution(strides, padding, **options):
    return lambda w, x: lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=IMAGES, **options
    )


def dense(spec):
    return lambda w, x: jnp.einsum(spec, x, w)


def stacked(w, x):
    def turn(h, layer):
        h = h @ layer
        return jnp.tanh(h), h

    return lax.scan(turn, x, w)[1]


def recurrent(w, x):
    return lax.scan(lambda h, x: (jnp.tanh(h), (x + h) @ w), 0.5 * jnp.ones((2, 3)), x)[1]


# Kernel, inputs, layer, groups.
LAYERS = {
    "dense": ((5, 4), (7, 5), dense("ni,io->no"), 1),
    "on the left": ((4, 5), (7, 5), lambda w, x: jax.vmap(lambda row: w @ row)(x), 1),
    "heads": ((5, 2, 3), (2, 3, 5), dense("bti,ihk->bthk"), 1),
    "from heads": ((2, 3, 5), (4, 2, 3), dense("thk,hko->to"), 1),
    "batched": ((2, 5, 3), (4, 2, 5), dense("bgi,gio->bgo"), 2),
    "strided": ((3, 3, 2, 3), (2, 6, 7, 2), convolution((2, 1), "SAME"), 1),
    "dilated": ((2, 3, 2, 3), (2, 6, 7, 2), convolution((1, 2), "VALID", rhs_dilation=(2, 1)), 1),
    "transposed": (
        (2, 3, 2, 3),
        (2, 4, 3, 2),
        lambda w, x: lax.conv_transpose(x, jnp.flip(w, (0, 1)), (2, 2), "SAME"),
        1,
    ),
    "grouped": ((2, 2, 2, 6), (2, 4, 4, 4), convolution((1, 1), "SAME", feature_group_count=2), 2),
    "depthwise": (
        (3, 3, 1, 4),
        (1, 4, 4, 2),
        convolution((1, 1), "SAME", feature_group_count=2),
        2,
    ),
    "slice, transposed": ((9, 5), (7, 5), lambda w, x: x @ w.T[:, 3:7], 1),
    "stacked": ((3, 4, 4), (2, 4), stacked, 3),
    "recurrent": ((3, 4), (5, 2, 3), recurrent, 1),
    "twice": ((4, 4), (2, 4), lambda w, x: jnp.stack([x @ w, (x + 1) @ w]), 1),
}


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.normal(size=shape).astype(np.float32)

    params = {name: draw(layer[0]) for name, layer in LAYERS.items()}
    batches = [{name: draw(layer[1]) for name, layer in LAYERS.items()} for _ in range(2)]

    def apply(params, inputs):
        return {name: LAYERS[name][2](params[name], inputs[name]) for name in LAYERS}

    return apply, params, batches, input_moments(apply, params, iter(batches))


@pytest.mark.parametrize("name", LAYERS)
def test_they_give_the_sum_of_squares_of_the_outputs(network, name):
    apply, params, batches, moments = network
    (layer,) = moments.layers[name]
    groups, n, channels = layer.entries.shape
    assert groups == LAYERS[name][3] and layer.gram.shape == (groups, n, n)
    weights = params[name].ravel()[layer.entries]
    found = np.einsum("gnc,gnm,gmc->gc", weights, layer.gram, weights)
    outputs = [np.asarray(LAYERS[name][2](params[name], batch[name])) for batch in batches]
    np.testing.assert_allclose(found.sum(), sum((y**2).sum() for y in outputs), rtol=1e-5)


def test_each_channel_has_its_own_sum(network):
    _, params, batches, moments = network
    (layer,) = moments.layers["strided"]
    weights = params["strided"].ravel()[layer.entries[0]]
    found = np.einsum("nc,nm,mc->c", weights, layer.gram[0], weights)
    outputs = [np.asarray(LAYERS["strided"][2](params["strided"], b["strided"])) for b in batches]
    wanted = sum((y**2).sum(axis=(0, 1, 2)) for y in outputs)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_weight_in_two_slices_has_a_layer_for_each():
    def apply(w, x, y):
        return x @ w[:2], y @ w[2:]

    batches = [(np.ones((1, 2), "f"), np.full((1, 1), 2, "f"))] * 3
    first, second = input_moments(apply, np.ones((3, 1), "f"), batches).layers[""]
    assert first.entries.tolist() == [[[0], [1]]] and second.entries.tolist() == [[[2]]]
    assert first.gram.tolist() == [[[3, 3], [3, 3]]] and second.gram.tolist() == [[[12]]]


def test_narrow_inputs_are_added_up_in_float32_and_batches_may_differ_in_size():
    batches = [np.full((3, 1), 16.0), np.full((1, 1), 1.0)]
    batches = [jnp.asarray(batch, jnp.bfloat16) for batch in batches]
    moments = input_moments(lambda w, x: x @ w, jnp.ones((1, 1), jnp.bfloat16), batches)
    assert moments.layers[""][0].gram.tolist() == [[[769]]]


def test_what_is_left_out_is_listed_with_the_reason(monkeypatch):
    monkeypatch.setattr(module, "MOST_ENTRIES", 15)
    params = {
        name: np.ones((3, 3), "f") for name in ["loop", "computed", "embedding", "both", "image"]
    }
    params |= {"large": np.ones((4, 3), "f"), "kept": np.ones((3, 3), "f"), "bias": np.ones(3, "f")}

    def apply(p, x):
        h = (
            x @ p["kept"]
            + p["bias"]
            + p["embedding"][jnp.arange(2)]
            + jnp.ones((2, 4)) @ p["large"]
        )
        h = lax.while_loop(lambda h: h.sum() < 0, lambda h: h @ p["loop"], h)
        h = jnp.concatenate([h, h[:, :1]], axis=1) @ p["large"]
        h = h @ (2 * p["computed"]) @ p["both"] @ p["both"].T
        kernel = jnp.broadcast_to(h.sum(), (1, 1, 2, 2))
        image = p["image"].reshape(1, 3, 3, 1) * jnp.ones((1, 1, 1, 2))
        return lax.conv_general_dilated(image, kernel, (1, 1), "SAME", dimension_numbers=IMAGES)

    moments = input_moments(apply, params, [np.ones((2, 3), "f")])
    assert list(moments.layers) == ["kept"]
    assert moments.left_out == {
        "loop": "it stands in a while loop or a branch",
        "large": "its moments would have 16 entries, more than 15",
        "computed": "something is computed with it before it meets inputs",
        "image": "something is computed with it before it meets inputs",
        "both": "it meets inputs in more than one arrangement",
        "embedding": "it is no operand of a product with inputs",
    }


def test_images_that_are_weights_and_groups_of_the_batch_are_left_out():
    def apply(p, x):
        def product(image, kernel, **options):
            return lax.conv_general_dilated(
                image, kernel, (1, 1), "SAME", dimension_numbers=IMAGES, **options
            )

        return product(p["image"], x), product(x, p["kernel"], batch_group_count=2)

    params = {"image": np.ones((1, 2, 2, 3), "f"), "kernel": np.ones((1, 1, 3, 2), "f")}
    moments = input_moments(apply, params, [np.ones((2, 2, 3, 3), "f")])
    assert not moments.layers and moments.left_out == {
        "image": "it is the image of a convolution, not its kernel",
        "kernel": "its convolution has groups of the batch",
    }


def test_a_layer_without_channels_has_moments_too():
    moments = input_moments(lambda w, x: x @ w, np.ones((2, 0), "f"), [np.ones((1, 2), "f")])
    assert moments.layers[""][0].entries.shape == (1, 2, 0)


def test_refusals():
    def apply(p, x):
        return x @ p["w"]

    params = {"w": np.ones((2, 2), "f")}
    with pytest.raises(ValueError, match="batches: must hold at least one batch, got none"):
        input_moments(apply, params, [])
    with pytest.raises(ValueError, match=r"^w: moments of its inputs: must be finite"):
        input_moments(apply, params, [np.array([[np.nan, 1]], "f")])
    with pytest.raises(ValueError, match="apply: must run"):
        input_moments(apply, params, [np.ones((1, 3), "f")])
    with pytest.raises(TypeError, match="input_moments: params must be concrete"):
        jax.jit(lambda p: input_moments(apply, p, []).layers)(params)
