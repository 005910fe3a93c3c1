"""Cutting is right: the small network computes what the silenced one does, or the check says no."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from tests.helpers.groups import random_keep
from tests.helpers.known_nets import ALL
from tests.helpers.traced_nets import conv, fruits_net, make


@pytest.fixture(autouse=True)
def _compile_quickly():
    """What is compiled here runs once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_small_network_computes_what_the_silenced_one_does(name):
    apply, params, inputs = make(name)
    groups = jc.unit_groups(apply, params, *inputs)
    keep = random_keep(groups, seed=len(name))
    if not groups:
        with pytest.raises(ValueError, match="keep: must remove a unit, .* got no group;"):
            jc.check_shrink(apply, params, groups, keep, *inputs)
        return
    keep[groups.names[0]][0] = False
    keep[groups.names[0]][1] = True
    assert jc.check_shrink(apply, params, groups, keep, *inputs) <= 1e-4


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("name", ["residual", "cardinality", "fused_attention", "scanned"])
def test_whatever_stays(name, seed):
    apply, params, inputs = make(name, seed)
    groups = jc.unit_groups(apply, params, *inputs)
    keep = random_keep(groups, seed)
    assert jc.check_shrink(apply, params, groups, keep, *inputs) <= 1e-4


@pytest.mark.slow
def test_fruits_fusion_net():
    apply, tree, inputs = fruits_net()
    groups = jc.unit_groups(apply, tree, inputs)
    keep = random_keep(groups, 0)
    small = jc.shrink(tree, groups, keep)
    assert small["params"]["fuse"]["kernel"].shape[1] == keep["params/fuse"].sum()
    assert jc.check_shrink(apply, tree, groups, keep, inputs) <= 1e-4


def test_a_silenced_norm_would_differ_from_a_cut_one():
    # What the reference does not do: zeros among the numbers that a layer norm averages.
    apply, params, inputs = make("rms_norm")
    groups = jc.unit_groups(apply, params, *inputs)
    keep = {"in": np.array([True, True, False, True, False, True])}
    zeroed = {**params, "in": params["in"] * keep["in"]}
    small = apply(jc.shrink(params, groups, keep), *inputs)
    assert groups["in"].changes_function
    assert np.abs(apply(zeroed, *inputs) / small - 1).max() > 0.05


def without(groups, name, which):
    """Return groups of which one has lost a slice."""
    changed = [
        jc.prune.UnitGroup(
            name=g.name,
            size=g.size,
            slices=tuple(s for k, s in enumerate(g.slices) if g.name != name or k != which),
            changes_function=g.changes_function,
            parameters=g.parameters,
        )
        for g in groups
    ]
    return jc.prune.UnitGroups(
        groups=tuple(changed), frozen=groups.frozen, unknown={}, shapes=groups.shapes
    )


@pytest.mark.parametrize("which", range(3))
def test_a_missing_slice_is_caught(which):
    apply, params, inputs = make("mlp")
    groups = jc.unit_groups(apply, params, *inputs)
    keep = {"a": np.arange(6) < 3}
    with pytest.raises(ValueError, match="apply: must run on the cut parameters"):
        jc.check_shrink(apply, params, without(groups, "a", which), keep, *inputs)


def test_a_wrong_index_is_caught():
    apply, params, inputs = make("flatten")
    groups = jc.unit_groups(apply, params, *inputs)
    a, *rest = groups.groups
    kernel, dense = a.slices
    channels_first = dense._replace(indices=np.arange(36).reshape(4, 9))
    wrong = jc.prune.UnitGroup(
        name="a", size=4, slices=(kernel, channels_first), changes_function=False, parameters=0
    )
    groups = jc.prune.UnitGroups(groups=(wrong, *rest), frozen=(), unknown={}, shapes=groups.shapes)
    keep = {"a": np.array([True, False, True, True])}
    assert jc.check_shrink(apply, params, groups, keep, *inputs) > 1e-2


def test_a_cut_that_the_code_does_not_follow_is_an_error():
    params = {"a": np.ones((3, 4)), "b": np.ones((4, 2))}
    groups = jc.unit_groups(lambda p, x: x @ p["a"] @ p["b"], params, np.ones((1, 3)))
    keep = {"a": np.array([True, False, True, True])}

    def other(p, x):
        return jnp.tanh(x @ p["a"]) @ p["b"]

    with pytest.raises(ValueError, match="must do the same on the cut parameters, but 3 equations"):
        jc.check_shrink(
            lambda p, x: jnp.exp(x @ p["a"]) @ p["b"] if p["a"].shape[1] > 3 else other(p, x) + 1,
            params, groups, keep, np.ones((1, 3)),
        )  # fmt: skip


