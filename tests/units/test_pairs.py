"""Groups of two units, of which one goes, where code is traced otherwise for one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc

pytestmark = pytest.mark.slow  # many compilations

D, E = 5, 4


def normal(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype("f") for name, shape in shapes.items()}


def scores(q, k, v):
    return jax.nn.softmax(q @ k.swapaxes(-1, -2) / jnp.sqrt(q.shape[-1])) @ v


def by_heads(p, x):
    q, k, v = (jnp.einsum("btd,dhe->bhte", x, p[name]) for name in "qkv")
    return jnp.einsum("bhte,heo->bto", scores(q, k, v), p["o"])


def with_biases(p, x):
    q, k, v = ((jnp.tensordot(x, p[name], 1) + p[f"b{name}"]).swapaxes(1, 2) for name in "qkv")
    return jnp.tensordot(jnp.swapaxes(scores(q, k, v), 1, 2), p["o"], 2)


def in_a_row(p, x):
    q, k, v = ((x @ p[name]).reshape(*x.shape[:2], -1, E).swapaxes(1, 2) for name in "qkv")
    y = scores(q, k, v).swapaxes(1, 2)
    return y.reshape(*x.shape[:2], -1) @ p["o"]


def all_in_one(p, x):
    qkv = (x @ p["qkv"]).reshape(*x.shape[:2], 3, -1, E)
    q, k, v = (qkv[:, :, which].swapaxes(1, 2) for which in range(3))
    return scores(q, k, v).swapaxes(1, 2).reshape(*x.shape[:2], -1) @ p["o"]


def two_blocks(p, x):
    for block in ("first", "second"):
        x = x + by_heads(p[block], x)
    return x


def wide(heads):
    return {name: (D, heads, E) for name in "qkv"} | {"o": (heads, E, D)}


def long(heads):
    return {name: (D, heads * E) for name in "qkv"} | {"o": (heads * E, D)}


ATTENTION = {
    "by heads": (by_heads, normal(wide(2))),
    "with biases": (with_biases, normal(wide(2) | {f"b{name}": (2, E) for name in "qkv"})),
    "in a row": (in_a_row, normal(long(2))),
    "all in one": (all_in_one, normal({"qkv": (D, 3 * 2 * E), "o": (2 * E, D)})),
    "two blocks": (two_blocks, {name: normal(wide(2)) for name in ("first", "second")}),
}
X = np.random.default_rng(1).normal(size=(2, 3, D)).astype("f")


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("head", [0, 1])
def test_one_of_two_heads_may_go(name, head):
    apply, params = ATTENTION[name]
    groups = jc.unit_groups(apply, params, X)
    heads = [group for group in groups if group.size == 2]
    assert len(heads) == (2 if name == "two blocks" else 1)
    keep = {group.name: np.arange(2) == head for group in heads}
    assert jc.check_shrink(apply, params, groups, keep, X) < 1e-5
    small = jc.shrink(params, groups, keep)
    assert apply(small, X).shape == X.shape

    other = jc.shrink(params, groups, {name: ~stays for name, stays in keep.items()})

    def with_the_other(p, x):
        whole = jax.tree.map(jnp.shape, p) == jax.tree.map(jnp.shape, params)
        return apply(p if whole else other, x)

    wrong = jc.check_shrink(apply, params, groups, keep, X, small_apply=with_the_other)
    assert wrong > 1e-2


def test_heads_and_places_go_together_in_one_cut():
    groups = jc.unit_groups(by_heads, ATTENTION["by heads"][1], X)
    assert sorted(group.size for group in groups) == [2, 4, 4]
    keep = {g.name: np.arange(g.size) % 2 == 1 for g in groups}
    assert jc.check_shrink(by_heads, ATTENTION["by heads"][1], groups, keep, X) < 1e-5


def test_two_heads_that_are_written_down_stay():
    def apply(p, x):
        q, k, v = ((x @ p[name]).reshape(*x.shape[:2], 2, -1).swapaxes(1, 2) for name in "qkv")
        return scores(q, k, v).swapaxes(1, 2).reshape(*x.shape[:2], -1) @ p["o"]

    groups = jc.unit_groups(apply, normal(long(2)), X)
    assert len(groups) and all(group.size == E for group in groups)


def test_pairs_whose_place_matters_stay():
    def apply(p, x):
        h = x @ p["a"]
        return jnp.concatenate([h[:, :1] * 2, h[:, 1:]], 1) @ p["b"]

    params = normal({"a": (D, 2), "b": (2, 3)})
    assert not len(jc.unit_groups(apply, params, X[0]))


def test_pairs_that_must_stay_two_stay():
    def apply(p, x):
        a, b = jnp.split(x @ p["a"], 2, -1)
        return (a * b) @ p["b"]

    params = normal({"a": (D, 4), "b": (2, 3)})
    for group in jc.unit_groups(apply, params, X):
        assert {(s.path, s.indices.shape[1]) for s in group.slices} == {("a", 2), ("b", 1)}
