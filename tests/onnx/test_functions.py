"""Functions of the kinds that networks are made of: exported, or refused by name."""

import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, nn
from jax.experimental import pallas

from jaxcompress.errors import MismatchError
from jaxcompress.onnx import _rules as rules
from jaxcompress.onnx._file import export_onnx
from jaxcompress.onnx._libraries import library
from jaxcompress.onnx._node import primitives
from jaxcompress.onnx._runtime import onnx_function
from jaxcompress.quantization.calibration import calibrate

onnx = pytest.importorskip("onnx")
pytest.importorskip("jax2onnx")
pytest.importorskip("onnxruntime")

PAGE = Path(__file__).parents[2] / "docs" / "onnx.md"


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


PARAMS = {"w": numbers(4, 4), "b": numbers(4), "table": numbers(10, 4)}
ROWS, STEPS, IMAGES = numbers(3, 4), numbers(2, 3, 4), numbers(2, 8, 8, 3)
TOKENS = np.array([[1, 2, 3], [4, 5, 0]], np.int32)
ONES = np.ones(4, np.int32)
NHWC = ("NHWC", "HWIO", "NHWC")


def conv(kernel, padding="SAME", **options):
    def apply(p, x):
        return lax.conv_general_dilated(
            x, kernel, (1, 1), padding, dimension_numbers=NHWC, **options
        )

    return apply


def pool(function, start):
    return lambda p, x: lax.reduce_window(x, start, function, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def layer_norm(p, x):
    y = x - x.mean(-1, keepdims=True)
    return y * lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + 1e-5) * p["b"]


def attention(p, x):
    q = (x @ p["w"]).reshape(*x.shape[:2], 2, 2)
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, q)
    scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -1e9)
    return jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(scores), q).reshape(x.shape)


def rotary(p, x):
    angles = jnp.arange(x.shape[1])[:, None] / 10000 ** (jnp.arange(2) / 2)
    left, right = x[..., :2], x[..., 2:]
    turned = left * jnp.cos(angles) - right * jnp.sin(angles)
    return jnp.concatenate([turned, left * jnp.sin(angles) + right * jnp.cos(angles)], -1)


def lstm(p, x):
    def step(carry, row):
        hidden, cell = carry
        gates = jnp.concatenate([row, hidden], -1) @ numbers(8, 16)
        i, f, o, new = jnp.split(gates, 4, -1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(new)
        hidden = nn.sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), hidden

    zeros = jnp.zeros((x.shape[0], 4))
    return lax.scan(step, (zeros, zeros), x.transpose(1, 0, 2))[1]


def selective_scan(p, x):
    decay = nn.sigmoid(x @ p["w"])
    return lax.associative_scan(lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (decay, x), axis=1)[
        1
    ]


def scanned(step, start):
    return lambda p, x: lax.scan(lambda carry, row: (step(carry, row), carry.sum()), start, x)


def loop(p, x):
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.tanh(c[1] @ p["w"])), (0, x))


def switch(p, x):
    branches = [lambda v: v, lambda v: v * 2, lambda v: jnp.clip(v, 0.0, 1.0)]
    return lax.switch(x.argmax() % 3, branches, x)


def dot(numbers, **options):
    return lambda p, x: lax.dot_general(x, x, numbers, **options)


def negative(x):
    return (x < 0).astype(jnp.int32)


