"""Weights on grids, against integers worked out by hand."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import jaxcompress as jc
from jaxcompress.leaves import Half, Quantized, half
from jaxcompress.quantization._granularity import per_block, per_channel, per_tensor
from jaxcompress.quantization._least_error import mse_optimal
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization.ranges import Range, kl_optimal, min_max, percentile


def quantized(rows, bits=8, dtype=np.float32, **options):
    return quantize({"k": np.array(rows, dtype)}, bits, **options)["k"]


def in_numpy(leaf):
    """The dense tensor without a compilation for each shape."""
    return jax.tree.map(np.asarray, leaf).dense()


def test_eight_bits_per_tensor():
    leaf = quantized([[0.5, -1.0], [127, 3.5]], granularity=per_tensor)
    assert leaf.values.tolist() == [[0, -1], [127, 4]]  # halves to even
    assert leaf.scale.tolist() == [[1.0]] and leaf.zero_point is None and leaf.bits == 8
    assert leaf.values.dtype == jnp.int8 and isinstance(leaf.values, jax.Array)
    assert leaf.dense().tolist() == [[0, -1], [127, 4]]


def test_eight_bits_per_channel():
    leaf = quantized([[127, 254], [-1, -2], [63, 0]])
    assert leaf.scale.tolist() == [[1, 2]]
    assert leaf.values.tolist() == [[127, 127], [-1, -1], [63, 0]]


def test_four_bits():
    leaf = quantized([[7, -7, 3.4, 0.6, -0.4]], 4, granularity=per_tensor, estimate=min_max)
    assert leaf.values.tolist() == [[7, -7, 3, 1, 0]] and leaf.scale.tolist() == [[1]]


def test_affine_grids_hold_zero_exactly():
    # 15 steps from -1 to 2: a step is 0.2, zero is 5 of them above the lowest integer.
    leaf = quantized([[-1], [2], [0], [0.31]], 4, symmetric=False, estimate=min_max)
    assert leaf.zero_point.tolist() == [[-3]] and leaf.scale.tolist() == [[pytest.approx(0.2)]]
    assert leaf.values.tolist() == [[-8], [7], [-3], [-1]]
    assert leaf.dense()[2, 0] == 0
    # Positive numbers alone: zero is the lowest integer.
    leaf = quantized([[3], [15]], 4, symmetric=False, estimate=min_max)
    assert leaf.zero_point.tolist() == [[-8]] and leaf.values.tolist() == [[-5], [7]]


def test_ternary_and_binary():
    rows = [[4, -2, 0.1, 0]]
    ternary = quantized(rows, 2, granularity=per_tensor)
    assert ternary.values.tolist() == [[1, -1, 0, 0]] and ternary.scale.tolist() == [[3]]
    binary = quantized([[4, -2, 0.0, 3]], 1, granularity=per_tensor)
    assert binary.values.tolist() == [[1, -1, 0, 1]] and binary.scale.tolist() == [[3]]


def test_blocks_of_each_channel_and_a_shorter_last_one():
    rows = np.array([[1, 10], [-2, 20], [3, 30], [4, 4], [127, 254]], np.float32)
    leaf = quantized(rows, granularity=per_block(2))
    # Five inputs are blocks of 2, 2 and 1.
    np.testing.assert_allclose(leaf.scale * 127, [[2, 20], [4, 30], [127, 254]], rtol=1e-6)
    assert leaf.values[4].tolist() == [127, 127]
    np.testing.assert_allclose(leaf.dense(), rows, atol=30 / 254)


def test_a_shorter_block_is_searched_without_what_fills_it_up():
    leaf = quantized([[1], [-1], [4], [2], [5]], 1, granularity=per_block(2))
    assert leaf.scale.tolist() == [[1], [3], [5]]


KERNELS = {
    "dense": ((6, 4), None, (1, 4)),
    "conv HWIO": ((3, 3, 5, 4), None, (1, 1, 1, 4)),
    "depthwise": ((3, 3, 1, 4), None, (1, 1, 1, 4)),
    "transposed": ((3, 3, 4, 5), 2, (1, 1, 4, 1)),
    "einsum": ((6, 2, 3), {"k": (1, 2)}, (1, 2, 3)),
    "none": ((6, 4), (), (1, 1)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_channels_of_every_kind_of_kernel(name):
    shape, axes, scales = KERNELS[name]
    rng = np.random.default_rng(0)
    kernel = (rng.standard_normal(shape) * np.exp(rng.standard_normal(scales))).astype("f")
    leaf = quantized(kernel, granularity=per_channel(axes))
    assert leaf.scale.shape == scales
    others = tuple(i for i, n in enumerate(scales) if n == 1)
    largest = np.abs(kernel).max(axis=others, keepdims=True)
    np.testing.assert_allclose(leaf.scale * 127, largest, rtol=1e-6)
    assert (np.abs(np.asarray(leaf.values)).max(axis=others) == 127).all()
    assert (np.abs(leaf.dense() - kernel) <= 0.5001 * np.asarray(leaf.scale)).all()


def test_constant_and_zero_channels():
    rows = [[0, 2, -3], [0, 2, -3]]
    for bits, symmetric in ((8, True), (8, False), (2, True), (1, True), (2, False)):
        leaf = quantized(rows, bits, symmetric=symmetric)
        np.testing.assert_allclose(leaf.dense(), rows, rtol=1e-6)


def pruned(seed=0, shape=(40, 8)):
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal(shape).astype(np.float32)
    return np.where(rng.random(shape) < 0.7, np.float32(0), kernel)


@pytest.mark.parametrize(
    "bits, symmetric", [(8, True), (4, True), (2, True), (1, True), (8, False), (2, False)]
)
def test_pruned_weights_stay_zero(bits, symmetric):
    kernel = pruned()
    dense = np.asarray(quantized(kernel, bits, symmetric=symmetric).dense())
    assert (dense[kernel == 0] == 0).all()
    assert bits != 1 or ((dense != 0) == (kernel != 0)).all()


def test_shared_weights_stay_shared():
    shared = jc.kmeans({"k": pruned()}, 5)
    leaf = quantize(shared, 4, estimate=min_max)["k"]
    assert leaf.scale.shape == (1, 1)
    assert jc.metrics.count_distinct({"k": leaf}) <= 5
    top = float(np.abs(shared["k"].codebook).max())
    expected = np.round(np.asarray(shared["k"].dense()) / (top / 7))
    np.testing.assert_array_equal(leaf.values, expected)
    # The search weighs an entry by its members: three of 1 and one of 5 have the mean 2.
    codes = jc.Clustered(codes=np.array([[1, 1], [1, 2]], np.uint8), codebook=np.array([1.0, 5.0]))
    assert quantize({"k": codes}, 1)["k"].dense().tolist() == [[2, 2], [2, 2]]


def test_other_leaves_are_made_dense_and_those_outside_stay():
    kernel = pruned()
    expected = quantized(kernel).values
    for tree in (jc.leaves.sparse({"k": kernel}), {"k": quantized(kernel)}):
        np.testing.assert_array_equal(quantize(tree)["k"].values, expected)
    tree = {"a": kernel, **half({"b": kernel}), "bias": np.ones(3, np.float32)}
    result = quantize(tree, scope=jc.scopes.matching("a"))
    assert isinstance(result["a"], Quantized) and isinstance(result["b"], Half)
    assert result["bias"] is tree["bias"]


def test_bits_by_path():
    tree = {"a": {"k": np.eye(3)}, "b": {"k": np.eye(3)}, "c": {"k": np.eye(3)}}
    result = quantize(tree, {"a/k": 4, "b/k": 8})
    assert (result["a"]["k"].bits, result["b"]["k"].bits) == (4, 8)
    assert result["c"]["k"] is tree["c"]["k"]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("symmetric", [True, False])
def test_every_dtype_keeps_its_own(dtype, symmetric):
    kernel = (0.01 * np.random.default_rng(0).standard_normal((50, 6))).astype(dtype)
    leaf = quantized(kernel, 8, dtype, symmetric=symmetric)
    assert leaf.dtype == leaf.dense().dtype == dtype
    assert isinstance(leaf.values, np.ndarray) == (dtype is np.float64)
    wide = kernel.astype(np.float64)
    error = np.abs(np.asarray(leaf.dense(), np.float64) - wide)
    # Half a step, and what the dtype itself rounds.
    step = np.asarray(leaf.scale, np.float64)
    assert (error <= 0.75 * step + 2.0**-7 * np.abs(wide)).all()


def test_numbers_beyond_reason():
    tiny = quantized([[1e-42, -1e-42]], granularity=per_tensor)
    assert np.isfinite(tiny.dense()).all() and tiny.scale[0, 0] > 0
    subnormal = quantized([[1e-6, -1e-6]], dtype=np.float16, granularity=per_tensor)
    assert subnormal.scale[0, 0] > 0 and np.isfinite(np.asarray(subnormal.dense(), "f")).all()
    wide = quantized([[3e38, -1e-38, 1.0]], granularity=per_tensor, estimate=percentile(keep=0.5))
    assert wide.values.tolist() == [[127, 0, 127]]
    with pytest.raises(ValueError, match="k: the ends of the grid must be finite in float32, got"):
        quantized([[3e38, -3e38]], 2, granularity=per_tensor, symmetric=False, estimate=min_max)
    options = {"granularity": per_tensor, "symmetric": False, "estimate": mse_optimal}
    ends = quantized([[3.4e38, -3.4e38]], **options)
    np.testing.assert_allclose(in_numpy(ends), [[3.4e38, -3.4e38]], rtol=0.1)


PLACES = (per_tensor, per_channel(), per_block(3))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 7), st.integers(1, 4)),
        elements=st.floats(-100, 100, width=32),
    ),
    st.integers(1, 8),
    st.sampled_from(PLACES),
    st.sampled_from([min_max, mse_optimal]),
)
def test_rounding_twice_changes_nothing(kernel, bits, granularity, estimate):
    options = {"granularity": granularity, "estimate": estimate}
    once = in_numpy(quantized(kernel, bits, **options))
    twice = in_numpy(quantized(once, bits, **options))
    np.testing.assert_array_equal(once, twice)
    assert (once[kernel == 0] == 0).all()


@pytest.mark.parametrize("estimate", [min_max, percentile(keep=0.99), mse_optimal, kl_optimal])
@pytest.mark.parametrize("symmetric", [True, False])
def test_more_bits_are_nearer(estimate, symmetric):
    kernel = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    errors = [
        np.square(quantized(kernel, n, symmetric=symmetric, estimate=estimate).dense() - kernel)
        for n in (2, 4, 8)
    ]
    sums = [float(np.sum(error)) for error in errors]
    assert sums[0] > sums[1] > sums[2]


def test_an_estimator_is_any_function():
    leaf = quantized(
        [[1, -9]],
        granularity=per_tensor,
        estimate=lambda samples, grid: Range(np.array([-127.0]), np.array([127.0])),
    )
    assert leaf.values.tolist() == [[1, -9]]


def nan():
    return np.array([[1, np.nan], [np.inf, 0]], np.float32)


BAD = {
    "bits": (lambda: quantized([[1.0]], 9), ValueError, "bits: must be 1 to 8 .* got 9"),
    "no bits": (lambda: quantized([[1.0]], 0), ValueError, "bits: must be 1 to 8"),
    "half a bit": (lambda: quantized([[1.0]], 4.0), TypeError, "bits: must be an integer"),
    "binary affine": (lambda: quantized([[1.0]], 1, symmetric=False), ValueError, "2 to 8"),
    "bits of one": (lambda: quantized([[1.0]], {"k": 12}), ValueError, "bits: must be 1 to 8"),
    "NaN": (lambda: quantized(nan()), ValueError, r"k: must be finite, got 2 .* at \(0, 1\)"),
    "no leaf": (lambda: quantize({"b": np.ones(3)}), ValueError, "scope: no leaf is chosen"),
    "integers": (
        lambda: quantized([[1]], dtype=np.int32, scope=lambda path, leaf: True),
        TypeError,
        "k: leaves in the scope must be of floating-point numbers .* got int32",
    ),
    "8 bits": (
        lambda: quantized([[1]], dtype=ml_dtypes.float8_e5m2),
        TypeError,
        "k: .* of 16 bits or more, got float8_e5m2",
    ),
    "tracers": (
        lambda: jax.eval_shape(quantize, {"k": jnp.ones((2, 2))}),
        TypeError,
        "quantize: .*outside of jit",
    ),
    "unknown path": (lambda: quantized([[1.0]], {"x": 4}), ValueError, "x: bits .* among k; "),
    "no block": (lambda: per_block(0), ValueError, "size: a block must have at least 1 entry"),
    "half a block": (lambda: per_block(1.5), TypeError, "size: must be an integer"),
    "axis": (
        lambda: quantized([[1.0]], granularity=per_channel(2)),
        ValueError,
        r"k: axis must be one of the 2 of its shape \(1, 1\), got 2",
    ),
    "axis of blocks": (
        lambda: quantized([[1.0]], granularity=per_block(4, axis=-3)),
        ValueError,
        "k: axis must be one of the 2",
    ),
    "blocks that are none": (
        lambda: quantized(np.ones((5, 1)), granularity=lambda path, leaf: (4, 1)),
        ValueError,
        r"k: granularity must give .* of \(5, 1\) .* got \(4, 1\)",
    ),
    "blocks of another rank": (
        lambda: quantized([[1.0]], granularity=lambda path, leaf: (1,)),
        ValueError,
        r"k: granularity must give .* got \(1,\)",
    ),
    "no axes": (
        lambda: quantized([[1.0]], granularity=per_channel({"x": (0,)})),
        ValueError,
        "k: axis must name the channels",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_rounded_is_named(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


def test_ranges_do_not_drift_where_scales_are_coarse():
    weights = np.random.default_rng(0).normal(size=(64, 8)).astype(jnp.bfloat16)
    leaf = quantize({"w": weights}, symmetric=False)["w"]
    off = np.abs(np.asarray(leaf.dense(), "f") - weights.astype("f"))
    steps = off / np.asarray(leaf.scale, "f")
    assert steps.max() <= 1.1  # half of one by rounding, as much by the scale's own eight bits
