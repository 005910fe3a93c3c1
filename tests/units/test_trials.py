"""Groups are tried out in few traces, and units that must go together are found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.nnx import functional
from jaxcompress.units._failures import Failure
from jaxcompress.units.patterns import Found
from jaxcompress.units.trials import counts_apart, sifted
from tests.helpers.groups import described, random_keep


@pytest.mark.parametrize(
    "sizes",
    [[2], [9], [2, 2], [2] * 9 + [3, 4, 8], [32] * 58 + [128] * 58, [6, 12, 24], [2, 3, 4, 1000]],
)
def test_of_any_two_groups_each_loses_more_in_some_trial(sizes):
    trials = np.array(counts_apart(sizes, np.random.default_rng(0)))
    assert len(trials) <= 2 + 2 * len(sizes).bit_length()
    shares = trials / np.array(sizes)
    for one in range(len(sizes)):
        assert trials[:, one].max() == max(sizes[one] - 2, 1)
        for other in range(one):
            assert (shares[:, one] != shares[:, other]).any()
            if sizes[one] == sizes[other]:
                assert (trials[:, one] > trials[:, other]).any()
                assert (trials[:, one] < trials[:, other]).any()
    assert (trials >= 0).all() and (trials < sizes).all()


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), max_size=30))
def test_groups_that_fail_are_found_in_few_calls(lots):
    count = sum(map(len, lots))
    fails = dict(enumerate(flag for lot in lots for flag in lot))
    numbers = iter(range(count))
    groups = [[Found(np.array([next(numbers)]), (), False, False) for _ in lot] for lot in lots]
    tried = []

    def complaint(good, some):
        tried.append((good, some))
        assert not any(fails[group.mark] for group in good)
        return Failure("no") if any(fails[group.mark] for group in some) else None

    good, failures = sifted(groups, complaint)
    # Of a lot whose first fails nothing more is known.
    known = [g.mark for lot in groups for g in (lot[:1] if fails[lot[0].mark] else lot)]
    assert sorted([*failures, *(g.mark for g in good)]) == known
    assert all(fails[mark] for mark in failures)
    assert len(tried) <= 2 * count + len(lots) + 10


def halves(p, x):
    left, right = jnp.split(x @ p["a"], 2, -1)
    return left @ p["u"] + right @ p["v"]


def every_other(p, x):
    y = x @ p["a"]
    return y[:, ::2] @ p["u"] + y[:, 1::2] @ p["v"]


def rounded_halves(p, x):
    y = x @ p["a"]
    half = y.shape[-1] // 2
    return y[:, :half] @ p["u"] + y[:, half:] @ p["v"]


def rounded_thirds(p, x):
    y = x @ p["a"]
    third = y.shape[-1] // 3
    q, k, v = y[:, :third], y[:, third : 2 * third], y[:, 2 * third :]
    return (q * k) @ p["u"] + v @ p["v"]


@pytest.mark.parametrize("size", [4, 5, 8])
@pytest.mark.parametrize(("apply", "parts"), [(rounded_halves, 2), (rounded_thirds, 3)])
def test_parts_that_code_rounds_go_together(apply, parts, size):
    params = {"a": normal(rng := np.random.default_rng(0), (3, parts * size))}
    params |= {"u": normal(rng, (size, 2)), "v": normal(rng, (size, 2))}
    groups = jc.unit_groups(apply, params, np.ones((2, 3), "f"))
    (group,) = groups
    a, u, v = group.slices
    assert group.size == size and a.indices.shape == (size, parts)
    assert (u.path, v.path) == ("u", "v")
    keep = {group.name: np.arange(size) == 1}
    assert jc.check_shrink(apply, params, groups, keep, np.ones((2, 3), "f")) <= 1e-5


def thirds(p, x):
    one, two, three = jnp.split(x @ p["a"], 3, -1)
    return one @ p["u"] + jnp.tanh(two) @ p["v"] + three @ p["w"]


def reversible(p, x):
    left, right = jnp.split(x @ p["a"], 2, -1)
    left = left + jnp.tanh(right @ p["f"]) @ p["g"]
    right = right + jnp.tanh(left @ p["h"]) @ p["i"]
    return jnp.concatenate([left, right], -1) @ p["b"]


COUPLED = {
    "halves": (halves, {"a": (3, 8), "u": (4, 2), "v": (4, 2)}, {"a": (4, "a:1x2 u:0 v:0")}),
    "every other": (
        every_other,
        {"a": (3, 8), "u": (4, 2), "v": (4, 2)},
        {"a": (4, "a:1x2 u:0 v:0")},
    ),
    "thirds": (
        thirds,
        {"a": (3, 12), "u": (4, 2), "v": (4, 2), "w": (4, 2)},
        {"a": (4, "a:1x3 u:0 v:0 w:0")},
    ),
    "reversible": (
        reversible,
        {"a": (3, 8), "f": (4, 5), "g": (5, 4), "h": (4, 6), "i": (6, 4), "b": (8, 2)},
        {"a": (4, "a:1x2 f:0 g:1 h:0 i:1 b:0x2"), "f": (5, "f:1 g:0"), "h": (6, "h:1 i:0")},
    ),
}


def normal(rng, shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", COUPLED)
def test_groups_that_must_lose_equally_many_go_together(name):
    apply, shapes, expected = COUPLED[name]
    rng = np.random.default_rng(0)
    params = {key: normal(rng, shape) for key, shape in shapes.items()}
    x = normal(rng, (2, 3))
    groups = jc.unit_groups(apply, params, x)
    assert {group.name: described(group) for group in groups} == {
        key: (size, sorted(parts.split())) for key, (size, parts) in expected.items()
    }
    assert not groups.unknown and not groups.note
    assert jc.check_shrink(apply, params, groups, random_keep(groups, 0), x) <= 1e-5


def test_the_first_unit_of_one_half_goes_with_the_first_of_the_other():
    params = {"a": np.ones((3, 8)), "u": np.ones((4, 2)), "v": np.ones((4, 2))}
    half = jc.unit_groups(halves, params, np.ones((2, 3)))["a"].slices[0]
    np.testing.assert_array_equal(half.indices, [[0, 4], [1, 5], [2, 6], [3, 7]])
    other = jc.unit_groups(every_other, params, np.ones((2, 3)))["a"].slices[0]
    np.testing.assert_array_equal(other.indices, [[0, 1], [2, 3], [4, 5], [6, 7]])


class TwoBlocks(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.blocks = nnx.List(
            nnx.MultiHeadAttention(2, 4, qkv_features=6, decode=False, rngs=rngs) for _ in range(2)
        )
        self.last = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


@pytest.mark.slow
def test_the_widths_of_queries_keys_and_values_go_together_in_each_block():
    net = functional(lambda rngs: TwoBlocks(rngs))
    rng = np.random.default_rng(0)
    shells = jax.eval_shape(net.init, jax.random.key(0))
    params, stats = jax.tree.map(lambda leaf: normal(rng, leaf.shape), shells)
    x = normal(rng, (2, 3, 3))
    groups = jc.unit_groups(net.apply, params, stats, x)
    for k in range(2):
        width = groups[f"blocks/{k}/query/kernel:2"]
        assert width.size == 3
        assert {f"{part.path}:{part.axis}" for part in width.slices} == {
            f"blocks/{k}/{part}"
            for part in (
                *("query/kernel:2", "key/kernel:2", "value/kernel:2", "out/kernel:1"),
                *("query/bias:1", "key/bias:1", "value/bias:1"),
            )
        }
    keep = random_keep(groups, 0)
    assert jc.check_shrink(net.apply, params, groups, keep, stats, x) <= 1e-4
    score = jc.prune.activation_score(net.apply, stats, x)  # values are read, queries and keys too
    assert (score(params, groups.groups)["blocks/0/query/kernel:2"] > 0).all()