class Rebuilt(linen.Module):
    width: int

    @linen.compact
    def __call__(self, x):
        return linen.Dense(2)(linen.relu(linen.Dense(self.width)(x)))


@pytest.mark.slow
def test_linen_is_rebuilt_with_the_new_sizes():
    x = np.ones((1, 3), np.float32)
    variables = Rebuilt(6).init(jax.random.key(0), x)
    groups = jc.unit_groups(Rebuilt(6).apply, variables, x)
    (name,) = groups.names
    keep = {name: np.arange(6) % 2 == 0}
    error = jc.check_shrink(
        Rebuilt(6).apply, variables, groups, keep, x, small_apply=Rebuilt(3).apply
    )
    assert error <= 1e-4


def test_by_hand():
    params = {"in": np.arange(8.0).reshape(2, 4), "out": np.arange(12.0).reshape(4, 3)}
    groups = jc.unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 2)))
    small = jc.shrink(params, groups, {"in": [True, False, False, True]})
    assert small["in"].tolist() == [[0, 3], [4, 7]]
    assert small["out"].tolist() == [[0, 1, 2], [9, 10, 11]]


def test_heads_and_places_in_them_at_once():
    apply, params, inputs = make("heads_into_dense")
    groups = jc.unit_groups(apply, params, *inputs)
    keep = {"heads:1": np.array([False, True]), "heads:2": np.array([True, False, True])}
    small = jc.shrink(params, groups, keep)
    assert small["heads"].shape == (4, 1, 2)
    np.testing.assert_array_equal(small["mix"], params["mix"][[3, 5]])


def cut_mlp():
    apply, params, inputs = make("mlp")
    groups = jc.unit_groups(apply, params, *inputs)
    return params, groups, {"a": np.arange(6) < 4, "b": np.arange(5) < 2}


@pytest.mark.slow
def test_optimizer_states_masks_and_gradients_follow():
    params, groups, keep = cut_mlp()
    small = jc.shrink(params, groups, keep)
    optimizer = optax.chain(optax.clip(1.0), optax.adamw(1e-3), jc.hold_mask(params))
    state = jc.shrink(optimizer.init(params), groups, keep)
    adam = state[1][0]
    assert jax.tree.map(jnp.shape, adam.mu) == jax.tree.map(jnp.shape, small)
    assert jax.tree.map(jnp.shape, adam.nu) == jax.tree.map(jnp.shape, small)
    assert adam.count.shape == ()
    optimizer.update(small, state, small)
    mask = jc.shrink(jc.magnitude_mask(params, 0.5), groups, keep)
    assert jax.tree.map(jnp.shape, mask) == jax.tree.map(jnp.shape, small)


def test_a_part_of_what_was_traced_is_known_without_its_first_key():
    apply, params, inputs = make("mlp")
    groups = jc.unit_groups(lambda tree, x: apply(tree["params"], x), {"params": params}, *inputs)
    keep = {"params/a": np.arange(6) < 4}
    small = jc.shrink({"params": params}, groups, keep)
    state = jc.shrink(optax.adam(1e-3).init(params), groups, keep)
    assert jax.tree.map(jnp.shape, state[0].mu) == jax.tree.map(jnp.shape, small["params"])


def test_kinds_of_leaves_stay():
    params, groups, keep = cut_mlp()
    mixed = {
        "a": {"w": jnp.asarray(params["a"]["w"], jnp.bfloat16), "b": None},
        "step": 3 * np.ones(()),
    }
    small = jc.shrink(mixed, groups, keep)
    assert small["a"]["w"].dtype == jnp.bfloat16 and small["a"]["w"].shape == (4, 4)
    assert small["a"]["b"] is None and small["step"] == 3
    assert isinstance(jc.shrink(params, groups, keep)["a"]["w"], np.ndarray)
    shells = jax.eval_shape(lambda: params)
    assert jc.shrink(shells, groups, keep)["a"]["w"].shape == (4, 4)


def test_bad_input():
    params, groups, keep = cut_mlp()
    with pytest.raises(ValueError, match="z: no group of that name; groups: a, b"):
        jc.shrink(params, groups, {"z": keep["a"]})
    with pytest.raises(ValueError, match="a: keep must have one entry for each of the 6 units"):
        jc.shrink(params, groups, {"a": keep["b"]})
    with pytest.raises(TypeError, match="a: keep must be booleans"):
        jc.shrink(params, groups, {"a": np.arange(6)})
    with pytest.raises(ValueError, match="a: at least one unit must be kept, got none"):
        jc.shrink(params, groups, {"a": np.zeros(6, bool)})
    with pytest.raises(ValueError, match=r"a/b: must have the shape of a/b, \(6,\), got \(4,\)"):
        jc.shrink(jc.shrink(params, groups, keep), groups, keep)
    with pytest.raises(ValueError, match="other: no parameter has a path that this ends in"):
        jc.shrink({**params, "other": np.ones(3)}, groups, keep)
    with pytest.raises(ValueError, match="tree: no leaf has a path of the parameters"):
        jc.shrink({"step": np.ones(())}, groups, keep)