EXPORTED = {
    "activations": {
        "softmax": (lambda p, x: nn.softmax(x @ p["w"]), ROWS),
        "log_softmax": (lambda p, x: nn.log_softmax(x), ROWS),
        "logsumexp": (lambda p, x: nn.logsumexp(x, -1), ROWS),
        "gelu, exact": (lambda p, x: nn.gelu(x, approximate=False), ROWS),
        "gelu, approximate": (lambda p, x: nn.gelu(x), ROWS),
        "silu": (lambda p, x: nn.silu(x), ROWS),
        "relu6": (lambda p, x: nn.relu6(x @ p["w"]), ROWS),
        "hard_swish": (lambda p, x: nn.hard_swish(x), ROWS),
        "elu": (lambda p, x: nn.elu(x), ROWS),
        "softplus": (lambda p, x: nn.softplus(x), ROWS),
        "layer norm": (layer_norm, ROWS),
        "norm": (lambda p, x: x / jnp.linalg.norm(x, axis=-1, keepdims=True), ROWS),
    },
    "bounds": {
        "clip to numbers": (lambda p, x: jnp.clip(x @ p["w"], 0.0, 6.0), ROWS),
        "clip from below": (lambda p, x: jnp.clip(x, -1, None), ROWS),
        "clip from above": (lambda p, x: jnp.clip(x, None, 1), ROWS),
        "clip to parameters": (lambda p, x: jnp.clip(x, -jnp.square(p["b"]), p["b"] ** 2), ROWS),
        "clip to values of the input": (
            lambda p, x: jnp.clip(x, x.min(-1, keepdims=True) / 2, x.max(-1, keepdims=True) / 2),
            ROWS,
        ),
        "clip of integers": (lambda p, x: jnp.clip(x, 1, 3), TOKENS),
        "lax.clamp": (lambda p, x: lax.clamp(0.0, x, 1.0), ROWS),
        "lax.clamp between arrays": (lambda p, x: lax.clamp(x - 1, x * 2, jnp.ones_like(x)), ROWS),
        "lax.clamp of small integers": (
            lambda p, x: lax.clamp(np.int8(1), x, np.int8(3)),
            TOKENS.astype(np.int8),
        ),
        "maximum of parameters": (lambda p, x: jnp.maximum(x, p["b"]), ROWS),
        "maximum of computed zeros": (lambda p, x: jnp.maximum(p["b"] - p["b"], x), ROWS),
        "maximum of a number": (lambda p, x: lax.max(x, 0.25) + lax.max(0.0, x), ROWS),
        "minimum": (lambda p, x: jnp.minimum(0.5, x), ROWS),
    },
    "products": {
        "outer product of batches": (
            lambda p, x: jnp.einsum("bi,bj->bij", x @ p["w"], x),
            STEPS[0],
        ),
        "outer product of axes": (lambda p, x: jnp.einsum("bi,cj->bicj", x, x), ROWS),
        "outer product, turned": (lambda p, x: jnp.einsum("bi,bj->jbi", x, x @ p["w"]), ROWS),
        "outer product with a parameter": (lambda p, x: jnp.tensordot(x, p["b"], 0), ROWS),
        "vmap of jnp.outer": (lambda p, x: jax.vmap(jnp.outer)(x, x), ROWS),
        "batch axes last": (dot((((), ()), ((2,), (2,)))), STEPS),
        "all axes batch axes": (dot((((), ()), ((0, 1), (0, 1)))), ROWS),
        "sum over the middle": (dot((((1,), (1,)), ((2,), (2,)))), STEPS),
        "sum over two axes": (dot((((1, 2), (1, 2)), ((), ()))), STEPS),
        "sum over all axes but the batch": (dot((((1, 2), (1, 2)), ((0,), (0,)))), STEPS),
        "integers and floats": (lambda p, x: jnp.einsum("h,bh->bh", ONES, x), ROWS),
        "integers times a weight": (lambda p, x: negative(x) @ p["w"], ROWS),
        "integers": (lambda p, x: negative(x) @ negative(x).T, ROWS),
        "truth values times a weight": (lambda p, x: (x > 0) @ p["w"], ROWS),
        "truth values": (lambda p, x: lax.dot(x > 0, (x > 0).T), ROWS),
        "truth values, outer": (lambda p, x: jnp.einsum("bi,bj->bij", x > 0, x > 1), ROWS),
        "small integers into wide ones": (
            lambda p, x: lax.dot(x, x.T, preferred_element_type=jnp.int32),
            TOKENS.astype(np.int8),
        ),
        "einsum of three": (lambda p, x: jnp.einsum("bti,ij,bsj->bts", x, p["w"], x), STEPS),
        "batched matmul": (lambda p, x: x @ x.transpose(0, 2, 1), STEPS),
        "attention with a mask": (attention, STEPS),
        "rotary embedding": (rotary, STEPS),
    },
    "convolution and pooling": {
        "convolution": (conv(numbers(3, 3, 3, 4)), IMAGES),
        "groups": (conv(numbers(3, 3, 1, 6), feature_group_count=3), IMAGES),
        "dilation": (conv(numbers(3, 3, 3, 4), rhs_dilation=(2, 2)), IMAGES),
        "negative padding": (conv(numbers(3, 3, 3, 4), ((-1, 0), (1, -2))), IMAGES),
        "transposed": (
            lambda p, x: lax.conv_transpose(x, numbers(3, 3, 3, 4), (2, 2), "SAME"),
            IMAGES,
        ),
        "max pooling": (pool(lax.max, -np.inf), IMAGES),
        "min pooling": (pool(lax.min, np.inf), IMAGES),
        "mean pooling": (pool(lax.add, 0.0), IMAGES),
        "resize": (lambda p, x: jax.image.resize(x, (x.shape[0], 16, 16, 3), "bilinear"), IMAGES),
    },
    "moving entries": {
        "embedding": (lambda p, x: p["table"][x], TOKENS),
        "take": (lambda p, x: jnp.take(x, jnp.array([0, 2]), axis=1), ROWS),
        "one_hot": (lambda p, x: nn.one_hot(x, 10).sum(1), TOKENS),
        "where": (lambda p, x: jnp.where(x > 0, x, 0.1 * x), ROWS),
        "roll": (lambda p, x: jnp.roll(x, 1, -1), ROWS),
        "flip": (lambda p, x: jnp.flip(x, -1), ROWS),
        "strided slice": (lambda p, x: x[:, ::-2], ROWS),
        "dynamic_slice": (lambda p, x: lax.dynamic_slice(x, (0, x.argmax() % 2), (3, 2)), ROWS),
        "pad": (lambda p, x: jnp.pad(x, ((0, 0), (1, 2))), ROWS),
        "pad, reflect": (lambda p, x: jnp.pad(x, ((0, 0), (1, 2)), "reflect"), ROWS),
        "pad, edge": (lambda p, x: jnp.pad(x, ((0, 0), (1, 2)), "edge"), ROWS),
        "pad between entries": (lambda p, x: lax.pad(x, 0.5, ((0, 0, 0), (-1, 1, 2))), ROWS),
        "concatenate and split": (lambda p, x: jnp.concatenate(jnp.split(x, 2, -1), 0), ROWS),
        "sort": (lambda p, x: jnp.sort(x, -1), ROWS),
        "top_k": (lambda p, x: lax.top_k(x, 2), ROWS),
        "argmax": (lambda p, x: x.argmax(-1), ROWS),
        "searchsorted": (lambda p, x: jnp.searchsorted(jnp.array([-1.0, 0.0, 1.0]), x), ROWS),
        "scatter": (lambda p, x: x.at[:, jnp.array([0, 2])].add(1.0), ROWS),
    },
    "arithmetic": {
        "power": (lambda p, x: jnp.abs(x) ** 1.7, ROWS),
        "erf": (lambda p, x: lax.erf(x), ROWS),
        "floor_divide": (lambda p, x: x // 0.3, ROWS),
        "remainder": (lambda p, x: x % 0.7, ROWS),
        "floor_divide of integers": (lambda p, x: (x - 3) // 2, TOKENS),
        "remainder of integers": (lambda p, x: (x - 3) % 2, TOKENS),
        "fmod": (lambda p, x: jnp.fmod(x, 0.7), ROWS),
        "cumsum": (lambda p, x: jnp.cumsum(x, -1), ROWS),
        "cumprod": (lambda p, x: jnp.cumprod(x, -1), ROWS),
        "cumprod, reversed": (lambda p, x: lax.cumprod(x, 1, reverse=True), ROWS),
        "var": (lambda p, x: x.var(-1), ROWS),
        "random numbers of a fixed key": (
            lambda p, x: x * jax.random.bernoulli(jax.random.key(0), shape=(4,)),
            ROWS,
        ),
    },
    "loops and branches": {
        "LSTM": (lstm, STEPS),
        "selective scan": (selective_scan, STEPS),
        "scan with an outer product": (
            scanned(lambda c, row: c + jnp.outer(row, row), np.zeros((4, 4), np.float32)),
            ROWS,
        ),
        "scan with integers and floats": (
            scanned(lambda c, row: c + negative(row) @ row, np.zeros((), np.float32)),
            ROWS,
        ),
        "scan with clip": (
            scanned(lambda c, row: jnp.clip(c + row, -1.0, 1.0), np.zeros(4, np.float32)),
            ROWS,
        ),
        "scan with padding": (
            scanned(lambda c, row: c + jnp.pad(row, (1, 0))[:4], np.zeros(4, np.float32)),
            ROWS,
        ),
        "map": (lambda p, x: lax.map(lambda row: row @ p["w"], x), ROWS),
        "while_loop": (loop, ROWS),
        "fori_loop": (lambda p, x: lax.fori_loop(0, 3, lambda i, c: c * 0.5 + i, x), ROWS),
        "cond": (
            lambda p, x: lax.cond(x.sum() > 0, lambda v: v * 2, lambda v: v @ p["w"], x),
            ROWS,
        ),
        "switch": (switch, ROWS),
    },
}

ONE_BATCH = {"dynamic_slice"}
"""Functions that say themselves how large the batch is."""


def double(given, out):
    out[...] = given[...] * 2


def kernel(p, x):
    return pallas.pallas_call(double, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype))(x) @ p["w"]


def host(p, x):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


def printing(p, x):
    jax.debug.print("{}", x.sum())
    return x * 2


def foreign(p, x):
    return jax.ffi.ffi_call("nowhere", jax.ShapeDtypeStruct(x.shape, x.dtype))(x)


def half_precision(dtype):
    return lambda p, x: (x.astype(dtype) @ p["w"].astype(dtype)).astype(np.float32)


REFUSED = {
    "Pallas kernels": (kernel, ROWS, "got pallas_call; export the same computation in plain JAX"),
    "Pallas kernels in a loop": (
        lambda p, x: lax.scan(lambda c, row: (c + kernel(p, row[None]), None), x[:1], x)[0],
        ROWS,
        "got pallas_call; export the same",
    ),
    "callbacks": (host, ROWS, "got pure_callback; compute that in JAX: Python does not run"),
    "prints": (printing, ROWS, "got debug_print; leave the print out"),
    "foreign functions": (foreign, ROWS, "got ffi_call; export the same computation in plain JAX"),
    "several at once": (lambda p, x: foreign(p, host(p, x)), ROWS, "got ffi_call, pure_callback; "),
    "float16": (half_precision(np.float16), ROWS, "got float16 at convert_element_type; cast "),
    "bfloat16": (half_precision(jnp.bfloat16), ROWS, "got bfloat16 at convert_element_type; cast "),
    "complex numbers": (lambda p, x: jnp.abs(jnp.fft.rfft(x)), ROWS, "got complex64 at fft; comp"),
    "random numbers of a key from the input": (
        lambda p, x: jax.random.normal(jax.random.key(x[0, 0]), (3,)),
        TOKENS,
        "got key<fry> at random_seed; draw random numbers outside",
    ),
    "batch groups of a convolution": (
        conv(numbers(3, 3, 3, 4), batch_group_count=2),
        IMAGES,
        "at conv_general_dilated; write the part with conv_general_dilated with other primitives",
    ),
    "solving linear systems": (
        lambda p, x: jnp.linalg.inv(x[:, :3]),
        ROWS,
        "at custom_linear_solve; write the part with custom_linear_solve",
    ),
    "ragged_dot": (
        lambda p, x: lax.ragged_dot(x, numbers(2, 4, 4), jnp.array([1, 2])),
        ROWS,
        "at ragged_dot_general; write the part",
    ),
}

EACH = {name: case for group in EXPORTED.values() for name, case in group.items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@pytest.mark.parametrize("name", EACH)
@pytest.mark.slow
def test_functions_are_exported(name, path):
    apply, x = EACH[name]
    written = export_onnx(path, apply, PARAMS, x)
    assert written.difference < 1e-5
    results = onnx_function(path)(x)
    for got, expected in zip(
        results if isinstance(results, list) else [results],
        jax.tree.leaves(apply(PARAMS, jnp.asarray(x))),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        assert got.dtype == expected.dtype
    assert written.any_batch == (name not in ONE_BATCH)


@pytest.mark.parametrize("name", REFUSED)
def test_functions_are_refused_by_name(name, path):
    apply, x, text = REFUSED[name]
    with pytest.raises(ValueError, match=rf"^apply: must .*{re.escape(text)}.*\.$"):
        export_onnx(path, apply, PARAMS, x)
    assert not path.exists()


def test_the_page_lists_what_is_tried_here():
    listed = [
        *(f"- {group}: {', '.join(cases)}." for group, cases in EXPORTED.items()),
        "",
        f"Refused by name: {', '.join(REFUSED)}.",
    ]
    page = PAGE.read_text()
    between = page.partition("<!-- functions -->\n")[2].partition("<!-- end -->")[0]
    assert between == "\n".join(listed) + "\n"


def partitions():
    """Yield dimension numbers of products of every kind, and shapes that they go with."""
    letters = {"b": 2, "c": 3, "s": 4, "t": 2, "m": 3, "n": 2}
    for batches, sums in itertools.product(("", "b", "bc"), ("", "s", "st")):
        for left, right in itertools.product(("", "m"), ("", "n")):
            first, second = (batches + sums + left)[::-1], sums + batches[::-1] + right
            numbers = (
                (tuple(map(first.index, sums)), tuple(map(second.index, sums))),
                (tuple(map(first.index, batches)), tuple(map(second.index, batches))),
            )
            yield numbers, [tuple(letters[k] for k in names) for names in (first, second)]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.slow
def test_products_of_all_dimension_numbers_are_those_of_jax(dtype, path):
    cases = list(partitions())

    def apply(p, x):
        results = []
        for dimensions, shapes in cases:
            left, right = (
                (numbers(*shape, seed=seed) * 3).astype(dtype) * x[0].astype(dtype)
                for seed, shape in enumerate(shapes)
            )
            results.append(lax.dot_general(left, right, dimensions))
        return results

    written = export_onnx(path, apply, {}, np.full(1, 2, np.float32))
    assert len(cases) == 36 and written.difference < 1e-6
    expected = apply({}, np.full(1, 2, np.float32))
    for got, wanted in zip(onnx_function(path)(np.full(1, 2, np.float32)), expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_an_outer_product_is_one_multiplication(path):
    export_onnx(path, EXPORTED["products"]["outer product of batches"][0], PARAMS, ROWS)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("Mul") == 1 and "Einsum" not in kinds and "Expand" not in kinds


@pytest.mark.slow
def test_integers_are_for_products_that_sum(path):
    def apply(p, x):
        y = jnp.clip(x @ p["w"], -1.0, 1.0)
        return jnp.einsum("bi,bj->bij", y, y) + jnp.einsum("bi,j->bij", y, p["b"])

    written = export_onnx(path, apply, PARAMS, ROWS, int8=calibrate(apply, PARAMS, [ROWS]))
    assert written.quantized == ("w",)
    reason = "it sums over nothing: a multiplication"
    assert written.left_float == {"dot_general": reason, "b": reason}
    assert written.difference_simulated < 1e-5
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("QuantizeLinear") == 1


@pytest.mark.parametrize("wide", [False, True])
def test_numbers_of_64_bits_become_those_of_32(wide, path):
    def apply(p, x, index):
        best = (x @ p["w"]).argmax(-1)
        return x.astype(float) @ p["w"] + jnp.asarray(numbers(4), float), p["table"][index], best

    params = {name: value.astype(np.float64) for name, value in PARAMS.items()}
    inputs = ROWS.astype(np.float64), np.array([1, 2, 0])
    with jax.enable_x64(wide):
        written = export_onnx(path, apply, params, *inputs)
        assert written.difference < 1e-6
    graph = onnx.load(path).graph
    kinds = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    assert kinds == [1, 6, 1, 1, 6]  # float32 and int32
    with jax.enable_x64(True):
        for got, expected in zip(onnx_function(path)(*inputs), apply(params, *inputs), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_parameters_of_any_byte_order_are_their_values(dtype, path):
    params = {"w": PARAMS["w"].astype(dtype)}
    assert export_onnx(path, dense, params, ROWS).difference < 1e-6
    np.testing.assert_allclose(onnx_function(path)(ROWS), ROWS @ PARAMS["w"], rtol=1e-5, atol=1e-6)


def test_integers_of_a_float64_function(path):
    with jax.enable_x64(True):
        apply, params, x = dense, {"w": numbers(4, 3).astype(np.float64)}, ROWS.astype(np.float64)
        written = export_onnx(path, apply, params, x, int8=calibrate(apply, params, [x]))
    assert written.quantized == ("w",) and written.difference_simulated < 1e-5


def dense(p, x):
    return x @ p["w"]


LOST = {
    "params/w": ({"w": np.full((4, 2), 1e200)}, ROWS, "must fit float32, .* got 1e+200 of float64"),
    "inputs[0]": (PARAMS, np.full((2, 4), 2**40), "must fit int32, .* got 1099511627776 of int64"),
}


@pytest.mark.parametrize("name", LOST)
def test_numbers_that_32_bits_cannot_hold_are_refused(name, path):
    params, x, text = LOST[name]
    with (
        jax.enable_x64(True),
        pytest.raises(ValueError, match=rf"^{re.escape(name)}: {text}".replace("+", r"\+")),
    ):
        export_onnx(path, dense, params, x)


def test_a_function_that_needs_double_precision_is_refused(path):
    with (
        jax.enable_x64(True),
        pytest.raises(MismatchError, match="or needs more than the 32 bits of the file"),
    ):
        export_onnx(path, lambda p, x: (x + 1e9) - 1e9, {}, ROWS.astype(np.float64))


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_small_parameters_are_constants(dtype, path):
    params = {"w": jnp.asarray(PARAMS["w"], dtype)}
    assert export_onnx(path, dense, params, ROWS).difference < 1e-6
    # The remedy of the refusal.
    x = jnp.asarray(ROWS, dtype)
    with pytest.raises(
        ValueError, match=f"got {params['w'].dtype} at dot_general; cast parameters"
    ):
        export_onnx(path, dense, params, x)
    cast = jax.tree.map(lambda array: array.astype(np.float32), params)
    assert export_onnx(path, dense, cast, x.astype(np.float32)).difference < 1e-6


def test_keys_are_named_and_can_be_split_off(path):
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.dense = nnx.Linear(4, 4, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            return self.drop(self.dense(x))

    net = Net(nnx.Rngs(0))
    net.eval()
    graph, state = nnx.split(net)
    with pytest.raises(
        TypeError, match=r"^params/drop/rngs/.*: must be numbers, .*nnx\.Param, \.\."
    ):
        export_onnx(path, lambda p, x: nnx.merge(graph, p)(x), state, ROWS)
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    assert export_onnx(path, lambda p, x: nnx.merge(graph, p, rest)(x), params, ROWS).any_batch
    with pytest.raises(TypeError, match=r"^inputs\[1\]: must be numbers, got keys"):
        export_onnx(path, lambda p, x, key: x, {}, ROWS, jax.random.key(0))


def model(*nodes, opset=18):
    """Return a file of nodes from `x` to `y`."""
    graph = onnx.helper.make_graph(
        list(nodes),
        "by hand",
        [onnx.helper.make_tensor_value_info("x", 1, ["n", 4])],
        [onnx.helper.make_tensor_value_info("y", 1, None)],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    made.ir_version = 10
    return made.SerializeToString()


def test_what_onnx_runtime_raises_is_said_in_our_words(path, capfd):
    wrong = onnx.helper.make_node("Einsum", ["x", "x"], ["y"], "outer", equation="bi,bj->bbij")
    path.write_bytes(model(wrong))
    with pytest.raises(ValueError, match=r"^apply: must be what ONNX Runtime can run, got .*outer"):
        onnx_function(path)(ROWS)
    unknown = onnx.helper.make_node("Gemm", ["x", "b"], ["y"], "product")
    cast = onnx.helper.make_node("Cast", ["x"], ["b"], "cast", to=7)
    path.write_bytes(model(cast, unknown))
    with pytest.raises(ValueError, match=r"at node product .* no kernel for these dtypes: compute"):
        onnx_function(path)
    assert capfd.readouterr().err == ""


def test_a_failure_of_jax2onnx_names_the_primitive(path, monkeypatch):
    def broken(self, ctx, eqn):
        raise RuntimeError("no such thing\nand more")

    monkeypatch.setattr(system().PLUGIN_REGISTRY["erf"].__class__, "lower", broken)
    with pytest.raises(
        ValueError, match=r"jax2onnx can translate, got from it .* at erf; write the"
    ):
        export_onnx(path, lambda p, x: lax.erf(x), {}, ROWS)


def test_a_failure_of_a_rule_is_no_fault_of_jax2onnx(path, monkeypatch):
    def broken(equation, operands, shape):
        raise RuntimeError("no such thing")

    monkeypatch.setitem(rules.RULES, "rem", broken)
    with pytest.raises(
        ValueError, match=r"RuntimeError: no such thing at rem; .*to jaxcompress\.$"
    ):
        export_onnx(path, lambda p, x: jnp.fmod(x, 0.7), {}, ROWS)


def system():
    with primitives():
        return library("jax2onnx.plugins.plugin_system")
