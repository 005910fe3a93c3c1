"""What each function that traces does with primitives that it does not understand, and with calls.

`a` meets the inputs in the primitive, `b` in a plain product behind it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

import jaxcompress as jc
from jaxcompress.products.find import keeps_derivatives
from jaxcompress.products.unknown import find_unknown
from jaxcompress.trace.program import trace
from tests.helpers.unknown_nets import UNDERSTOOD, UNKNOWN, K, M, N, kernel

RNG = np.random.default_rng(0)
PARAMS = {"a": RNG.normal(size=(K, N)).astype("f"), "b": RNG.normal(size=(N, 3)).astype("f")}
X = RNG.normal(size=(M, K)).astype("f")


def net(name):
    """Return the primitive's name and a network with it."""
    dot = (UNKNOWN | UNDERSTOOD)[name]
    return name.split(",")[0], lambda p, x: jax.nn.relu(dot(x, p["a"])) @ p["b"]


def behind(name):
    """Return what enters the plain product, and the product alone."""
    return jax.nn.relu((UNKNOWN | UNDERSTOOD)[name](X, PARAMS["a"])), lambda p, h: h @ p["b"]


def flops(name):
    primitive, apply = net(name)
    found = jc.flops(apply, PARAMS, X)
    if primitive == "shard_map":  # its body is counted
        assert not found.unknown and found.by_path["a"] == 2 * M * K * N
        return
    assert found.unknown == {primitive: ("a",)}
    assert "unknown={" in str(found) and found.by_path["b"] == 2 * M * N * 3


def calibrate(name):
    primitive, apply = net(name)
    ranges = jc.calibrate(apply, PARAMS, [X])
    assert list(ranges) == ["b"]
    assert dict(ranges.left_float) == {"a": f"it enters {primitive}, which is not understood"}
    assert "a    left float: it enters" in str(ranges)


def fake_quantized(name):
    _, apply = net(name)
    h, product = behind(name)
    ranges = jc.calibrate(apply, PARAMS, [X])
    sim = jc.quantization.fake_quantized(apply, ranges, bits=3)(PARAMS, X)
    wanted = jc.quantization.fake_quantized(product, jc.calibrate(product, PARAMS, [h]), bits=3)(
        PARAMS, h
    )
    np.testing.assert_allclose(sim, wanted, rtol=1e-5, atol=1e-6)


def moments(name):
    primitive, apply = net(name)
    found = jc.quantization.input_moments(apply, PARAMS, [X])
    assert list(found.layers) == ["b"]
    assert found.left_out == {"a": f"it enters {primitive}, which is not understood"}

    def twice(p, x):
        return apply(p, x) + (x @ p["a"]) @ p["b"]

    found = jc.quantization.input_moments(twice, PARAMS, [X])
    assert list(found.layers) == ["b"] and "not understood" in found.left_out["a"]


def sensitivity(name):
    _, apply = net(name)
    found = jc.quantization.sensitivity(apply, PARAMS, [X], bits=(3,)).prices
    rounded = jc.dense(jc.quantize(PARAMS, 3))
    for path, prices in found.items():
        outputs = apply({**PARAMS, path: rounded[path]}, X)
        error = np.sum((outputs - apply(PARAMS, X)) ** 2) / np.sum(apply(PARAMS, X) ** 2)
        assert prices[3].damage == pytest.approx(float(error), rel=1e-3) and error > 0


def in_products(name):
    _, apply = net(name)
    scope = jc.scopes.in_products(apply, PARAMS, X)
    assert [path for path, leaf in PARAMS.items() if scope(path, leaf)] == ["b"]


def low_rank(name):
    primitive, apply = net(name)
    split = jc.lowrank.summed_axes(apply, PARAMS, X)
    plan = jc.lowrank.plan_ranks(PARAMS, ranks={"b": 1}, split=split)
    assert plan.ranks == {"b": 1}
    assert plan.left_dense == {"a": f"it enters {primitive}, which is not understood"}
    thin = jc.low_rank(PARAMS, ranks={"b": 1}, split=split)
    assert thin["a"] is PARAMS["a"]
    given = jc.execute(apply)(thin, X)
    np.testing.assert_allclose(given, apply(jc.dense(thin), X), rtol=1e-4, atol=1e-5)


def execute(name):
    _, apply = net(name)
    leaves = jc.quantize(PARAMS, 4)
    given = jc.execute(apply)(leaves, X)
    np.testing.assert_allclose(given, apply(jc.dense(leaves), X), rtol=1e-4, atol=1e-5)


def training(name):
    primitive, apply = net(name)
    aware = jc.quantization_aware(apply, None, bits=4)
    trainable = aware.init(PARAMS, X)
    assert list(trainable["steps"]["weights"]) == ["b"]
    assert primitive in aware.left_float(PARAMS, X)["a"]
    np.testing.assert_array_equal(aware.quantize(trainable)["a"], PARAMS["a"])