def test_infinite_outputs_are_no_proof():
    params = {"a": np.ones((3, 4), np.float32), "b": np.zeros((4, 2), np.float32)}
    apply = lambda p, x: 1 / (x @ p["a"] @ p["b"])  # noqa: E731
    groups = jc.unit_groups(apply, params, np.ones((1, 3), np.float32))
    keep = {"a": np.array([True, False, True, True])}
    error = jc.check_shrink(apply, params, groups, keep, np.ones((1, 3), np.float32))
    assert error == float("inf")


@st.composite
def networks(draw):
    """Draw a chain of layers with random widths, skips and joins."""
    kinds = st.sampled_from(["dense", "residual", "concat", "gate", "norm", "split"])
    return draw(st.lists(kinds, min_size=1, max_size=4)), draw(st.integers(0, 10**6))


def cuts(keep):
    """Whether any unit goes, so that there is a cut to prove."""
    return not all(np.all(stays) for stays in keep.values())


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(networks(), st.booleans())
def test_random_networks(network, convolutional):
    kinds, seed = network
    rng = np.random.default_rng(seed)
    window = (1, 1) if convolutional else ()

    def weights(n, m):
        return rng.normal(size=(*window, n, m)).astype(np.float32)

    def product(x, w):
        return conv(x, w) if convolutional else x @ w

    width = 4
    params = {"first": weights(2, width), "last": None}
    for k, kind in enumerate(kinds):
        params[f"w{k}"] = weights(width, 2 * width if kind in ("gate", "split") else width)
        params[f"v{k}"] = rng.normal(size=width).astype(np.float32)
        width = 2 * width if kind == "concat" else width
    params["last"] = weights(width, 2)

    def apply(p, x):
        x = product(x, p["first"])
        for k, kind in enumerate(kinds):
            y = product(x, p[f"w{k}"])
            if kind == "residual":
                x = x + jax.nn.relu(y)
            elif kind == "concat":
                x = jnp.concatenate([x, y], -1)
            elif kind in ("gate", "split"):
                a, b = jnp.split(y, 2, -1)
                x = jnp.tanh(a) * b if kind == "gate" else x + jnp.maximum(a, b)
            elif kind == "norm":
                x = y / jnp.sqrt(1 + jnp.mean(y * y, -1, keepdims=True)) * p[f"v{k}"]
            else:
                x = jax.nn.relu(y + p[f"v{k}"])
        return product(x, p["last"])

    x = rng.normal(size=(2, 3, 3, 2) if convolutional else (2, 2)).astype(np.float32)
    groups = jc.unit_groups(apply, params, x)
    assert len(groups) and not groups.note
    keep = random_keep(groups, seed)
    assume(cuts(keep))
    with jax.disable_jit():
        assert jc.check_shrink(apply, params, groups, keep, x) <= 1e-4


@pytest.mark.slow
def test_layered_and_plain_units_side_by_side():
    """Heads that are merged, joined with units of another kind, as in parallel blocks."""

    def apply(p, x):
        heads = (x @ p["q"]).reshape(2, 2, -1).reshape(2, -1)
        return jnp.concatenate([heads, x @ p["c"]], -1) @ p["o"]

    keys = jax.random.split(jax.random.key(0), 4)
    shapes = {"q": (3, 8), "c": (3, 4), "o": (12, 2)}
    params = {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=False)}
    x = jax.random.normal(keys[3], (2, 3))
    groups = jc.unit_groups(apply, params, x)
    keep = {"c": np.array([False, True, True, True])}
    assert jc.check_shrink(apply, params, groups, keep, x) < 1e-5


def test_infinite_results_that_agree_are_no_difference():
    def apply(p, x):
        y = x @ p["a"] @ p["b"]
        return jnp.where(jnp.arange(2) > 0, -jnp.inf, y)

    params = {"a": np.ones((3, 4), "f"), "b": np.ones((4, 2), "f")}
    x = np.ones((1, 3), "f")
    groups = jc.unit_groups(apply, params, x)
    keep = {"a": np.array([True, False, True, True])}
    assert jc.check_shrink(apply, params, groups, keep, x) < 1e-6
