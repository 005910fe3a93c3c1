"""Rounding for the output of a layer: never worse than each weight for itself, often far better."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.leaves import Clustered, LowRank, Quantized, dense
from jaxcompress.products.moments import Layer, Moments, input_moments
from jaxcompress.quantization import _levels as rounding
from jaxcompress.quantization._granularity import per_block, per_channel
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization._rounding import fit_rounding


def moments_of(x, channels):
    """Return what `input_moments` gives for `x @ w`."""
    n = x.shape[1]
    entries = np.arange(n * channels).reshape(1, n, channels)
    return Moments({"w": [Layer(entries, (x.T @ x)[None].astype(np.float64))]}, {})


def losses(tree, w, x):
    """Return the sums of squared errors of the outputs, by channel."""
    rounded = dense(jax.tree.map(np.asarray, tree))["w"].astype(np.float64)
    return ((x @ (rounded - w)) ** 2).sum(axis=0)


def correlated(n, channels, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, max(n // 8, 1))) @ rng.normal(size=(max(n // 8, 1), n))
    x += 0.1 * rng.normal(size=x.shape)
    return x, rng.normal(size=(n, channels)).astype(np.float32)


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, channels = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    x = rng.normal(size=(draw(st.integers(1, 12)), n)) @ rng.normal(size=(n, n))
    x *= rng.random(n) < 0.8  # some inputs never occur
    w = (rng.normal(size=(n, channels)) * (rng.random((n, channels)) < 0.8)).astype(np.float32)
    scale = np.float32(10.0 ** draw(st.integers(-15, 15)))
    symmetric = draw(st.booleans())
    bits = draw(st.integers(1 if symmetric else 2, 8))
    granularity = draw(st.sampled_from([per_channel(), per_channel(0), per_block(3)]))
    options = {"bits": bits, "symmetric": symmetric, "granularity": granularity}
    return x * 10.0 ** draw(st.integers(-8, 8)), w * scale, options


@settings(deadline=None, max_examples=40)
@given(problems())
def test_no_channel_is_worse_than_with_the_rounding_given(problem):
    x, w, options = problem
    given_ = quantize({"w": w}, **options)
    found = fit_rounding({"w": w}, given_, moments_of(x, w.shape[1]))
    before, after = given_["w"], jax.tree.map(np.asarray, found["w"])
    bound = losses(given_, w, x) * (1 + 1e-6) + 1e-12 * ((np.abs(x) @ np.abs(w)) ** 2).sum(axis=0)
    assert (losses(found, w, x) <= bound).all()
    np.testing.assert_array_equal(after.scale, before.scale)
    assert after.values.dtype == np.int8 and after.bits == before.bits
    half = 1 << (after.bits - 1)
    lowest = -half if not options["symmetric"] else -max(half - 1, 1)
    assert after.values.min() >= lowest and after.values.max() <= max(half - 1, 1)
    assert not after.dense()[w == 0].any()
    if after.bits == 1:
        assert after.values[w != 0].all()


@pytest.mark.parametrize(("bits", "at_most"), [(4, 0.12), (3, 0.12), (2, 0.2), (1, 0.5)])
def test_correlated_inputs_leave_a_fraction_of_the_error(bits, at_most):
    x, w = correlated(200, 8)  # more rows than a block
    given_ = quantize({"w": w}, bits=bits)
    found = fit_rounding({"w": w}, given_, moments_of(x, 8))
    assert losses(found, w, x).sum() < at_most * losses(given_, w, x).sum()


@st.composite
def shared(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, channels, k = draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    w = (rng.normal(size=(n, channels)) * (rng.random((n, channels)) < 0.8)).astype(np.float32)
    scale = np.float32(10.0 ** draw(st.integers(-15, 15)))
    codebook = rng.normal(size=k).astype(np.float32) * scale
    nearest = np.abs(w[..., None] * scale - codebook).argmin(axis=-1) + 1
    codes = np.where(w == 0, 0, nearest).astype(np.uint8)
    x = rng.normal(size=(draw(st.integers(1, 12)), n)) @ rng.normal(size=(n, n))
    return x, w * scale, Clustered(codes=codes, codebook=codebook)


@settings(deadline=None, max_examples=40)
@given(shared())
def test_shared_values_are_chosen_for_the_outputs_too(problem):
    x, w, leaf = problem
    found = fit_rounding({"w": w}, {"w": leaf}, moments_of(x, w.shape[1]))["w"]
    bound = losses({"w": leaf}, w, x) * (1 + 1e-6)
    bound += 1e-12 * ((np.abs(x) @ np.abs(w)) ** 2).sum(axis=0)
    assert (losses({"w": found}, w, x) <= bound).all()
    np.testing.assert_array_equal(found.codebook, leaf.codebook)
    assert found.codes.dtype == leaf.codes.dtype and found.codes.max() <= leaf.codebook.size
    assert not found.codes[w == 0].any()


def test_shared_values_by_hand():
    leaf = Clustered(codes=np.uint8([[1], [1]]), codebook=np.float32([1.0]))
    moments = Moments(
        {"w": [Layer(np.array([[[0], [1]]]), np.array([[[1.0, 0.9], [0.9, 1.0]]]))]}, {}
    )
    w = np.float32([[0.6], [0.6]])
    # Both up is 1.2 off together, one of them 0.2.
    assert sorted(fit_rounding({"w": w}, {"w": leaf}, moments)["w"].codes.ravel()) == [0, 1]
    fewer = fit_rounding({"w": w}, {"w": leaf}, moments, descents=0)["w"]
    assert sorted(fewer.codes.ravel()) == [0, 1]


def entropy(leaf):
    counts = np.unique(np.asarray(leaf.values), return_counts=True)[1]
    return -np.sum(counts * np.log2(counts / counts.sum()))


@pytest.mark.parametrize("descents", [0, 2])
def test_bits_have_a_price(descents):
    x = np.eye(100)  # nothing is told of an input by others
    w = np.random.default_rng(0).normal(size=(100, 40)).astype(np.float32)
    scale = np.ones((1, 1), np.float32)
    given_ = {"w": Quantized(values=np.rint(w).astype(np.int8), scale=scale, bits=8)}
    found = [
        fit_rounding({"w": w}, given_, moments_of(x, 40), descents=descents, rate_weight=rate)["w"]
        for rate in (0, 0.5, 4)
    ]
    bits = [entropy(leaf) for leaf in found]
    errors = [losses({"w": leaf}, w, x).sum() for leaf in found]
    np.testing.assert_array_equal(found[0].values, given_["w"].values)
    assert bits[0] > bits[1] > bits[2] and errors[0] < errors[1] < errors[2]
    # Coarser steps would save as many bits at `4^saved` times the error.
    saved = (bits[0] - bits[1]) / w.size
    assert saved > 0.05 and errors[1] / errors[0] < 4**saved


def test_shared_values_have_a_price_too():
    x, w = np.eye(60), np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
    values = np.float32([0, -2, -1, -0.5, 0.5, 1, 2])
    codes = np.abs(w[..., None] - values).argmin(axis=-1).astype(np.uint8)
    leaf, moments = Clustered(codes=codes, codebook=values[1:]), moments_of(x, 20)
    dear = fit_rounding({"w": w}, {"w": leaf}, moments, rate_weight=8)["w"]
    before, after = (np.bincount(each.ravel(), minlength=7) for each in (codes, dear.codes))
    assert after[[1, 6]].sum() < 0.7 * before[[1, 6]].sum()  # the rare ones take more bits


@pytest.mark.parametrize("rate_weight", [-0.1, float("nan"), float("inf")])
def test_a_price_is_a_number(rate_weight):
    x, w = correlated(8, 2)
    with pytest.raises(ValueError, match="rate_weight: must be at least 0"):
        fit_rounding({"w": w}, quantize({"w": w}), moments_of(x, 2), rate_weight=rate_weight)


@pytest.mark.parametrize("descents", [-1, 0.5, True])
def test_descents_are_a_count(descents):
    x, w = correlated(8, 2)
    with pytest.raises(ValueError, match="descents: must be"):
        fit_rounding({"w": w}, quantize({"w": w}), moments_of(x, 2), descents=descents)


def test_blocks_only_order_the_computation(monkeypatch):
    x, w = correlated(40, 5)
    given_, moments = quantize({"w": w}, bits=3), moments_of(x, 5)
    whole = fit_rounding({"w": w}, given_, moments)["w"].values
    monkeypatch.setattr(rounding, "_BLOCK", 7)
    np.testing.assert_array_equal(fit_rounding({"w": w}, given_, moments)["w"].values, whole)


def test_no_other_integer_of_one_weight_is_better():
    x, w = correlated(12, 3)
    x = np.concatenate([x, 0.3 * np.sqrt(np.mean(x**2) * len(x)) * np.eye(12)])
    given_ = quantize({"w": w}, bits=4)
    leaf = fit_rounding({"w": w}, given_, moments_of(x, 3))["w"]
    values, scale = np.asarray(leaf.values, int), np.asarray(leaf.scale)
    damped = x.T @ x
    damped += 0.01 * np.trace(damped) / 12 * np.eye(12)

    def loss(values):
        errors = scale * values - w
        return np.einsum("nc,nm,mc->c", errors, damped, errors)

    best = loss(values)
    for row in range(12):
        for step in (-1, 1):
            other = values.copy()
            other[row] = np.clip(other[row] + step, -7, 7)
            assert (loss(other) >= best * (1 - 1e-5)).all()


def test_inputs_that_have_nothing_to_do_with_each_other_leave_the_nearest_integers():
    _, w = correlated(6, 4)
    given_ = quantize({"w": w}, bits=4)
    found = fit_rounding({"w": w}, given_, moments_of(np.diag([1.0, 2, 3, 4, 5, 0]), 4))
    np.testing.assert_array_equal(found["w"].values, given_["w"].values)


def test_channels_are_fitted_each_for_itself_however_far_apart():
    x, w = correlated(6, 2)
    apart = w * np.float32([1e-30, 1e20])
    together, far = (
        fit_rounding({"w": k}, quantize({"w": k}, 4), moments_of(x, 2))["w"] for k in (w, apart)
    )
    np.testing.assert_array_equal(together.values, far.values)


def test_groups_are_fitted_each_for_itself_and_other_leaves_stay():
    x, w = correlated(16, 4)
    gram = (x.T @ x)[None]
    entries = np.arange(64).reshape(1, 16, 4)
    grouped = Layer(np.concatenate([entries, entries + 64]), np.concatenate([gram, 2 * gram]))
    params = {"w": np.concatenate([w, w]), "other": w, "bias": w[0]}
    given_ = quantize(params, bits=3, granularity=per_block(16))
    found = fit_rounding(params, given_, Moments({"w": [grouped]}, {}))
    values = np.asarray(found["w"].values)
    np.testing.assert_array_equal(values[:16], values[16:])
    assert (values != np.asarray(given_["w"].values)).any()
    assert found["other"] is given_["other"] and found["bias"] is given_["bias"]


def test_dtypes_and_kinds_of_arrays_stay():
    x, w = correlated(16, 4)
    narrow = {"w": jnp.asarray(w, jnp.bfloat16)}
    found = fit_rounding(narrow, quantize(narrow, bits=4), moments_of(x, 4))["w"]
    assert found.dtype == jnp.bfloat16 and found.dense().dtype == jnp.bfloat16
    wide = {"w": w.astype(np.float64)}
    found = fit_rounding(wide, quantize(wide, bits=4), moments_of(x, 4))["w"]
    assert isinstance(found.values, np.ndarray) and found.dense().dtype == np.float64


def test_refusals():
    x, w = correlated(4, 2)
    moments, given_ = moments_of(x, 2), quantize({"w": w}, bits=4)
    with pytest.raises(ValueError, match="w: params must have the shape of quantized"):
        fit_rounding({"w": w[:3]}, given_, moments)
    with pytest.raises(ValueError, match="w: must be finite, got 1 NaN"):
        fit_rounding({"w": np.where(w == w[0, 0], np.nan, w)}, given_, moments)
    with pytest.raises(
        ValueError, match="moments: must be of weights that are quantized, got .* w"
    ):
        fit_rounding({"w": w}, {"w": w}, moments)
    thin = {"w": LowRank(factors=(w[:, :1], w[:1]), equation="ir,ro->io")}
    with pytest.raises(ValueError, match="got those of w; .* factors of products have none"):
        fit_rounding(thin, quantize(thin), moments)
    with pytest.raises(ValueError, match="w: moments must be those of its layer, got .* 14 .* 8"):
        fit_rounding({"w": w}, given_, moments_of(np.ones((1, 7)), 2))


class Module(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return x @ self.weight.T


def test_trees_of_modules():
    x, w = correlated(16, 4)
    graph, state = nnx.split(nnx.Dict(weight=nnx.Param(jnp.asarray(w))))
    nets = [
        (lambda p, x: p(x), Module(jnp.asarray(w.T)), per_channel(0)),
        (lambda p, x: x @ nnx.merge(graph, p)["weight"][...], state, per_channel()),
    ]
    for apply, params, granularity in nets:
        given_ = quantize(params, bits=3, granularity=granularity)
        moments = input_moments(apply, params, [x.astype(np.float32)])
        found = fit_rounding(params, given_, moments)
        assert jax.tree.structure(found) == jax.tree.structure(given_)
        before, after = (np.asarray(jax.tree.leaves(dense(t))[0]) for t in (given_, found))
        before, after = (t.T if t.shape == (4, 16) else t for t in (before, after))
        assert ((x @ (after - w)) ** 2).sum() < 0.3 * ((x @ (before - w)) ** 2).sum()


def test_products_in_loops_alone_are_named():
    def apply(p, x):
        return jax.lax.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.tanh(c[1] @ p["w"])), (0, x)
        )[1]

    params, x = {"w": np.eye(3, dtype=np.float32)}, np.ones((2, 3), np.float32)
    moments = jc.quantization.input_moments(apply, params, [x])
    with pytest.raises(ValueError, match=r"got none \(w: it stands in a while loop.*; round these"):
        jc.fit_rounding(params, jc.quantize(params, 4), moments)
