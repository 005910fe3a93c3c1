"""Operations counted by hand; latency and memory say what they are of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxcompress as jc


def zeros(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_a_dense_layer_by_hand():
    def apply(p, x):
        return jax.nn.relu(x @ p["kernel"] + p["bias"])

    found = jc.flops(apply, {"kernel": zeros(7, 11), "bias": zeros(11)}, zeros(5, 7))
    assert found.by_path == {"kernel": 2 * 5 * 7 * 11, "bias": 5 * 11, "": 5 * 11}
    assert found.by_primitive["dot_general"] == 770 and found.total == 880


@pytest.mark.parametrize(
    ("groups", "stride", "size"), [(1, 1, 8), (1, 2, 4), (4, 1, 8)], ids=["plain", "half", "groups"]
)
def test_convolutions_by_hand(groups, stride, size):
    def apply(kernel, x):
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    found = jc.flops(apply, zeros(3, 3, 4 // groups, 12), zeros(2, 8, 8, 4))
    assert found.total == 2 * (2 * size * size * 12) * (3 * 3 * 4 // groups)


def test_zeros_between_the_entries_are_not_multiplied():
    def apply(kernel, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=numbers)

    found = jc.flops(apply, zeros(4, 4, 8, 16), zeros(2, 16, 16, 8))
    assert found.total == 2 * 2 * 16 * 16 * 8 * 16 * 16


def test_products_with_a_batch_belong_to_no_parameter():
    def attend(p, x):
        q, k = x @ p["q"], x @ p["k"]
        return jnp.einsum("btd,bsd->bts", q, k)

    found = jc.flops(attend, {"q": zeros(6, 4), "k": zeros(6, 4)}, zeros(3, 5, 6))
    assert found.by_path == {"q": 2 * 15 * 6 * 4, "k": 2 * 15 * 6 * 4, "": 2 * 3 * 5 * 5 * 4}


def test_what_is_computed_from_a_parameter_belongs_to_it():
    def apply(p, x):
        return x @ (p["kernel"] * p["scale"]).T

    found = jc.flops(apply, {"kernel": zeros(4, 3), "scale": zeros(4, 1)}, zeros(1, 3))
    assert found.by_path == {"kernel": 12 + 2 * 3 * 4}


def test_a_scan_counts_its_body_for_every_turn():
    def apply(p, x):
        return lax.scan(lambda h, w: (h @ w, None), x, p["layers"])[0]

    found = jc.flops(apply, {"layers": zeros(9, 4, 4)}, zeros(2, 4))
    assert found.by_path == {"layers": 9 * 2 * 2 * 4 * 4}


def test_the_dearest_branch_counts_and_loops_of_unknown_length_are_named():
    def apply(p, x):
        x = lax.cond(x[0, 0] > 0, lambda x: x @ p["w"], lambda x: x + 1, x)
        return lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x * 2 + x @ p["w"], x)

    found = jc.flops(apply, {"w": zeros(4, 4)}, zeros(1, 4))
    assert found.unknown_loops == 1
    assert found.by_path["w"] == 2 * 2 * 4 * 4
    assert found.by_primitive["mul"] == 4


def test_loops_in_loops_multiply():
    def apply(p, x):
        def turn(h, _):
            h = lax.cond(h[0, 0] > 0, lambda h: h @ p["w"], lambda h: h, h)
            return lax.while_loop(lambda h: h[0, 0] < 1, lambda h: h @ p["w"], h), None

        return lax.scan(turn, x, None, length=3)[0]

    found = jc.flops(apply, {"w": zeros(4, 4)}, zeros(1, 4))
    assert found.by_path["w"] == 3 * 2 * (2 * 4 * 4)
    assert found.unknown_loops == 1


def test_a_max_pool_and_a_reduction():
    def apply(p, x):
        pooled = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return pooled.sum() * p

    found = jc.flops(apply, zeros(), zeros(1, 4, 4, 3))
    assert found.by_primitive == {"reduce_window_max": 48, "reduce_sum": 12, "mul": 1}


def test_cutting_half_of_the_units_leaves_a_quarter_in_the_middle():
    def apply(p, x):
        return x @ p["a"] @ p["b"] @ p["c"]

    params = {"a": np.ones((8, 16), "f"), "b": np.ones((16, 16), "f"), "c": np.ones((16, 2), "f")}
    x = np.ones((1, 8), "f")
    groups = jc.unit_groups(apply, params, x)
    small = jc.shrink(params, groups, jc.choose_units(params, groups, remove=0.5))
    full, cut = jc.flops(apply, params, x), jc.flops(apply, small, x)
    assert {path: full.by_path[path] / cut.by_path[path] for path in params} == {
        "a": 2,
        "b": 4,
        "c": 2,
    }


def test_latency_says_what_it_is_of():
    found = jc.latency_ms(lambda p, x: x @ p, np.ones((4, 4), "f"), np.ones((3, 4), "f"), calls=5)
    first, third = found.quartiles
    assert 0 < first <= found.median <= third
    assert (found.calls, found.batch_size) == (5, 3)
    assert found.threads >= 1 and found.device == jax.devices()[0].device_kind


@pytest.mark.parametrize("wrong", [{"calls": 1}, {"warm_up": 0}])
def test_too_few_calls_are_refused(wrong):
    with pytest.raises(ValueError, match="^calls: must be at least 2"):
        jc.latency_ms(lambda p: p, 1.0, **wrong)


def test_memory_grows_with_what_lies_between():
    params, x = zeros(), zeros(1000)
    little = jc.costs.peak_bytes(lambda p, x: x.sum() * p, params, x)
    much = jc.costs.peak_bytes(lambda p, x: jnp.sort(jnp.outer(x, x)).sum() * p, params, x)
    assert 4000 <= little < 40_000 and much >= 4_000_000


def test_an_unknown_option_is_done_without(monkeypatch):
    from jaxcompress import compiled

    def refusing(function, compiler_options=None, **_):
        if compiler_options:
            raise RuntimeError("No such compile option")
        return function

    monkeypatch.setattr(compiled.jax, "jit", refusing)
    assert compiled._options.__wrapped__("cpu") is None
    assert compiled._options.__wrapped__("gpu") is None
