"""Entries of parameters that an example does not use, and what several examples use alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxcompress as jc
from jaxcompress.trace.program import trace
from jaxcompress.units._usage import used_inputs
from jaxcompress.units.walk import NOT_BY_ALL, NOT_USED

N, D = 16, 4


def one_hot(pos, n):
    return jax.nn.one_hot(jnp.arange(n), N) @ pos


def one_hot_by_hand(pos, n):
    rows = lax.broadcasted_iota(jnp.int32, (n, N), 0) == lax.broadcasted_iota(jnp.int32, (n, N), 1)
    return jnp.einsum("tn,nd->td", rows.astype(pos.dtype), pos)


def in_branches(pos, n):
    return lax.cond(pos[0, 0] > 0, lambda p: p[:n], lambda p: 2 * p[: n - 1].mean(0) + p[:n], pos)


def in_a_loop(pos, n):
    def turn(carry, x):
        return carry + pos[:n].sum(), x + pos[:n]

    return lax.scan(turn, 0.0, jnp.ones((3, n, D)))[1].sum(0)


def carried(pos, n):
    """Look at one row more in each of two turns."""

    def turn(_, carry):
        table, seen = carry
        return jnp.roll(table, -1, 0), seen + table[: n - 1].sum()

    return lax.fori_loop(0, 2, turn, (pos, 0.0))[1] + pos[:n]


LOOKUPS = {
    "slice": lambda pos, n: pos[:n],
    "the last": lambda pos, n: pos[-n:],
    "every other": lambda pos, n: pos[: 2 * n : 2],
    "backwards": lambda pos, n: pos[::-1][:n],
    "split": lambda pos, n: jnp.split(pos, [n])[0],
    "lax.split": lambda pos, n: lax.split(pos, [n, N - n])[0],
    "negative padding": lambda pos, n: lax.pad(pos, 0.0, ((0, n - N, 0), (0, 0, 0))),
    "dynamic_slice": lambda pos, n: lax.dynamic_slice(pos, (1, 0), (n, D)),
    "dynamic_slice_in_dim": lambda pos, n: lax.dynamic_slice_in_dim(pos, 2, n),
    "take": lambda pos, n: jnp.take(pos, jnp.arange(n), axis=0),
    "take, clipped": lambda pos, n: jnp.take(pos, jnp.arange(n), axis=0, mode="clip"),
    "indexed": lambda pos, n: pos[jnp.arange(n)],
    "indexed by numpy": lambda pos, n: pos[np.arange(n)],
    "backwards by index": lambda pos, n: pos[n - 1 - jnp.arange(n)],
    "one hot": one_hot,
    "one hot by hand": one_hot_by_hand,
    "transposed": lambda pos, n: pos.T[:, :n].T,
    "in blocks": lambda pos, n: pos.reshape(2, N // 2, D)[:1].reshape(-1, D)[:n],
    "flat": lambda pos, n: pos.reshape(-1)[: n * D].reshape(n, D),
    "by rows": lambda pos, n: jnp.stack([pos[k] for k in range(n)]),
    "unstacked": lambda pos, n: jnp.stack(list(pos)[:n]),
    "put together": lambda pos, n: jnp.concatenate([pos, jnp.zeros((2, D))])[:n],
    "computed first": lambda pos, n: jnp.tanh(pos - pos.mean(-1, keepdims=True))[:n],
    "summed up": lambda pos, n: jnp.cumsum(pos, 1)[:n],
    "sorted": lambda pos, n: jnp.sort(pos, 1)[:n],
    "multiplied": lambda pos, n: (pos @ jnp.ones((D, D)))[:n],
    "branches": in_branches,
    "a loop": in_a_loop,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOKUPS)
def test_rows_that_this_example_does_not_use_stay(name):
    def apply(p, x):
        h = (x + LOOKUPS[name](p["pos"], x.shape[1])) @ p["up"]
        return jax.nn.relu(h) @ p["down"]

    rng = np.random.default_rng(0)
    params = {"pos": rng.normal(size=(N, D)), "up": rng.normal(size=(D, 6))}
    params |= {"down": rng.normal(size=(6, 2))}
    params = {name: array.astype("f") for name, array in params.items()}
    x = rng.normal(size=(2, 5, D)).astype("f")
    groups = jc.unit_groups(apply, params, x)
    assert groups.names == ["up"]
    (rows,) = [axis for axis in groups.frozen if (axis.path, axis.axis) == ("pos", 0)]
    assert rows.entries == N and NOT_USED in rows.reasons
    keep = jc.choose_units(params, groups, remove=0.5)
    small = jc.shrink(params, groups, keep)
    assert jc.check_shrink(apply, params, groups, keep, x) < 1e-5
    longest = {"every other": N // 2, "in blocks": N // 2}.get(name, N - 2)
    assert apply(small, rng.normal(size=(2, longest, D)).astype("f")).shape == (2, longest, 2)


def used(function, *arrays):
    masks = used_inputs(trace(lambda given: function(*given), list(arrays)))
    return [None if m is None else [list(map(int, axis)) for axis in m] for m in masks]


def test_what_is_used_by_hand():
    a, b = np.ones((4, 2), "f"), np.ones((2, 3), "f")
    assert used(lambda a, b: a[1:3] @ b[:, :1], a, b) == [
        [[0, 1, 1, 0], [1, 1]],
        [[1, 1], [1, 0, 0]],
    ]
    assert used(lambda a, b: (a @ b)[:2, 2:], a, b) == [[[1, 1, 0, 0], [1, 1]], [[1, 1], [0, 0, 1]]]
    assert used(lambda a, b: jnp.concatenate([a.T, b], 1)[:, 1:5], a, b) == [
        [[0, 1, 1, 1], [1, 1]],
        [[1, 1], [1, 0, 0]],
    ]
    assert used(lambda a, b: jnp.concatenate([a.T, b], 1)[:, :4], a, b)[1] is None
    assert used(lambda a, b: a.sum(1)[::2], a, b) == [[[1, 0, 1, 0], [1, 1]], None]
    assert used(lambda a, b: a.reshape(8)[:3], a, b) == [[[1, 1, 0, 0], [1, 1]], None]
    assert used(lambda a, b: a[1] + a[2, :1], a, b) == [[[0, 1, 1, 0], [1, 1]], None]


def test_convolutions_use_the_channels_of_what_is_read():
    x, kernel = np.ones((1, 4, 4, 4), "f"), np.ones((3, 3, 2, 6), "f")

    def apply(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=2
        )[..., :3]

    found = used(apply, x, kernel)
    assert found[0][3] == [1, 1, 0, 0]
    assert found[1][3] == [1, 1, 1, 0, 0, 0] and found[1][2] == [1, 1]


def test_loops_use_what_any_turn_does():
    pos = np.ones((6, 2), "f")
    (rows, _), *_ = used(lambda pos: carried_rows(pos), pos)
    assert rows == [1, 1, 1, 1, 1, 1]  # rows move from turn to turn
    assert used(lambda pos: in_a_loop(jnp.tile(pos, (1, 2)), 2), pos)[0][0] == [1, 1, 0, 0, 0, 0]


def carried_rows(pos):
    turn = lambda _, carry: (jnp.roll(carry[0], -1, 0), carry[1] + carry[0][:2].sum())  # noqa: E731
    return lax.fori_loop(0, 2, turn, (pos, 0.0))[1]


def test_tables_looked_up_by_inputs_are_used():
    ids = np.zeros((2, 3), int)
    assert used(
        lambda table: table[jnp.asarray(ids) + jnp.argmax(table)], np.ones((5, 2), "f")
    ) == [[[1] * 5, [1, 1]]]

    def apply(p, ids):
        return p["table"][ids] @ p["out"]

    params = {"table": np.ones((5, 8), "f"), "out": np.ones((8, 2), "f")}
    groups = jc.unit_groups(apply, params, ids)
    assert groups.names == ["table"] and groups["table"].size == 8
    assert not any(NOT_USED in axis.reasons for axis in groups.frozen)


def wide(p, x):
    """Return a part of what is computed, as large as something else is."""
    return (x @ p["a"])[:, : p["b"].shape[0]] @ p["b"]


WIDE = {"a": np.ones((3, 12), "f"), "b": np.ones((8, 2), "f")}


def test_units_that_are_used_go_beside_others_that_are_not():
    groups = jc.unit_groups(wide, WIDE, np.ones((5, 3), "f"))
    (group,) = groups
    assert group.size == 8
    assert {s.path: s.indices.ravel().tolist() for s in group.slices} == {
        "a": list(range(8)),
        "b": list(range(8)),
    }
    (columns,) = [axis for axis in groups.frozen if (axis.path, axis.axis) == ("a", 1)]
    assert (columns.entries, columns.reasons) == (4, (NOT_USED,))


def test_what_two_examples_leave_unused_alike_may_go():
    x, longer = np.ones((5, 3), "f"), np.ones((7, 3), "f")
    groups = jc.unit_groups(wide, WIDE, x, others=[longer])
    assert sorted(group.size for group in groups) == [4, 8]
    assert not any(NOT_USED in axis.reasons for axis in groups.frozen)


def test_axes_without_entries():
    params = {"a": np.ones((3, 4), "f"), "b": np.ones((4, 2), "f"), "none": np.ones((0, 4), "f")}

    def apply(p, x):
        return x @ p["a"] @ p["b"] + p["none"].sum()

    groups = jc.unit_groups(apply, params, np.ones((5, 3), "f"))
    assert [group.size for group in groups] == [4, 4]


def positions(p, x):
    return (x + p["pos"][: x.shape[1]]) @ p["up"] @ p["down"]


POSITIONS = {"pos": np.ones((N, D), "f"), "up": np.ones((D, 6), "f"), "down": np.ones((6, 2), "f")}


@pytest.mark.parametrize("others", [[], [9], [9, N], [N], [3]])
def test_what_examples_use_differently_stays(others):
    def example(length):
        return np.ones((2, length, D), "f")

    groups = jc.unit_groups(
        positions, POSITIONS, example(5), others=[(example(length),) for length in others]
    )
    assert groups.names == ["up"]
    why = NOT_BY_ALL if others else NOT_USED
    (rows,) = [axis for axis in groups.frozen if (axis.path, axis.axis) == ("pos", 0)]
    assert rows.entries == N and why in rows.reasons


def flat_table(p, x):
    """A bias for each place and head, all in a row, and heads of one place."""
    heads, length = p["q"].shape[1], x.shape[1]
    bias = p["bias"][: length * heads].reshape(length, heads)
    return (x @ p["q"] + bias) @ p["o"]


FLAT = {"q": np.ones((D, 3), "f"), "bias": np.ones(8 * 3, "f"), "o": np.ones((3, D), "f")}


def test_units_with_entries_among_those_unused_need_an_example_that_uses_them():
    x, longest = np.ones((2, 5, D), "f"), np.ones((2, 8, D), "f")
    assert not len(jc.unit_groups(flat_table, FLAT, x))
    assert not len(jc.unit_groups(flat_table, FLAT, x, others=[longest]))
    groups = jc.unit_groups(flat_table, FLAT, longest)
    (group,) = groups
    assert {s.path: s.indices.shape[1] for s in group.slices} == {"q": 1, "bias": 8, "o": 1}
    keep = {group.name: np.array([True, False, True])}
    small = jc.shrink(FLAT, groups, keep)
    for inputs in (x, longest):
        assert jc.check_shrink(flat_table, FLAT, groups, keep, inputs) < 1e-5
        assert flat_table(small, inputs).shape == inputs.shape


def test_what_goes_together_in_one_example_goes_together():
    def apply(p, x):
        h = x @ p["a"]
        return h @ p["b"] + ((h @ p["c"]) if x.shape[0] > 2 else 0)

    params = {"a": np.ones((3, 8), "f"), "b": np.ones((8, 2), "f"), "c": np.ones((8, 2), "f")}
    short, long = np.ones((2, 3), "f"), np.ones((4, 3), "f")
    (group,) = jc.unit_groups(apply, params, short)
    assert "c" not in {s.path for s in group.slices}
    (group,) = jc.unit_groups(apply, params, short, others=[long])
    assert {s.path for s in group.slices} == {"a", "b", "c"}


def test_every_example_is_tried_out():
    """As many features as the input is long: with the longest all are used."""

    def apply(p, x):
        return (x @ p["a"])[..., : x.shape[1]] @ p["b"][: x.shape[1]]

    params = {"a": np.ones((3, 8), "f"), "b": np.ones((8, 2), "f")}
    long, short = np.ones((2, 8, 3), "f"), np.ones((2, 5, 3), "f")
    assert len(jc.unit_groups(apply, params, long))
    assert not len(jc.unit_groups(apply, params, short))
    for first, second in ((long, short), (short, long)):
        groups = jc.unit_groups(apply, params, first, others=[second])
        assert not len(groups)
        assert any("code does not follow" in why for a in groups.frozen for why in a.reasons)


def test_examples_that_tell_nothing_are_refused():
    x = np.ones((2, 5, D), "f")
    with pytest.raises(ValueError, match=r"^others\[1\]: must have other shapes than the examples"):
        jc.unit_groups(positions, POSITIONS, x, others=[x[:1], x])
    with pytest.raises(TypeError, match="^others: must be a list of examples, got ndarray"):
        jc.unit_groups(positions, POSITIONS, x, others=x)
