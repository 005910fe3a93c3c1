import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.errors import MismatchError, MissingLibraryError
from jaxcompress.leaves import Quantized, half
from jaxcompress.onnx import _file as file
from jaxcompress.onnx import _integers as integers
from jaxcompress.onnx import _lowering as lowering
from jaxcompress.onnx import _pooling as pooling
from jaxcompress.onnx import _runtime as runtime
from jaxcompress.onnx._comparison import difference
from jaxcompress.onnx._file import export_onnx
from jaxcompress.onnx._runtime import onnx_function
from jaxcompress.quantization._fake_quantized import fake_quantized
from jaxcompress.quantization._granularity import per_block, per_tensor
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization.calibration import calibrate
from jaxcompress.rewrite.roles import along

onnx = pytest.importorskip("onnx")
pytest.importorskip("jax2onnx")
pytest.importorskip("onnxruntime")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def conv(x, kernel, **options):
    options = {"window_strides": (1, 1), "padding": "SAME"} | options
    return lax.conv_general_dilated(
        x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
    )


def cnn(params, x):
    """Convolution, batch norm, ReLU, pooling, dense."""
    y = conv(x, params["conv"]["kernel"]) + params["conv"]["bias"]
    y = (y - params["norm"]["mean"]) * params["norm"]["scale"] + params["norm"]["bias"]
    n, h, w, c = y.shape
    y = jax.nn.relu(y).reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    return y.reshape(n, -1) @ params["dense"]["kernel"] + params["dense"]["bias"]


def cnn_params():
    return {
        "conv": {"kernel": numbers(3, 3, 2, 6) / 4, "bias": numbers(6, seed=1)},
        "norm": {
            "mean": numbers(6, seed=2),
            "scale": np.array([1, -0.5, 0, 2, 1, 0.1], np.float32),  # of both signs, and zero
            "bias": numbers(6, seed=3),
        },
        "dense": {"kernel": numbers(54, 3) / 7, "bias": numbers(3, seed=4)},
    }


def initializers(path):
    graph = onnx.load(path).graph
    return [onnx.numpy_helper.to_array(array) for array in graph.initializer]


def constants(path, dtype):
    return [array for array in initializers(path) if array.dtype == dtype and array.ndim > 1]


def dense(params, x):
    return x @ params["w"]


@pytest.fixture(scope="module")
def calibrated_cnn():
    params, x = cnn_params(), numbers(8, 6, 6, 2)
    return params, x, calibrate(cnn, params, [x])


@pytest.fixture(scope="module")
def calibrated_dense():
    params, x = {"w": numbers(6, 4)}, numbers(5, 6)
    return params, x, calibrate(dense, params, [x])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@pytest.mark.slow
def test_floats_are_those_of_jax_for_any_batch(path):
    params, x = cnn_params(), numbers(5, 6, 6, 2)
    written = export_onnx(path, cnn, params, x)
    assert written.any_batch and written.difference < 1e-5
    assert written.path == path and written.size_bytes == path.stat().st_size
    assert not written.quantized and not written.left_float and not written.integer_kernels
    run = onnx_function(path, threads=1)
    for batch in (1, 5, 8):
        x = numbers(batch, 6, 6, 2, seed=batch)
        np.testing.assert_allclose(run(x), cnn(params, x), rtol=1e-4, atol=1e-5)
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["x"]
    assert [value.name for value in graph.output] == ["y"]
    # Biases and batch norm are in the convolution, and the blocks are pooling.
    kinds = [node.op_type for node in graph.node]
    assert "Mul" not in kinds and "Add" not in kinds and "MaxPool" in kinds, kinds


def windows(window, strides, padding, function=lax.max, start=-np.inf):
    return lambda params, x: lax.reduce_window(x, start, function, window, strides, padding)


