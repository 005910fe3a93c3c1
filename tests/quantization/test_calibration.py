"""Calibration: histograms that do not depend on how the data are cut, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax import lax

from jaxcompress.leaves import Quantized
from jaxcompress.quantization._histogram import BINS, NOTHING, histogram, read
from jaxcompress.quantization.calibration import calibrate
from jaxcompress.quantization.grids import make_grid
from jaxcompress.quantization.ranges import percentile

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SIZE = 12


def same(one, other):
    for field in ("low", "high", "zeros", "exponent"):
        assert getattr(one, field) == getattr(other, field), field
    np.testing.assert_array_equal(one.counts, other.counts)


def of(values):
    return histogram(jax.device_get(compiled(jnp.asarray(values, jnp.float32))))


compiled = jax.jit(read)


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, (2, SIZE), elements=FLOATS))
def test_a_histogram_of_parts_is_that_of_the_whole(values):
    parts = of(values[0]) + of(values[1])
    same(parts, of(values))
    # By numpy, in double precision: where each number belongs.
    values = np.where(np.abs(values) < np.finfo(np.float32).tiny, 0, values).astype(float)
    steps = np.floor(np.abs(values) / parts.width).astype(int)
    places = np.where(values < 0, BINS - 1 - steps, BINS + steps)[values != 0]
    np.testing.assert_array_equal(parts.counts, np.bincount(places, minlength=2 * BINS))
    assert (parts.low, parts.high) == (values.min(), values.max())
    assert parts.count == 2 * SIZE and parts.zeros == np.count_nonzero(values == 0)


def test_a_histogram_by_hand():
    found = of([0.0, 1.0, -0.5, 3.0, 2.9])
    assert found.exponent == 2 and found.width == 4 / BINS
    (filled,) = np.nonzero(found.counts)
    assert (filled - BINS).tolist() == [-257, 512, 1484, 1536]
    samples = found.samples()
    assert samples.counts.tolist() == [[1, 1, 1, 1, 1]]
    np.testing.assert_allclose(samples.values, [[-0.5, 1.0, 2.9, 3.0, 0.0]], atol=found.width)
    assert (found + NOTHING).counts is not found.counts
    same(found + NOTHING, found)


def test_widths_at_the_ends_of_float32():
    for value, exponent in ((3.4e38, 128), (1.0, 1), (1 - 2**-24, 0), (1e-37, -100)):
        assert of([value]).exponent == exponent
        assert of([value]).counts.sum() == of([-value]).counts.sum() == 1
    assert of([1e-45, 0.0]).zeros == 2


def net(params, x):
    h = jax.nn.relu(x @ params["in"])
    h, _ = lax.scan(lambda h, w: (jnp.tanh(h @ w), None), h, params["stack"])
    return {"scores": h @ h.T, "small": jnp.round(h).astype(jnp.int32) @ jnp.ones((4, 1), int)}


PARAMS = {
    "in": np.linspace(-1, 1, 12, dtype="f").reshape(3, 4),
    "stack": np.linspace(-1, 2, 48, dtype="f").reshape(3, 4, 4),
}
DATA = np.random.default_rng(0).normal(size=(12, 3)).astype("f")


@pytest.mark.slow
def test_streamed_data_give_what_the_whole_gives():
    def apply(params, x):
        h = jax.vmap(lambda row: jnp.tanh(row @ params["in"]))(x)
        return jax.vmap(jnp.outer)(h, h) @ h[:, :, None]

    whole, streamed = (
        calibrate(apply, PARAMS, data) for data in ([DATA], iter([DATA[:5], DATA[5:10], DATA[10:]]))
    )
    assert list(whole) == ["in", "dot_general:0", "dot_general:1"] == list(streamed)
    for name, found in whole.items():
        same(found, streamed[name])
    assert whole["in"].count == DATA.size and whole["in"].high == DATA.max()


def test_turns_of_a_scan_are_put_together():
    found = calibrate(net, PARAMS, [DATA])
    h, entered = jax.nn.relu(DATA @ PARAMS["in"]), []
    for weight in PARAMS["stack"]:
        entered.append(h)
        h = jnp.tanh(h @ weight)
    assert found["stack"].count == np.size(entered)
    assert found["stack"].high == pytest.approx(float(np.max(entered)), rel=1e-6)
    assert found["stack"].low == pytest.approx(float(np.min(entered)), rel=1e-6)


def test_what_cannot_be_calibrated_is_left_float_and_listed():
    def apply(params, x):
        y = lax.cond(x.sum() > 0, lambda x: x @ params["in"], lambda x: -x @ params["in"], x)
        return y, net(params, x)

    found = calibrate(apply, PARAMS, [DATA])
    assert found.left_float == {
        "in": "it lies in a branch or a while loop",
        "in (2)": "it lies in a branch or a while loop",
        "dot_general (2)": "it holds no floating-point numbers",
    }
    assert "in (3)" in found
    assert "in (2)          left float: it lies in a branch" in str(found)


def test_compressed_leaves_and_several_inputs():
    leaf = Quantized(values=jnp.ones((3, 4), jnp.int8), scale=jnp.full((1, 1), 2.0), bits=8)
    found = calibrate(
        lambda p, x, y: (x + y["a"]) @ p["k"] @ jnp.eye(4), {"k": leaf}, [(DATA, {"a": DATA})]
    )
    assert found["k"].high == 2 * DATA.max()
    assert found["dot_general"].high == pytest.approx(4 * DATA.sum(1).max(), rel=1e-6)


def test_qparams_are_float32_on_the_estimated_range():
    found = calibrate(lambda p, x: x @ p, np.ones((1, 1), "f"), [np.array([[-1.0], [2.0], [0]])])
    scale, zero_point = found.qparams(make_grid(8, symmetric=False))[""]
    assert scale.dtype == np.float32 and scale == np.float32(3 / 255)
    assert zero_point.dtype == np.int8 and zero_point == -43
    narrow = found.qparams(make_grid(8), percentile(keep=0.5))[""]
    assert narrow.zero_point is None and narrow.scale == pytest.approx(1 / 127, rel=2 / BINS)


def refused(batches, apply=lambda p, x: x @ p, params=None):
    with pytest.raises(ValueError) as error:
        calibrate(apply, np.ones((3, 2), "f") if params is None else params, batches)
    return str(error.value)


def test_what_is_refused():
    assert refused([]).startswith("batches: must hold at least one batch")
    assert "batches[1]: inputs[0] must be like" in refused([DATA, DATA[0]])
    message = refused([DATA, DATA[:, :2]])
    assert "float32[12, 3]" in message and "float32[12, 2]" in message
    assert "int32[12, 3]" in refused([DATA, DATA.astype(np.int32)])
    assert "structure" in refused([DATA, (DATA, DATA)])
    assert refused([DATA], apply=lambda p, x: x + p[0, 0]).startswith("apply: must have products")
    with pytest.raises(TypeError, match="outside of jit"):
        jax.jit(lambda p: calibrate(lambda p, x: x @ p, p, [DATA]).left_float)(np.ones((3, 2)))


def test_activations_that_are_not_finite_are_named_by_layer():
    def apply(params, x):
        return jnp.log(x @ params["conv1/kernel"]) @ params["conv2/kernel"]

    params = {"conv1/kernel": np.eye(3, dtype="f"), "conv2/kernel": np.eye(3, dtype="f")}
    message = refused([np.ones((1, 3), "f"), np.array([[1.0, -1.0, 0.0]], "f")], apply, params)
    assert message.startswith("conv2/kernel: what enters must be finite, got 2 NaN or infinite in")
    assert "batch 1" in message
