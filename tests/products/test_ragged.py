"""A mixture of experts, whose products take groups of rows that data decide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxcompress as jc

pytestmark = pytest.mark.slow  # many compilations

ROWS, IN, WIDTH, EXPERTS, HIDDEN = 6, 3, 5, 3, 4
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype("f")


PARAMS = {
    "in": normal(IN, WIDTH),
    "router": normal(WIDTH, EXPERTS),
    "up": normal(EXPERTS, WIDTH, HIDDEN),
    "bias": normal(EXPERTS, HIDDEN),
    "down": normal(EXPERTS, HIDDEN, WIDTH),
    "out": normal(WIDTH, 2),
}
X = normal(ROWS, IN)


def moe(p, x):
    h = x @ p["in"]
    expert = jnp.argmax(h @ p["router"], -1)
    order = jnp.argsort(expert)
    sizes = jnp.bincount(expert, length=EXPERTS)
    up = lax.ragged_dot(h[order], p["up"], sizes) + p["bias"][expert[order]]
    y = lax.ragged_dot(jax.nn.gelu(up), p["down"], sizes)
    return (h + y[jnp.argsort(order)]) @ p["out"]


def one_by_one(p, x):
    """The same, an expert for each row."""
    h = x @ p["in"]
    expert = jnp.argmax(h @ p["router"], -1)
    up = jnp.einsum("ri,rio->ro", h, p["up"][expert]) + p["bias"][expert]
    return (h + jnp.einsum("ri,rio->ro", jax.nn.gelu(up), p["down"][expert])) @ p["out"]


def test_hidden_units_of_all_experts_and_the_width_go():
    np.testing.assert_allclose(moe(PARAMS, X), one_by_one(PARAMS, X), rtol=1e-4, atol=1e-5)
    groups = jc.unit_groups(moe, PARAMS, X)
    described = {
        g.name: (g.size, {(s.path, s.axis, s.indices.shape[1]) for s in g.slices}) for g in groups
    }
    assert described == {
        "in": (
            WIDTH,
            {("in", 1, 1), ("router", 0, 1), ("up", 1, 1), ("down", 2, 1), ("out", 0, 1)},
        ),
        "up": (HIDDEN, {("up", 2, 1), ("bias", 1, 1), ("down", 1, 1)}),
    }
    experts = {axis.path for axis in groups.frozen if axis.entries == EXPERTS}
    assert experts >= {"router", "up", "bias", "down"}
    assert not groups.unknown


@pytest.mark.parametrize("name", ["in", "up"])
def test_the_cut_is_the_silenced_network(name):
    groups = jc.unit_groups(moe, PARAMS, X)
    size = groups[name].size
    keep = {name: np.arange(size) != 1}
    assert jc.check_shrink(moe, PARAMS, groups, keep, X) < 1e-5
    small = jc.shrink(PARAMS, groups, keep)
    np.testing.assert_allclose(moe(small, X), one_by_one(small, X), rtol=1e-4, atol=1e-5)


def test_flops_by_hand():
    found = jc.flops(moe, PARAMS, X)
    assert found.by_path["up"] == 2 * ROWS * WIDTH * HIDDEN
    assert found.by_path["down"] == 2 * ROWS * HIDDEN * WIDTH
    assert not found.unknown

    def of_groups(p, x):
        """The sum of the outer products of the rows of each group."""
        numbers = lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])
        return lax.ragged_dot_general(x, x, jnp.array([1, 2, 3]), numbers) * p

    found = jc.flops(of_groups, np.float32(1), X)
    assert found.by_primitive["ragged_dot_general"] == 2 * ROWS * IN * IN


def test_what_enters_is_measured_and_rounded():
    ranges = jc.calibrate(moe, PARAMS, [X])
    assert set(ranges) == {"in", "router", "up", "down", "out"} and not ranges.left_float
    h = X @ PARAMS["in"]
    assert ranges["up"].low == pytest.approx(h.min()) and ranges["up"].count == h.size
    # One scale for each channel of each expert; activations left alone.
    bits = {"up": 3, "down": 3}
    sim = jc.quantization.fake_quantized(moe, None, bits=8, weight_bits=bits)(PARAMS, X)
    rounded = jc.quantize(
        {name: PARAMS[name] for name in bits},
        3,
        granularity=jc.quantization.per_channel({"up": (0, 2), "down": (0, 2)}),
        estimate=jc.quantization.min_max,
    )
    np.testing.assert_allclose(sim, moe({**PARAMS, **jc.dense(rounded)}, X), rtol=1e-4, atol=1e-5)
    assert jc.quantization.channel_axes(moe, PARAMS, X)["up"] == (0, 2)


def test_moments_of_experts_are_left_out_with_the_reason():
    found = jc.quantization.input_moments(moe, PARAMS, [X])
    assert set(found.layers) == {"in", "router", "out"}
    why = "data decide which of its groups meets an input"
    assert {found.left_out[path] for path in ("up", "down")} == {why}


def test_compressed_experts_run():
    for leaves in (jc.quantize(PARAMS, 4), jc.low_rank(PARAMS, ranks={"up": 1})):
        wanted = moe(jc.dense(leaves), X)
        np.testing.assert_allclose(jc.execute(moe)(leaves, X), wanted, rtol=1e-4, atol=1e-5)


def test_other_functions_take_experts_as_they_are():
    equal = jc.quantization.equalize(moe, PARAMS, X)
    np.testing.assert_allclose(moe(equal, X), moe(PARAMS, X), rtol=1e-4, atol=1e-4)