def unit_groups(name):
    primitive, apply = net(name)
    groups = jc.unit_groups(apply, PARAMS, X)
    assert not len(groups) and set(groups.unknown) == {primitive}
    assert set(groups.unknown[primitive]) == {"a", "b"}


TRACERS = [
    flops, calibrate, fake_quantized, moments, sensitivity, in_products, low_rank, execute,
    training, unit_groups,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("tracer", TRACERS, ids=lambda tracer: tracer.__name__)
def test_what_is_not_understood_is_named_or_kept_exactly(tracer, name):
    tracer(name)


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_calls_and_what_multiplies_nothing_are_understood(name):
    _, apply = net(name)
    found = jc.flops(apply, PARAMS, X)
    assert not found.unknown and found.by_path["a"] == 2 * M * K * N
    ranges = jc.calibrate(apply, PARAMS, [X])
    assert list(ranges) == ["a", "b"] and not ranges.left_float
    assert set(jc.quantization.input_moments(apply, PARAMS, [X]).layers) == {"a", "b"}
    scope = jc.scopes.in_products(apply, PARAMS, X)
    assert [path for path, leaf in PARAMS.items() if scope(path, leaf)] == ["a", "b"]


def test_kernels_of_activations_alone_are_named_by_the_primitive():
    def apply(p, x):
        return kernel(x @ p["a"], x.T) @ x[:, :3] @ p["b"][:3]

    found = jc.flops(apply, PARAMS, X)
    assert found.unknown == {"pallas_call": ("",)}
    ranges = jc.calibrate(apply, PARAMS, [X])
    assert dict(ranges.left_float) == {
        "pallas_call": "it enters pallas_call, which is not understood"
    }


def test_a_weight_that_is_measured_elsewhere_is_named_with_the_primitive():
    ranges = jc.calibrate(lambda p, x: kernel(x @ p["a"], p["a"]), PARAMS, [X])
    assert list(ranges) == ["a"] and list(ranges.left_float) == ["a (pallas_call)"]
    with pytest.raises(ValueError, match=r"got none; a: it enters pallas_call, which is not under"):
        jc.calibrate(lambda p, x: kernel(x, p["a"]), PARAMS, [X])


def test_what_is_computed_from_weights_alone_is_a_weight():
    def apply(p, x):
        return x @ jnp.linalg.cholesky(p["a"].T @ p["a"] + jnp.eye(K)) @ p["b"]

    assert list(jc.flops(apply, PARAMS, X).unknown) == ["cholesky"]
    ranges = jc.calibrate(apply, PARAMS, [X])
    assert list(ranges) == ["a", "b"] and not ranges.left_float


def test_gradients_of_ones_own_are_kept_where_kernels_are_run():
    _, apply = net("pallas_call, with a gradient")

    def loss(function, p):
        return jnp.sum(function(p, X) ** 2)

    given = jax.grad(functools.partial(loss, jc.execute(apply)))(PARAMS)
    wanted = jax.grad(functools.partial(loss, lambda p, x: jax.nn.relu(x @ p["a"]) @ p["b"]))(
        PARAMS
    )
    np.testing.assert_allclose(given["a"], wanted["a"], rtol=1e-4, atol=1e-5)


def test_calls_that_stay_one_equation_are_looked_into():
    program = trace(net("pallas_call, with a gradient")[1], PARAMS, X, keep=keeps_derivatives)
    assert [str(one) for one in find_unknown(program, ["a", "b"])] == ["pallas_call (a)"]


@pytest.mark.parametrize("manual", [{"d"}, {"d", "e"}])
def test_shards_count_on_each_device(manual):
    mesh = AbstractMesh((2, 3), ("d", "e"), axis_types=(AxisType.Auto,) * 2)
    rows = PartitionSpec(tuple(sorted(manual)))

    def apply(p, x):
        return jax.shard_map(
            jnp.matmul,
            mesh=mesh,
            in_specs=(rows, PartitionSpec()),
            out_specs=rows,
            axis_names=manual,
        )(x, p["a"])

    found = jc.flops(apply, PARAMS, np.ones((6, K), "f"))
    assert found.by_path == {"a": 2 * 6 * K * N} and not found.unknown


def test_a_fourier_transform_counts():
    found = jc.flops(lambda p, x: jnp.fft.fft(x).real * p["b"][0, 0], PARAMS, X)
    assert found.by_primitive["fft"] == 5 * M * K * 2 and not found.unknown


@pytest.mark.slow
def test_export_names_what_it_cannot_translate(tmp_path):
    pytest.importorskip("jax2onnx")
    with pytest.raises(ValueError, match="got pallas_call; export the same"):
        jc.export_onnx(tmp_path / "net.onnx", net("pallas_call")[1], PARAMS, X)
