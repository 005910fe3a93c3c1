"""Penalties by hand, their gradients at zero, and the same steps as with a term in the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxcompress as jc

X = np.random.default_rng(0).normal(size=(16, 3)).astype("f")


def apply(p, x):
    return jax.nn.relu(x @ p["a"] + p["bias"]) @ p["b"]


def some_params():
    rng = np.random.default_rng(1)
    shapes = {"a": (3, 4), "b": (4, 2), "bias": (4,)}
    return {path: jnp.asarray(rng.normal(size=shape), "f") for path, shape in shapes.items()}


def some_groups():
    return jc.unit_groups(apply, some_params(), X)


def test_group_lasso_by_hand_at_units_of_zeros_too():
    a = jnp.array([[3.0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]])
    b = jnp.array([[0.0, 4], [0, 0], [0, 0], [1, 0]])
    params, groups = {"a": a, "b": b, "bias": jnp.full(4, 9.0)}, some_groups()
    value, slopes = jax.jit(jax.value_and_grad(lambda p: jc.prune.group_lasso(p, groups)))(params)
    assert value == pytest.approx(np.sqrt(5) * (5 + 0 + 0 + 2))
    assert slopes["b"][:3].tolist() == [[0, pytest.approx(np.sqrt(5) * 4 / 5)], [0, 0], [0, 0]]
    assert slopes["a"][:, 3] == pytest.approx(np.sqrt(5) / 2)
    assert not slopes["a"][:, 1:3].any() and not slopes["bias"].any()


@pytest.mark.slow
def test_group_lasso_counts_every_place_of_a_flattened_channel():
    def flat(p, x):
        y = jnp.einsum("nhc,cd->nhd", x, p["a"])
        return y.reshape(len(x), -1) @ p["b"]

    params = {"a": np.ones((1, 2), "f"), "b": np.ones((6, 1), "f")}
    groups = jc.unit_groups(flat, params, np.ones((1, 3, 1), "f"))
    assert jc.prune.group_lasso(params, groups) == pytest.approx(2 * np.sqrt(4) * 2)


@pytest.mark.slow
def test_group_lasso_takes_some_groups_other_scopes_and_narrow_numbers():
    groups, params = some_groups(), some_params()
    assert jc.prune.group_lasso(params, []) == 0
    biases = jc.prune.group_lasso(
        params, [groups["a"]], scope=jc.scopes.matching("bias", scope=jc.scopes.everything)
    )
    assert biases == pytest.approx(jnp.abs(params["bias"]).sum())
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    wide = float(jc.prune.group_lasso(params, groups))
    assert jc.prune.group_lasso(narrow, groups) == pytest.approx(wide, rel=1e-2)


def test_group_lasso_refuses_what_is_not_the_tree_of_the_groups():
    groups, params = some_groups(), some_params()
    with pytest.raises(ValueError, match="b: the tree must have this leaf of group a"):
        jc.prune.group_lasso({"a": params["a"], "bias": params["bias"]}, groups)
    small = jc.shrink(params, groups, jc.choose_units(params, groups, remove=0.5))
    with pytest.raises(ValueError, match=r"a: axis 1 must have at least the 4 entries of group a"):
        jc.prune.group_lasso(small, groups)


def loss(params):
    return jnp.mean((apply(params, X) - 1) ** 2)


def train(tx, objective, steps):
    """Return the parameters after some steps; the objective may know the step."""
    params = some_params()
    state = tx.init(params)

    @jax.jit
    def turn(params, state, step):
        updates, state = tx.update(jax.grad(objective)(params, step), state, params)
        return optax.apply_updates(params, updates), state

    for step in range(steps):
        params, state = turn(params, state, step)
    return params


@pytest.mark.parametrize("strength", [0.03, optax.linear_schedule(0, 0.2, 4)])
def test_it_is_the_same_as_a_term_in_the_loss(strength):
    groups = some_groups()
    schedule = strength if callable(strength) else lambda step: strength

    def penalty(params):
        return jc.prune.group_lasso(params, groups)

    def whole(params, step):
        return loss(params) + schedule(step) * penalty(params)

    chained = optax.chain(jc.optim.add_penalty(penalty, strength=strength), optax.adam(0.05))
    added = train(chained, lambda params, step: loss(params), 6)
    wanted = train(optax.adam(0.05), whole, 6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), added, wanted)


def test_a_growing_strength_shrinks_units():
    groups = some_groups()

    def norms(strength):
        tx = optax.chain(
            jc.optim.add_penalty(lambda p: jc.prune.group_lasso(p, groups), strength=strength),
            optax.sgd(0.05),
        )
        params = train(tx, lambda params, step: loss(params), 60)
        return jc.prune.l2_score(params, groups.groups)["a"]

    grown, plain = norms(optax.linear_schedule(0, 0.2, 60)), norms(0.0)
    assert (grown < plain).all() and grown.sum() < 0.6 * plain.sum()


def test_integers_and_missing_updates_pass_and_dtypes_stay():
    params = {"w": jnp.ones(2, jnp.bfloat16), "n": jnp.arange(2), "v": jnp.ones(1)}
    tx = jc.optim.add_penalty(
        lambda p: jnp.sum(p["w"].astype("f") ** 2) + jnp.sum(p["v"]), strength=0.5
    )
    updates = {"w": jnp.zeros(2, jnp.bfloat16), "n": jnp.zeros(2, int), "v": None}
    updates, state = tx.update(updates, tx.init(params), params)
    assert updates["w"].dtype == jnp.bfloat16 and updates["w"].tolist() == [1, 1]
    assert updates["n"].tolist() == [0, 0] and updates["v"] is None
    assert int(state.step) == 1  # pyright: ignore


def test_bad_strengths():
    with pytest.raises(ValueError, match="strength: must be finite and at least 0, got -1"):
        jc.optim.add_penalty(jnp.sum, strength=-1)
    with pytest.raises(TypeError, match="strength: must be a number or a schedule, got '1'"):
        jc.optim.add_penalty(jnp.sum, strength="1")
    with pytest.raises(ValueError, match="add_penalty: update needs params"):
        jc.optim.add_penalty(jnp.sum, strength=1.0).update(
            jnp.ones(1), jc.optim.add_penalty(jnp.sum, strength=1.0).init(None)
        )
