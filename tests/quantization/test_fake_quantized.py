"""Simulated integers against ones multiplied by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxcompress as jc
from jaxcompress.leaves import Clustered, Quantized
from jaxcompress.products.weights import channel_axes, in_products
from jaxcompress.quantization._fake_quantized import fake_quantized
from jaxcompress.quantization.calibration import calibrate
from jaxcompress.quantization.grids import from_integers, make_grid, qparams_for, to_integers
from jaxcompress.quantization.ranges import percentile
from jaxcompress.trees import in_scope, named_leaves

AFFINE, SYMMETRIC = make_grid(8, symmetric=False), make_grid(8)
X = np.random.default_rng(1).normal(size=(5, 4)).astype("f")
W = np.random.default_rng(2).normal(size=(4, 3)).astype("f")


def integers(values, grid, axis=None):
    """Integers, zero point and scale of values on the grid of their own range."""
    qparams = qparams_for(values.min(axis, keepdims=True), values.max(axis, keepdims=True), grid)
    zero_point = 0 if qparams.zero_point is None else qparams.zero_point.astype(int)
    return to_integers(values, qparams, grid).astype(int) - zero_point, qparams.scale


def dense(params, x):
    return {"y": x @ params["kernel"] + params["bias"]}


PARAMS = {"kernel": W, "bias": np.ones(3, "f")}


def test_a_dense_layer_is_a_product_of_integers():
    sim = fake_quantized(dense, calibrate(dense, PARAMS, [X]))
    x, x_scale = integers(X, AFFINE)
    w, w_scale = integers(W, SYMMETRIC, axis=0)
    assert np.abs(w).max(axis=0).tolist() == [127, 127, 127]
    wanted = (x @ w) * (x_scale * w_scale) + 1
    for function in (sim, jax.jit(sim)):
        np.testing.assert_allclose(function(PARAMS, X)["y"], wanted, rtol=1e-5, atol=1e-5)
    error = np.abs(wanted - dense(PARAMS, X)["y"]).max()
    assert 1e-4 < error < 0.1


def test_a_dense_layer_by_hand():
    # 2 bits: x / 1 -> [3, 0], then w / 2 -> [1, 0] and [-1, 1].
    ranges = calibrate(lambda w, x: x @ w, np.ones((2, 1), "f"), [np.array([[3.0, 0.4]], "f")])
    sim = fake_quantized(lambda w, x: x @ w, ranges, bits=2)
    w = np.array([[2.0, -2.0], [0.9, 2.0]], "f")
    assert sim(w, np.array([[3.4, 1.6]], "f")).tolist() == [[6.0, -2.0]]


def test_a_convolution_has_a_scale_for_each_output_channel():
    def apply(kernel, x):
        return lax.conv_general_dilated(
            x, kernel, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        )

    kernel = np.random.default_rng(3).normal(size=(2, 3, 4)).astype("f") * [1, 10, 100, 1000]
    kernel = kernel.astype("f")
    x = np.random.default_rng(4).normal(size=(2, 5, 3)).astype("f")
    sim = fake_quantized(apply, calibrate(apply, kernel, [x]))
    k, k_scale = integers(kernel, SYMMETRIC, axis=(0, 1))
    q, x_scale = integers(x, AFFINE)
    windows = np.stack([q[:, :-1], q[:, 1:]], axis=2)  # [n, w, 2, i]
    wanted = np.einsum("nwki,kio->nwo", windows, k) * (x_scale * k_scale)
    np.testing.assert_allclose(jax.jit(sim)(kernel, x), wanted, rtol=1e-4)
    assert channel_axes(apply, kernel, x) == {"": (2,)}


def attention(params, x):
    h = x @ params["qk"]
    return jax.nn.softmax(h @ h.T, axis=-1) @ x, h


@pytest.mark.slow
def test_products_of_two_activations_have_both_rounded():
    params = {"qk": W}
    ranges = calibrate(attention, params, [X])
    assert "dot_general:1" in ranges and "dot_general (2):1" in ranges
    got, h = jax.jit(fake_quantized(attention, ranges))(params, X)
    qparams = ranges.qparams(AFFINE)

    def rounded(value, name):
        return from_integers(to_integers(value, qparams[name], AFFINE), qparams[name])

    left, right = rounded(h, "dot_general:0"), rounded(h.T, "dot_general:1")
    weights = rounded(jax.nn.softmax(left @ right, axis=-1), "dot_general (2):0")
    np.testing.assert_allclose(got, weights @ rounded(X, "dot_general (2):1"), atol=1e-5)


def test_turns_of_a_scan_are_those_of_the_loop_written_out():
    def scanned(w, x):
        return lax.scan(lambda h, w: (jnp.tanh(h @ w), h.sum()), x, w)

    w = np.random.default_rng(5).normal(size=(2, 4, 4)).astype("f")
    ranges, grid = calibrate(scanned, w, [X]), make_grid(4, symmetric=False)
    sim = jax.jit(fake_quantized(scanned, ranges, bits={"": 4}, weight_bits=8))
    qparams = ranges[""].qparams(grid)
    (h, sums), entered = sim(w, X), X
    for turn in w:
        q, scale = integers(turn, SYMMETRIC, axis=0)
        x = from_integers(to_integers(entered, qparams, grid), qparams)
        entered = np.tanh(x @ (q * scale))
    np.testing.assert_allclose(h, entered, atol=1e-5)
    assert sums.shape == (2,) and np.abs(h - scanned(w, X)[0]).max() > 1e-3


def test_weights_or_activations_alone():
    ranges = calibrate(dense, PARAMS, [X])
    x, x_scale = integers(X, AFFINE)
    w, w_scale = integers(W, SYMMETRIC, axis=0)
    weights_only = jax.jit(fake_quantized(dense, None))(PARAMS, X)["y"]
    np.testing.assert_allclose(weights_only, X @ (w * w_scale) + 1, rtol=1e-5, atol=1e-5)
    activations_only = jax.jit(fake_quantized(dense, ranges, weight_bits={}))(PARAMS, X)["y"]
    np.testing.assert_allclose(activations_only, (x * x_scale) @ W + 1, rtol=1e-5, atol=1e-5)
    neither = fake_quantized(dense, ranges, bits={})(PARAMS, X)["y"]
    # Sums of 4 products below 4, which may cancel, in any order: 4 * 4 * 2**-24 is 1e-6.
    np.testing.assert_allclose(neither, X @ W + 1, rtol=0, atol=1e-6)


def test_quantized_leaves_are_taken_as_they_are_and_others_rounded():
    values = np.array([[1, 5], [2, 7]], np.int8)  # on no grid of 2 bits of their own range
    quantized = Quantized(values=values, scale=np.full((1, 1), 0.5, "f"), bits=8)
    clustered = Clustered(codes=values.astype(np.uint8), codebook=np.arange(0.5, 4, 0.5, "f"))
    x = np.eye(2, dtype="f")
    sim = jax.jit(fake_quantized(lambda p, x: x @ p["k"].T, None, bits=2))
    assert sim({"k": quantized}, x).tolist() == (values.T * 0.5).tolist()
    assert sim({"k": clustered}, x).tolist() == [[0.0, 0.0], [2.5, 3.5]]
    computed = jax.jit(fake_quantized(lambda p, x: x @ jnp.abs(p["k"].T), None, bits=2))
    assert computed({"k": quantized}, x).tolist() == [[0.0, 0.0], [2.5, 3.5]]


def test_what_ranges_do_not_know_stays_float():
    def apply(w, x):
        return lax.cond(x.sum() > 9, lambda x: x, lambda x: x @ w, x) + 0 * (x @ w)

    w = np.random.default_rng(6).normal(size=(4, 4)).astype("f")
    ranges = calibrate(apply, w, [X])
    assert list(ranges.left_float) == [""] and list(ranges) == [" (2)"]
    np.testing.assert_allclose(jax.jit(fake_quantized(apply, ranges))(w, X), X @ w, rtol=1e-5)


def test_narrow_ranges_clip_and_bfloat16_stays():
    x = X.astype(jnp.bfloat16)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), PARAMS)
    ranges = calibrate(dense, params, [x])
    sim = jax.jit(fake_quantized(dense, ranges, weight_bits={}, estimate=percentile(keep=0.5)))
    assert sim(params, x)["y"].dtype == jnp.bfloat16
    wide, narrow = sim(params, 100 * x)["y"], sim(params, 200 * x)["y"]
    assert (wide == narrow).all()


def test_numbers_of_64_bits_are_narrowed_in_silence():
    sim = fake_quantized(dense, calibrate(dense, PARAMS, [X]))
    wide = [jax.tree.map(lambda a: a.astype(np.float64), tree) for tree in (PARAMS, X)]
    np.testing.assert_allclose(sim(*wide)["y"], sim(PARAMS, X)["y"], rtol=1e-5)


def test_under_vmap_and_grad():
    sim = fake_quantized(dense, calibrate(dense, PARAMS, [X]))
    rows = jax.jit(jax.vmap(lambda row: sim(PARAMS, row)["y"]))(X)
    np.testing.assert_allclose(rows, jax.jit(sim)(PARAMS, X)["y"], rtol=1e-5, atol=1e-6)
    slopes = jax.jit(jax.grad(lambda p: sim(p, X)["y"].sum()))(PARAMS)
    assert slopes["bias"].tolist() == [5.0, 5.0, 5.0]


def test_what_is_refused():
    ranges = calibrate(dense, PARAMS, [X])
    for (known, bits, weight_bits), message in (
        ((ranges, 9, None), "bits: must be 2 to 8"),
        ((ranges, {"kernle": 8}, None), "kernle: bits must be for products"),
        ((None, 8, {"bias": 8}), "bias: bits must be for products"),
    ):
        with pytest.raises(ValueError, match=message):
            fake_quantized(dense, known, bits=bits, weight_bits=weight_bits)(PARAMS, X)
    with pytest.raises(ValueError, match="kernel: ranges must be for products of this function"):
        fake_quantized(lambda w, x: x @ w, ranges)(W, X)


def test_axes_of_channels_are_those_common_to_all_products():
    def apply(params, x):
        return x @ params["tied"] @ params["tied"].T, x @ jnp.abs(params["computed"])

    params = {"tied": np.ones((4, 3), "f"), "computed": np.ones((4, 3), "f")}
    assert channel_axes(apply, params, X) == {"tied": ()}


def test_weights_in_products_are_found_whatever_their_axes():
    def attention(params, x):
        heads = jnp.einsum("bi,ihk->bhk", params["table"][x], params["query"]) + params["bias"]
        return jax.lax.scan(lambda h, p: (h * p["scale"] @ p["w"], None), heads, params["stack"])[0]

    params = {
        "table": jnp.ones((7, 4)),
        "query": jnp.ones((4, 2, 3)),
        "bias": jnp.ones((2, 3)),
        "stack": {"w": jnp.ones((5, 3, 3)), "scale": jnp.ones((5, 3))},
    }
    scope, named = in_products(attention, params, jnp.array([1, 2])), named_leaves(params)
    found = dict(zip(named.paths, in_scope(named, scope), strict=True))
    assert {path for path, chosen in found.items() if chosen} == {"query", "stack/w"}


def test_the_function_is_compiled_once_for_each_shape():
    calls = []

    def apply(p, x):
        calls.append(x.shape)
        return jnp.tanh(x @ p["a"]) @ p["b"]

    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=(4, 2))}
    params = jax.tree.map(lambda leaf: leaf.astype(np.float32), params)
    sim = jc.quantization.fake_quantized(apply, None, bits=4)
    x = rng.normal(size=(5, 3)).astype(np.float32)
    first = sim(params, x)
    times = len(calls)
    np.testing.assert_array_equal(sim(params, x), first)
    other = jax.tree.map(lambda leaf: leaf + 1, params)
    assert np.abs(sim(other, x) - first).max() > 0.1 and len(calls) == times
    sim(params, x[:2])
    assert len(calls) == 2 * times
    np.testing.assert_allclose(jax.jit(sim)(params, x), first, rtol=1e-6)
    each = jax.vmap(sim, in_axes=(None, 0))(params, x[:, None])
    np.testing.assert_allclose(each[:, 0], first, rtol=1e-5)