PADS = ((0, 0), (1, 1), (0, 1), (0, 0))
FUNCTIONS = {
    "max pooling, padded": (windows((1, 3, 3, 1), (1, 2, 2, 1), PADS), (2, 7, 6, 3)),
    "max pooling, channels second": (windows((1, 1, 2, 2), (1, 1, 2, 1), "VALID"), (2, 3, 6, 5)),
    "mean pooling": (windows((1, 3, 2, 1), (1, 1, 2, 1), "SAME", lax.add, 0.0), (2, 6, 6, 3)),
    "windows over channels": (windows((1, 1, 1, 2), (1, 1, 1, 2), "VALID"), (2, 4, 4, 6)),
    "maxima of one axis of a block": (
        lambda params, x: x.reshape(x.shape[0], 3, 2, 4).max(1),
        (2, 6, 4),
    ),
    "grouped": (
        lambda params, x: conv(x, numbers(3, 3, 1, 6), feature_group_count=3),
        (2, 5, 5, 3),
    ),
    "dilated, channels first": (
        lambda params, x: lax.conv_general_dilated(
            x, numbers(4, 3, 3, 2), (1, 2), ((1, 2), (0, 1)), rhs_dilation=(2, 1)
        ),
        (2, 3, 7, 6),
    ),
    "transposed convolution": (
        lambda params, x: lax.conv_transpose(x, numbers(3, 3, 3, 4), (2, 2), "SAME"),
        (2, 4, 4, 3),
    ),
    "several axes": (
        lambda params, x: jnp.einsum("nab,abcd->ncd", x, numbers(3, 4, 2, 5)) - numbers(2, 5),
        (2, 3, 4),
    ),
    "weights to the left": (
        lambda params, x: (2 - numbers(5, 3) @ x.T).T * numbers(5, seed=1),
        (4, 3),
    ),
    "maxima with a row of zeros": (
        lambda params, x: jnp.maximum(x[:, :1], np.zeros((1, 4), np.float32)),
        (2, 3),
    ),
    "a product used twice": (lambda params, x: (lambda y: (y + 1) * y)(x @ numbers(3, 4)), (2, 3)),
    "a product returned": (lambda params, x: (lambda y: (y, y + 1))(x @ numbers(3, 4)), (2, 3)),
    "nothing": (lambda params, x: x, (2, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_floats_are_those_of_jax(name, path):
    apply, shape = FUNCTIONS[name]
    written = export_onnx(path, apply, {}, numbers(*shape))
    assert written.any_batch and written.difference < 1e-5


def test_trees_of_inputs_and_outputs_have_names(path):
    def apply(params, x, more):
        return {"sum": x @ params["w"] + more["b"], "all": (more["a"] * 2, x)}

    x, more = numbers(2, 3), {"a": numbers(2, 1), "b": numbers(2, 4)}
    export_onnx(path, apply, {"w": numbers(3, 4)}, x, more)
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["x0", "x1/a", "x1/b"]
    assert [value.name for value in graph.output] == ["y/all/0", "y/all/1", "y/sum"]
    doubled, same, _ = onnx_function(path)(x, more)
    np.testing.assert_array_equal(doubled, more["a"] * 2)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(onnx_function(path)(x.astype(float), more)[1], x)
    with pytest.raises(ValueError, match=r"^inputs: must be 3 arrays \(x0, x1/a, x1/b\), got 1;"):
        onnx_function(path)(x)
    with pytest.raises(ValueError, match=r"^x0: must have shape \(batch, 3\), got \(2, 4\); pass"):
        onnx_function(path)(numbers(2, 4), more)


@pytest.mark.parametrize("apply", [lambda p, x: x.reshape(2, 2, 3), lambda p, x: x - x.mean()])
def test_a_function_that_needs_its_batch_keeps_it(apply, path):
    written = export_onnx(path, apply, {}, numbers(4, 3))
    assert written.difference < 1e-5
    assert onnx_function(path)(numbers(4, 3)).shape == apply({}, numbers(4, 3)).shape


@pytest.mark.slow
def test_integers_are_those_of_the_simulation(path, calibrated_cnn):
    params, x, ranges = calibrated_cnn
    written = export_onnx(path, cnn, params, x, int8=ranges, weight_bits=8)
    assert written.quantized == ("conv/kernel", "dense/kernel") and not written.left_float
    assert written.integer_kernels == {"QLinearConv": 1, "QGemm": 1}
    assert written.difference < 0.05 and written.difference_simulated < 0.01
    assert len(constants(path, np.int8)) == 2 and not constants(path, np.float32)
    assert onnx_function(path)(x[:3]).shape == (3, 3)


def test_a_product_of_integers_by_hand(path):
    params = {"w": np.array([[1.27, 0.5], [-0.3, 0.25]], np.float32)}
    x = np.array([[2.55, 0.013], [1.0, 0.004]], np.float32)  # steps of 0.01, rounded to 0.01 and 0
    ranges = calibrate(dense, params, [x])
    export_onnx(path, dense, params, x, int8=ranges, weight_bits=8)
    (values,) = constants(path, np.int8)
    np.testing.assert_array_equal(values, [[127, 127], [-30, 64]])
    scale = np.array([0.01, 0.5 / 127])
    wanted = np.array([[2.55, 0.01], [1.0, 0.0]]) @ (values * scale)
    np.testing.assert_allclose(onnx_function(path)(x), wanted, rtol=1e-5)


def test_a_convolution_whose_result_is_added_runs_in_integers(path):
    def apply(params, x):
        return jax.nn.relu(conv(jax.nn.relu(conv(x, params["a"])), params["b"]) + x)

    params, x = (
        {"a": numbers(3, 3, 4, 4) / 4, "b": numbers(3, 3, 4, 4, seed=1)},
        numbers(4, 5, 5, 4),
    )
    ranges = calibrate(apply, params, [x])
    written = export_onnx(path, apply, params, x, int8=ranges)
    assert written.integer_kernels == {"QLinearConv": 2}
    assert written.difference_simulated < 0.02


def test_integers_of_quantized_leaves_are_kept(path, calibrated_cnn):
    params, x, ranges = calibrated_cnn
    kept = quantize(params, bits=4)
    assert isinstance(kept["conv"]["kernel"], Quantized)
    # Other integers than rounding gives, as learned rounding has them.
    kernel = kept["dense"]["kernel"]
    moved = np.clip(np.asarray(kernel.values) + np.arange(54)[:, None] % 2, -7, 7).astype(np.int8)
    kept["dense"]["kernel"] = Quantized(values=moved, scale=kernel.scale, bits=4)
    written = export_onnx(path, cnn, kept, x, int8=ranges)
    assert written.difference_simulated < 0.02
    by_rank = {array.ndim: array for array in constants(path, np.int8)}
    np.testing.assert_array_equal(by_rank[2], moved)
    signs = np.sign(params["norm"]["scale"]).astype(np.int8)  # of the norm behind it
    values = np.asarray(kept["conv"]["kernel"].values) * signs
    np.testing.assert_array_equal(by_rank[4], values.transpose(3, 2, 0, 1))
    scales = [array for array in initializers(path) if array.dtype == np.float32]
    assert any(np.array_equal(array, np.ravel(kernel.scale)) for array in scales)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("granularity", "symmetric", "integers_run"),
    [(per_tensor, True, True), (per_tensor, False, False), (per_block(2), True, False)],
)
def test_grids_that_are_not_one_a_channel(
    granularity, symmetric, integers_run, path, calibrated_dense
):
    params, x, ranges = calibrated_dense
    kept = quantize(params, granularity=granularity, symmetric=symmetric)
    written = export_onnx(path, dense, kept, x, int8=ranges)
    assert bool(written.quantized) == integers_run
    assert list(written.left_float) == ([] if integers_run else ["w"])


@pytest.mark.slow
def test_what_stays_float_is_listed(path):
    def apply(params, x):
        x, _ = lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, params["loop"])
        x = lax.conv_transpose(x[:, None, None], params["up"], (2, 2), "SAME")[:, 0, 0]
        return x @ params["unknown"] @ params["known"]

    params = {
        "loop": numbers(2, 4, 4),
        "up": numbers(3, 3, 4, 4),
        "unknown": numbers(4, 4),
        "known": numbers(4, 2),
    }
    x = numbers(6, 4)
    ranges = calibrate(apply, params, [x])
    histograms = {name: found for name, found in ranges.items() if name != "unknown"}
    ranges = type(ranges)(histograms, {})
    written = export_onnx(path, apply, params, x, int8=ranges)
    assert written.quantized == ("known",)
    assert {name: why.split()[-1] for name, why in written.left_float.items()} == {
        "loop": "branch",
        "up": "it",
        "unknown": "it",
    }


@pytest.mark.slow
def test_a_product_of_activations_is_rounded_on_both_sides(path):
    def apply(params, x):
        query, key = x @ params["query"], x @ params["key"]
        return jax.nn.softmax(jnp.einsum("nqd,nkd->nqk", query, key)) @ x

    params, x = {"query": numbers(4, 4), "key": numbers(4, 4, seed=1)}, numbers(3, 5, 4)
    ranges = calibrate(apply, params, [x])
    written = export_onnx(path, apply, params, x, int8=ranges)
    assert len(written.quantized) == 4 and not written.left_float
    assert written.difference_simulated < 1e-3
    simulate = fake_quantized(apply, ranges, weight_bits=written.weight_bits)
    simulated = jax.jit(simulate)(params, x)
    assert difference(onnx_function(path)(x), np.asarray(simulated)) < 1e-3


def test_a_bias_beyond_32_bits_makes_steps_coarser(path):
    def apply(params, x):
        return x @ params["w"] + params["b"]

    params = {"w": np.array([[1e-9, 1.0]], np.float32), "b": np.array([3.0, 1.0], np.float32)}
    x = numbers(4, 1)
    ranges = calibrate(apply, params, [x])
    written = export_onnx(path, apply, params, x, int8=ranges)
    assert written.quantized == ("w",) and written.difference < 0.01


def test_channels_without_weights_keep_their_biases(path):
    """Channels of zeros, and those that weight decay has left next to nothing of."""

    def apply(params, x):
        return x @ params["w"] + params["b"]

    weights = np.array([[1, 0, 3e-36, 1e-42]], np.float32)
    params = {"w": weights, "b": np.array([0, 0.3, 2, -0.5], np.float32)}
    x = 1000 * numbers(4, 1)
    export_onnx(path, apply, params, x, int8=calibrate(apply, params, [x]))
    np.testing.assert_allclose(onnx_function(path)(x)[:, 1:], [[0.3, 2, -0.5]] * 4, rtol=1e-6)


def test_weights_have_seven_bits_where_eight_would_clip(path, monkeypatch, calibrated_dense):
    params, x, ranges = calibrated_dense
    monkeypatch.setattr(file, "has_integer_dot_product", lambda: False)
    assert export_onnx(path, dense, params, x, int8=ranges).weight_bits == 7
    assert np.abs(constants(path, np.int8)[0]).max() == 63
    with pytest.raises(ValueError, match=r"weight_bits: must be 7, or 8 .* got 4"):
        export_onnx(path, dense, params, x, int8=ranges, weight_bits=4)


def in_threes(params, x):
    return jnp.einsum("nsi,io->nso", x, params["w"])


def convolved(params, x):
    return jax.nn.relu(conv(x, params["w"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("apply", "weight", "inputs"),
    [(dense, (64, 5), (3, 64)), (in_threes, (64, 5), (2, 3, 64)), (convolved, (3, 3, 16, 5), None)],
)
def test_sums_of_eight_bits_are_exact_on_any_processor(apply, weight, inputs, path):
    """Neighbours of one sign: pairs of their products with large inputs are beyond 16 bits."""
    values = np.full(weight, 127, np.int8)
    values.reshape(-1, 5)[2::4] = values.reshape(-1, 5)[3::4] = -126
    scale = np.full((1,) * (len(weight) - 1) + (5,), 0.01, np.float32)
    kept = {"w": Quantized(values=values, scale=scale, bits=8)}
    x = np.abs(numbers(*(inputs or (2, 4, 4, 16)))) + 4
    ranges = calibrate(apply, {"w": kept["w"].dense()}, [x])
    for bits, dtype in ((7, np.uint8), (8, np.int8)):
        written = export_onnx(path, apply, kept, x, int8=ranges, weight_bits=bits)
        assert written.quantized == ("w",) and len(constants(path, dtype)) == 1
        assert sum(written.integer_kernels.values()) == 1
        # A convolution's result is rounded to one of 255 steps.
        assert written.difference_simulated < (0.01 if apply is convolved else 1e-5)
        if bits == 7:  # in a session with no option of ours
            own = runtime.library("onnxruntime").InferenceSession(path)
            got, wanted = own.run(None, {"x": x})[0], onnx_function(path)(x)
            np.testing.assert_array_equal(got, wanted)


def test_flags_of_the_processor_decide(monkeypatch, tmp_path):
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(runtime, "_FLAGS", flags)
    monkeypatch.setattr(runtime.platform, "machine", lambda: "x86_64")
    assert not runtime.has_integer_dot_product()  # nothing is known
    flags.write_text("flags : fpu avx2\n")
    assert not runtime.has_integer_dot_product()
    flags.write_text("flags : fpu avx2 avx_vnni\n")
    assert runtime.has_integer_dot_product()
    monkeypatch.setattr(runtime.platform, "machine", lambda: "arm64")
    flags.unlink()
    assert runtime.has_integer_dot_product()


WRONG = {
    "a bias lost": (lowering.AFFINE, "add", lambda place, gain, bias, c: (gain, bias)),
    "padding lost": (
        pooling.POOLS,
        "reduce_window_max",
        lambda x, params, shape: pooling._most(
            x, params | {"padding": [(0, 0), (2, 0), (2, 0), (0, 0)]}, shape
        ),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_model_is_refused(what, path, monkeypatch):
    def apply(params, x):
        y = conv(x, params["w"]) + params["b"]
        return lax.reduce_window(y, -np.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")

    params, x = {"w": numbers(3, 3, 2, 4), "b": numbers(4)}, numbers(3, 5, 5, 2)
    path.write_bytes(b"before")
    monkeypatch.setitem(*WRONG[what])
    with pytest.raises(MismatchError, match=r"^y: the ONNX model must give what JAX gives, got a "):
        export_onnx(path, apply, params, x)
    assert path.read_bytes() == b"before" and list(path.parent.iterdir()) == [path]


@pytest.mark.slow
def test_wrong_integers_are_refused(path, monkeypatch, calibrated_cnn):
    params, x, ranges = calibrated_cnn
    on_grid = integers.on_grid
    monkeypatch.setattr(
        integers, "on_grid", lambda x, steps: on_grid(x, steps._replace(scale=steps.scale / 2))
    )
    with pytest.raises(MismatchError, match=r"^y: .* the simulation gives, got a relative"):
        export_onnx(path, cnn, params, x, int8=ranges)
    assert not list(path.parent.iterdir())


def test_bad_input_is_refused(path):
    params, x = {"w": numbers(6, 4)}, numbers(5, 6)
    other = calibrate(lambda params, x: x @ params["v"], {"v": params["w"]}, [x])
    with pytest.raises(ValueError, match=r"^v: int8 must be ranges of this function, .* among w;"):
        export_onnx(path, dense, params, x, int8=other)
    with pytest.raises(TypeError, match=r"^int8: must be what calibrate returns, got dict"):
        export_onnx(path, dense, params, x, int8={"w": (0, 1)})
    with pytest.raises(ValueError, match=r"^y: must be finite to be compared"):
        export_onnx(path, dense, params, x * np.nan)
    with pytest.raises(ValueError, match=r"^y: must have numbers to be compared, got .*\(0, 4\)"):
        export_onnx(path, dense, params, x[:0])
    with pytest.raises(FileNotFoundError, match=r"net.onnx: must be an ONNX file"):
        onnx_function(path)
    assert not list(path.parent.iterdir())


def test_compressed_leaves_are_made_dense(path):
    params, x = half({"w": numbers(6, 4)}), numbers(5, 6)
    assert export_onnx(path, lambda p, x: x @ p["w"], params, x).difference < 1e-5


@pytest.mark.parametrize("name", ["jax2onnx", "onnx", "onnxruntime"])
def test_a_missing_library_is_named(name, path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibraryError, match=rf"needs {name}, .* 'jaxcompress\[onnx\]'"):
        export_onnx(path, lambda p, x: x, {}, numbers(2, 3))
    assert not path.exists()


def test_constants_along_channels():
    assert along((1,), np.array([[3.0, 4.0]]), (5, 2)).tolist() == [3, 4]
    assert along((1,), np.array(2.0), (5, 2)).tolist() == [2, 2]
    assert along((0,), np.array([[3.0, 4.0]]), (5, 2)) is None
    assert along((1, 2), np.ones((1, 1, 3)) * 2, ("n", 2, 3)).tolist() == [2] * 6


def test_exporting_replaces_no_function_of_jax(path):
    before = {name: getattr(jnp, name) for name in dir(jnp)}
    export_onnx(path, lambda p, x: jnp.cumsum(x @ p, -1), numbers(3, 2), numbers(4, 3))
    assert [name for name in before if getattr(jnp, name) is not before[name]] == []
    assert jnp.cumsum(jnp.ones(3), -1).tolist() == [1, 2, 3]
