"""Chains given another weight, factor or offset, by hand; what they were given stays."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress.rewrite.adjust import clear_offsets, scale_weight, set_factor, set_offset
from jaxcompress.rewrite.affine import affine, find_chains
from jaxcompress.rewrite.values import Values

TREE = {
    "bias": np.array([10, 20], np.float32),
    "mean": np.array([3, 5], np.float32),
    "scale": np.array([6, -2], np.float32),
    "weight": np.array([[1, 2], [3, 4]], np.float32),
}
X = np.ones((1, 2), np.float32)


def norm(p, x):
    return (x @ p["weight"] - p["mean"]) * p["scale"] + p["bias"]


def chain_of(apply, tree=TREE):
    values = Values.of(apply, tree, (X,))
    (chain,) = find_chains(values)
    return values, chain


def leaves(values):
    names = sorted(values.named.paths)
    return {name: leaf.tolist() for name, leaf in zip(names, values.leaves, strict=True)}


def changed(values):
    before = {name: leaf.tolist() for name, leaf in TREE.items()}
    return {name: new for name, new in leaves(values).items() if new != before[name]}


@pytest.fixture
def by_norm():
    """The values and the chain of a norm, which no function may change."""
    values, chain = chain_of(norm)
    yield values, chain
    assert all(map(lambda a, b: a is b, values.leaves, values.named.leaves))
    a, b = affine(values, chain.terms, chain.count)
    assert (a.tolist(), b.tolist()) == ([6, -2], [10 - 3 * 6, 20 + 5 * 2])


def test_the_weight_is_multiplied_by_channel(by_norm):
    scaled = scale_weight(*by_norm, np.array([10.0, 0.5]))
    assert changed(scaled) == {"weight": [[10, 1], [30, 2]]}


def test_the_factor_becomes_one(by_norm):
    values, chain = by_norm
    neutral = set_factor(values, chain)
    assert changed(neutral) == {"scale": [1, 1]}
    assert affine(neutral, chain.terms, chain.count).b.tolist() == [7, 15]


def test_offsets_are_cleared_and_the_last_one_set(by_norm):
    values, chain = by_norm
    cleared = clear_offsets(values, chain)
    assert changed(cleared) == {"bias": [0, 0], "mean": [0, 0]}
    offset = set_offset(cleared, chain, np.array([1.0, 2.0]))
    assert changed(offset) == {"bias": [1, 2], "mean": [0, 0]}
    assert set_offset(offset, chain, np.array([1.0, 2.0])) is offset


def test_where_the_last_offset_is_not_free_another_is_taken():
    values, chain = chain_of(lambda p, x: norm(p, x) * p["bias"].sum())
    offset = set_offset(values, chain, np.array([120.0, 0.0]))
    assert changed(offset) == {"mean": [1, -10]}  # 30 * (10 - 6 * 1) and 30 * (20 - -2 * -10)


@pytest.mark.parametrize(
    "apply",
    [
        lambda p, x: x @ p["weight"] * 2,
        lambda p, x: (x @ p["weight"] * p["scale"], p["scale"]),
        lambda p, x: x @ p["weight"],
    ],
    ids=["a number", "returned too", "none"],
)
def test_factors_that_no_leaf_alone_holds(apply):
    assert set_factor(*chain_of(apply)) is None


def test_a_leaf_in_two_factors_changes_both():
    values, chain = chain_of(lambda p, x: x @ p["weight"] * p["scale"] * p["scale"].sum())
    other = set_factor(values, chain)
    assert changed(other) == {"scale": [1 / 4, 1 / 4]}  # the sum was 4, and is 1/2
    assert affine(other, chain.terms, chain.count).a.tolist() == [1 / 8, 1 / 8]


@pytest.mark.parametrize(
    "apply",
    [
        lambda p, x: x @ p["weight"] + 3,
        lambda p, x: (x @ p["weight"] + p["bias"], p["bias"]),
        lambda p, x: (x @ p["weight"] + p["bias"]) * p["scale"].at[0].set(0),
        lambda p, x: x @ p["weight"],
    ],
    ids=["a number", "returned too", "multiplied by 0", "none"],
)
def test_offsets_that_no_leaf_alone_holds(apply):
    values, chain = chain_of(apply)
    assert set_offset(values, chain, np.array([7.0, 9.0])) is None
    assert clear_offsets(values, chain).leaves[3] is TREE["weight"]


def test_entries_that_stand_for_several_channels_cannot_be_scaled_apart():
    def apply(p, x):
        return x @ jnp.broadcast_to(p["weight"][:, :1], (2, 2))

    values, chain = chain_of(apply)
    assert scale_weight(values, chain, np.array([2.0, 3.0])) is None
    both = scale_weight(values, chain, np.array([2.0, 2.0]))
    assert changed(both) == {"weight": [[2, 2], [6, 4]]}
