"""What the proof of a cut says of code that few networks have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import jaxcompress as jc

HALF = np.array([True, False] * 4)


def weights(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape).astype("f"))


def difference(hidden, *inputs, a=HALF):
    """Return what the check says of `hidden` between two products, with half of the units."""

    def apply(p, x, *more):
        return hidden(x @ p["a"], *more) @ p["b"]

    params, inputs = {"a": weights(3, 8), "b": weights(8, 2)}, (weights(5, 3), *inputs)
    groups = jc.unit_groups(apply, params, *inputs)
    return jc.check_shrink(apply, params, groups, {"a": a}, *inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hidden",
    [
        lambda h: h / jnp.ones_like(h).sum(-1, keepdims=True),
        lambda h: h / (jnp.ones(h.shape[-1]) @ jnp.ones(h.shape[-1])),
        lambda h: h / jnp.sum(np.ones(h.shape[-1])),
        lambda h: h * (0.5 * jnp.ones(h.shape[-1])).prod(),
        lambda h: h - jnp.average(h, -1, weights=jnp.ones(h.shape), keepdims=True),
        lambda h: h / jnp.concatenate([h, jnp.ones_like(h)], -1).sum(-1, keepdims=True),
        lambda h: h * lax.scan(lambda c, _: (c * 1.5, None), 1.0, None, h.shape[-1])[0],
        lambda h: h * lax.scan(lambda c, x: (c + x, None), 0.0, jnp.ones(h.shape[-1]))[0],
    ],
)
def test_ones_are_counted_as_the_cut_function_does(hidden):
    assert difference(hidden) < 1e-5


def test_masks_are_counted_as_the_cut_function_does():
    mask = jnp.ones((5, 1), bool)

    def mean(h, mask):
        return h - jnp.mean(h, -1, where=mask, keepdims=True)

    def norm(h, mask):
        return nnx.LayerNorm(h.shape[-1], rngs=nnx.Rngs(0), use_scale=False, use_bias=False)(
            h, mask=mask
        )

    assert difference(mean, mask) < 1e-5
    assert difference(norm, mask) < 1e-5


def test_loops_end_row_by_row():
    def halve(row):
        return lax.while_loop(lambda c: abs(c).sum() > 1, lambda c: c * 0.5, row)

    assert difference(jax.vmap(halve)) < 1e-5
    assert difference(lambda h: jax.vmap(jax.vmap(halve))(h[None])[0]) < 1e-5


def test_loops_of_removed_units_end():
    def double(entry):
        return lax.while_loop(lambda c: abs(c) < 1, lambda c: c * 2, entry)

    assert difference(lambda h: jax.vmap(jax.vmap(double))(h)) < 1e-5


def turned(axis):
    """Return a function of two results, the first of them large, that turns a kernel round."""
    return lambda p, x: (1e9 * jnp.abs(x).sum(), x @ p["a"] @ lax.rev(p["b"], (axis,)))


def test_a_large_result_hides_no_other():
    x = weights(5, 3)
    groups = jc.unit_groups(turned(1), MLP, x)
    assert jc.check_shrink(turned(1), MLP, groups, {"a": HALF}, x) < 1e-6
    wrong = turned(0)
    assert jc.check_shrink(turned(1), MLP, groups, {"a": HALF}, x, small_apply=wrong) > 0.1


def test_results_that_are_zero_are_no_difference():
    assert proof(lambda p, x: (mlp(p, x), 0 * mlp(p, x)), MLP) < 1e-6


def proof(apply, params, other=None, keep=None, **changes):
    """Return what is said of half of the units of `a`, with other parameters or code."""
    x = weights(5, 3)
    groups = jc.unit_groups(apply, params, x)
    return jc.check_shrink(other or apply, {**params, **changes}, groups, keep or {"a": HALF}, x)


MLP = {"a": weights(3, 8), "b": weights(8, 2)}


def mlp(p, x):
    return x @ p["a"] @ p["b"]


def test_parameters_of_other_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"^b: must have the shape .* \(8, 2\), got \(8, 3\)"):
        proof(mlp, MLP, b=weights(8, 3))
    with pytest.raises(ValueError, match="^c: must be among the parameters that groups"):
        proof(mlp, MLP, c=weights(2))
    x = weights(5, 3)
    groups = jc.unit_groups(mlp, MLP, x)
    with pytest.raises(ValueError, match=r"^b: .* \(8, 2\), and is missing; find the groups again"):
        jc.check_shrink(lambda p, x: x @ p["a"], {"a": MLP["a"]}, groups, {"a": HALF}, x)


def test_another_function_is_an_error():
    with pytest.raises(ValueError, match="results of 5x8 became 5x4; find the groups"):
        proof(mlp, MLP, other=lambda p, x: x @ p["a"] * p["b"].sum())


def test_other_results_are_an_error():
    x = weights(5, 3)
    groups = jc.unit_groups(mlp, MLP, x)
    for other in (lambda p, x: (mlp(p, x), x), lambda p, x: mlp(p, x[:1])):
        with pytest.raises(ValueError, match="must do the same on the cut parameters"):
            jc.check_shrink(mlp, MLP, groups, {"a": HALF}, x, small_apply=other)


def attention(p, x):
    """Four heads of two places, with products that `jnp.matmul` writes otherwise for one head."""
    q, k, v = (jnp.einsum("btd,dhe->bhte", x, p[name]) for name in "qkv")
    y = jax.nn.softmax(q @ k.swapaxes(-1, -2)) @ v
    return jnp.einsum("bhte,heo->bto", y, p["o"])


HEADS = {**dict(zip("qkv", weights(3, 3, 4, 2), strict=True)), "o": weights(4, 2, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("head", [0, 3])
def test_one_head_may_stay(head):
    x = weights(2, 5, 3)
    groups = jc.unit_groups(attention, HEADS, x)
    keep = {group.name: np.arange(4) == head for group in groups if group.size == 4}
    assert keep and jc.check_shrink(attention, HEADS, groups, keep, x) < 1e-5
    wrong = jc.check_shrink(
        attention, HEADS, groups, keep, x,
        small_apply=lambda p, x: attention({**p, "q": p["k"], "k": p["q"]}, x),
    )  # fmt: skip
    assert wrong > 1e-2


def test_code_that_does_something_else_with_one_unit_is_an_error():
    def apply(p, x):
        h = x @ p["a"]
        return (h if h.shape[1] > 1 else jnp.tanh(h)) @ p["b"]

    one = {"a": np.arange(8) == 2}
    assert proof(apply, MLP, keep=one) > 1e-2

    def rebuilt(p, x):
        assert p["a"].shape[1] == 1
        return apply(p, x)

    x = weights(5, 3)
    groups = jc.unit_groups(apply, MLP, x)
    with pytest.raises(ValueError, match="2 equations became 3; leave at least two units of a, "):
        jc.check_shrink(apply, MLP, groups, one, x, small_apply=rebuilt)
