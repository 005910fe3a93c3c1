"""The damage of one tensor's rounding, against arithmetic by hand."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress.products.moments import input_moments
from jaxcompress.quantization._mixed_bits import mixed_bits
from jaxcompress.quantization._quantize import quantize
from jaxcompress.quantization._rounding import fit_rounding
from jaxcompress.quantization._sensitivity import sensitivity
from jaxcompress.quantization.damages import relative_error
from jaxcompress.quantization.ranges import min_max

by_min_max = functools.partial(quantize, estimate=min_max)

# At 4 bits the scales are 1 and 0.5: 2.4 becomes 2, 1.3 becomes 1.5; at 2 bits 0 both times.
PARAMS = {"in": np.array([[7], [2.4]], "f"), "out": np.array([[3.5], [1.3]], "f")}
X = np.array([[0, 1]], "f")


def apply(p, x):
    h = x @ p["in"]
    return jnp.concatenate([h, h], axis=1) @ p["out"]


def test_a_net_of_two_layers_by_hand():
    table = sensitivity(apply, PARAMS, [X], bits=(4, 2), quantizer=by_min_max).prices
    assert list(table) == ["in", "out"]
    assert [p.size_bytes for p in table["in"].values()] == [1 + 4, 1 + 4]
    exact = 2.4 * (3.5 + 1.3)
    wanted = {
        "in": [(0.4 * 4.8 / exact) ** 2, 1.0],
        "out": [(2.4 * 0.2 / exact) ** 2, (2.4 * 1.3 / exact) ** 2],
    }
    for path, damages in wanted.items():
        assert list(table[path]) == [4, 2]
        np.testing.assert_allclose([p.damage for p in table[path].values()], damages, rtol=1e-5)


def test_damages_are_averaged_over_batches_and_may_be_any_function():
    def damage(outputs, exact):
        return jnp.abs(outputs["y"] - exact["y"]).max()

    def named(p, x, factor):
        return {"y": factor * apply(p, x)}

    batches = ((X, np.float32(factor)) for factor in (1, 2, 6))
    table = sensitivity(
        named, PARAMS, batches, bits=[4], damage=damage, quantizer=by_min_max
    ).prices
    np.testing.assert_allclose(table["in"][4].damage, 3 * 0.4 * 4.8, rtol=1e-5)


def test_the_function_is_traced_twice_however_many_tensors_there_are():
    traced = []

    def counted(p, x):
        traced.append(x.shape)
        return x @ p["a"] @ p["b"] @ p["c"]

    params = {name: np.eye(3, dtype="f") for name in "abc"}
    sensitivity(counted, params, [np.ones((2, 3), "f")] * 3, bits=(8, 4, 2))
    assert len(traced) == 2


def test_the_table_has_the_dearest_tensor_first():
    rows = str(sensitivity(apply, PARAMS, [X], bits=(2, 4), quantizer=by_min_max)).splitlines()
    assert rows == [
        "weights          4 bits          2 bits",
        "in       2.78e-02 (5 B)  1.00e+00 (5 B)",
        "out      1.74e-03 (5 B)  7.34e-02 (5 B)",
    ]


def test_fitted_rounding_is_measured_and_its_bits_go_to_quantize():
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=(16, 16)).astype("f") for name in ("one", "two")}
    x = (rng.normal(size=(64, 3)) @ rng.normal(size=(3, 16))).astype("f")

    def net(p, x):
        return jnp.tanh(x @ p["one"]) @ p["two"]

    moments = input_moments(net, params, [x])
    plain = sensitivity(net, params, [x], bits=(6, 3))
    fitted = sensitivity(
        net,
        params,
        [x],
        bits=(6, 3),
        quantizer=lambda p, bits: fit_rounding(p, quantize(p, bits), moments),
    )
    assert fitted.prices["one"][3].damage < 0.2 * plain.prices["one"][3].damage
    sizes = {bits: price.size_bytes for bits, price in plain.prices["one"].items()}
    bits = mixed_bits(plain, budget_bytes=sizes[6] + sizes[3])
    assert sorted(bits.values()) == [3, 6]
    rounded = quantize(params, bits)
    assert {path: leaf.bits for path, leaf in rounded.items()} == bits


def test_relative_error_takes_all_outputs_together():
    outputs = {"a": jnp.array([1, 2], jnp.bfloat16), "b": jnp.array(3)}
    exact = {"a": jnp.array([1, 0], jnp.bfloat16), "b": jnp.array(1)}
    assert relative_error(outputs, exact) == 4.0


def test_refusals():
    with pytest.raises(ValueError, match="batches: must hold at least one batch, got none"):
        sensitivity(apply, PARAMS, [])
    with pytest.raises(ValueError, match="bits: must give a quantized tensor at least, got none"):
        sensitivity(apply, PARAMS, [X], bits=())
    with pytest.raises(ValueError, match="in: damage must be finite, got nan at 8 bits"):
        sensitivity(apply, PARAMS, [0 * X])
    with pytest.raises(TypeError, match=r"damage: must be one number, got shape \(1, 1\)"):
        sensitivity(apply, PARAMS, [X], damage=lambda outputs, exact: outputs - exact)
    with pytest.raises(ValueError, match="bits: must be 1 to 8"):
        sensitivity(apply, PARAMS, [X], bits=(16,))
