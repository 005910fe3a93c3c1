"""States of optimizers follow the cut, or say that they cannot."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jaxcompress as jc

pytestmark = pytest.mark.slow  # many compilations


def mlp(wide=16, inner=8, outer=4, seed=0):
    """Return a network with one hidden layer, its groups, and a cut to `left` of its units."""
    rng = np.random.default_rng(seed)
    params = {
        "a": rng.normal(size=(inner, wide)).astype("f"),
        "c": rng.normal(size=(wide,)).astype("f"),
        "b": rng.normal(size=(wide, outer)).astype("f"),
    }
    x = rng.normal(size=(5, inner)).astype("f")
    groups = jc.unit_groups(lambda p, x: jax.nn.relu(x @ p["a"] + p["c"]) @ p["b"], params, x)
    assert groups.names == ["a"]
    return params, groups


def first(left, wide=16):
    return {"a": np.arange(wide) % 2 == 0 if left is None else np.arange(wide) < left}


def after_steps(tx, params, count=3):
    state = tx.init(params)
    for step in range(count):
        gradients = jax.tree.map(lambda leaf, k=step: jnp.cos(leaf + k), params)
        _, state = tx.update(gradients, state, params)
    return state


def check_runs(tx, state, small):
    """Check that a step runs on a state of exactly the sizes that a fresh start has."""
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, tx.init(small))
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, small), state, small)
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, small)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def means_by_axis(shape, row, col):
    """Return Adafactor's factors by the axis that each is a mean over."""
    second, largest = np.argsort(shape)[-2:]
    return {largest: row, second: col}


MIRRORED = {
    "muon": optax.contrib.muon(1e-2),
    "sm3": optax.sm3(1e-2),
    "several steps": optax.MultiSteps(optax.adam(1e-2), 2),
    "injected": optax.inject_hyperparams(optax.adafactor)(
        learning_rate=1e-2, min_dim_size_to_factor=4
    ),
    "masked": optax.masked(optax.adam(1e-2), {"a": True, "b": False, "c": True}),
    "partitioned": optax.multi_transform(
        {"x": optax.adam(1e-2), "projection": optax.sgd(1e-2, momentum=0.9)},
        {"a": "x", "b": "projection", "c": "x"},
    ),
    "prodigy": optax.contrib.prodigy(),
    "schedule free": optax.contrib.schedule_free_adamw(1e-2),
    "novograd": optax.novograd(1e-2),
    "adafactor with momentum": optax.adafactor(1e-2, min_dim_size_to_factor=4, momentum=0.9),
}


@pytest.mark.parametrize("name", MIRRORED)
def test_a_state_that_can_be_cut_takes_the_next_step(name):
    params, groups = mlp()
    tx, keep = MIRRORED[name], first(None)
    small, state = jc.shrink(params, groups, keep), after_steps(MIRRORED[name], params)
    cut = jc.shrink(state, groups, keep)
    check_runs(tx, cut, small)
    again = jc.shrink(state, groups, keep, restart=tx.init(small))  # nothing needs it
    jax.tree.map(np.testing.assert_array_equal, cut, again)


def test_factors_are_those_of_what_stays():
    params, groups = mlp()
    tx = optax.scale_by_factored_rms(min_dim_size_to_factor=4)
    state, on = after_steps(tx, params), first(12)["a"]
    cut = jc.shrink(state, groups, {"a": on})
    np.testing.assert_array_equal(cut.v_row["a"], state.v_row["a"])  # means over 16 columns
    np.testing.assert_array_equal(cut.v_col["a"], state.v_col["a"][on])
    np.testing.assert_array_equal(cut.v_row["b"], state.v_row["b"])
    np.testing.assert_array_equal(cut.v_col["b"], state.v_col["b"][on])
    np.testing.assert_array_equal(cut.v["c"], state.v["c"][on])
    assert cut.v["a"].shape == cut.v_row["c"].shape == (1,) and cut.count == 3


def test_factors_change_places_where_another_axis_is_the_largest_now():
    # a is [8, 16]: its rows' means lie in v_row; [8, 6] has them in v_col.
    params, groups = mlp()
    tx = optax.scale_by_factored_rms(min_dim_size_to_factor=4)
    state, keep = after_steps(tx, params), first(6)
    cut = jc.shrink(state, groups, keep)
    np.testing.assert_array_equal(cut.v_row["a"], state.v_col["a"][:6])
    np.testing.assert_array_equal(cut.v_col["a"], state.v_row["a"])
    check_runs(tx, cut, jc.shrink(params, groups, keep))


def test_factors_change_places_in_a_square():
    # b is [16, 8] and becomes [8, 8], where shapes alone no longer tell rows from columns.
    params, groups = mlp(outer=8)
    tx = optax.scale_by_factored_rms(min_dim_size_to_factor=4)
    state, keep = after_steps(tx, params), first(8)
    cut, small = jc.shrink(state, groups, keep), jc.shrink(params, groups, keep)
    gradient = jax.tree.map(jnp.ones_like, small)
    _, new = tx.update(gradient, cut, small)
    decay = 1 - 4.0**-0.8
    old = means_by_axis((16, 8), state.v_row["b"], state.v_col["b"])
    new = means_by_axis((8, 8), new.v_row["b"], new.v_col["b"])
    np.testing.assert_allclose(new[0], decay * old[0] + (1 - decay), rtol=1e-5)
    np.testing.assert_allclose(new[1], decay * old[1][:8] + (1 - decay), rtol=1e-5)


def test_what_may_not_be_factored_any_more_is_no_guess():
    # Cut to 3 units, a [8, 3] is below the 4 that are factored; without this the placeholder of one
    # entry would be taken for second moments.
    params, groups = mlp()
    tx = optax.chain(optax.trace(0.9), optax.scale_by_factored_rms(min_dim_size_to_factor=4))
    state, keep = after_steps(tx, params), first(3)
    small = jc.shrink(params, groups, keep)
    message = (
        r"1/v_row/a: may not be factored at the size of the small a, \(8, 3\); pass "
        r"restart=tx.init\(small_params\) to start its state anew."
    )
    with pytest.raises(ValueError, match=message):
        jc.shrink(state, groups, keep)
    cut = jc.shrink(state, groups, keep, restart=tx.init(small))
    assert cut[1].count == 0 and cut[1].v["a"].shape == (8, 3)
    np.testing.assert_array_equal(cut[0].trace["c"], state[0].trace["c"][:3])
    check_runs(tx, cut, small)


def test_whether_a_size_is_factored_is_read_off_a_fresh_start():
    params, groups = mlp(inner=16, outer=16)
    tx = optax.scale_by_factored_rms(min_dim_size_to_factor=4)
    state, keep = after_steps(tx, params), first(8)
    with pytest.raises(ValueError, match="v_row/a: may not be factored"):  # 16 are, 8 may not be
        jc.shrink(state, groups, keep)
    small = jc.shrink(params, groups, keep)
    cut = jc.shrink(state, groups, keep, restart=tx.init(small))
    assert cut.count == 3
    assert jax.tree.map(jnp.shape, cut) == jax.tree.map(jnp.shape, tx.init(small))
    old = means_by_axis((16, 16), state.v_row["a"], state.v_col["a"])
    new = means_by_axis((16, 8), cut.v_row["a"], cut.v_col["a"])
    np.testing.assert_array_equal(new[0], old[0][:8])
    np.testing.assert_array_equal(new[1], old[1])


def test_convolutions_keep_their_two_largest_axes():
    rng = np.random.default_rng(0)
    params = {"in": rng.normal(size=(3, 3, 6, 8)).astype("f"), "out": np.ones((8, 2), "f")}

    def apply(p, x):
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, p["in"], (1, 1), "SAME", dimension_numbers=dimensions)
        return jax.nn.relu(y).mean((1, 2)) @ p["out"]

    groups = jc.unit_groups(apply, params, np.ones((1, 4, 4, 6), "f"))
    tx = optax.scale_by_factored_rms(min_dim_size_to_factor=3)
    state = after_steps(tx, params)
    small = jc.shrink(params, groups, {"in": np.arange(8) < 5})
    cut = jc.shrink(state, groups, {"in": np.arange(8) < 5}, restart=tx.init(small))
    assert cut.count == 3
    np.testing.assert_array_equal(cut.v_row["in"], state.v_col["in"][..., :5])
    np.testing.assert_array_equal(cut.v_col["in"], state.v_row["in"])
    fewer = {"in": np.arange(8) < 2}
    with pytest.raises(ValueError, match="v_row/in: .*the small in, .*restart"):
        jc.shrink(state, groups, fewer)
    small = jc.shrink(params, groups, fewer)
    check_runs(tx, jc.shrink(state, groups, fewer, restart=tx.init(small)), small)


class Own(NamedTuple):
    """A state as code of one's own has it."""

    count: Any
    stats: Any


def own(**leaves):
    return Own(jnp.zeros((), jnp.int32), {"a": {k: jnp.asarray(v) for k, v in leaves.items()}})


def test_vectors_of_a_cover_are_cut_by_their_index_in_a_square_too():
    params, groups = mlp(inner=16)
    tx, keep = optax.sm3(1e-2), first(None)
    state = after_steps(tx, params)
    cut = jc.shrink(state, groups, keep)
    np.testing.assert_array_equal(cut[0].mu["a"][0], state[0].mu["a"][0])
    np.testing.assert_array_equal(cut[0].mu["a"][1], state[0].mu["a"][1][::2])
    check_runs(tx, cut, jc.shrink(params, groups, keep))


def test_an_index_is_no_parameter_of_the_same_name():
    # In a list of parameters `0/mu/1/0` ends in the path of the first as well.
    rng = np.random.default_rng(0)
    params = [rng.normal(size=(8,)).astype("f"), rng.normal(size=(4, 8)).astype("f"),
              rng.normal(size=(8, 8)).astype("f"), rng.normal(size=(8, 2)).astype("f")]  # fmt: skip
    groups = jc.unit_groups(
        lambda p, x: jax.nn.relu(jax.nn.relu(x @ p[1] + p[0]) @ p[2]) @ p[3],
        params, np.ones((1, 4), "f"),
    )  # fmt: skip
    keep = {name: np.arange(8) < 3 + 2 * k for k, name in enumerate(groups.names)}
    tx = optax.sm3(1e-2)
    state, small = after_steps(tx, params), jc.shrink(params, groups, keep)
    with pytest.raises(ValueError, match="0/mu/2/1: may mirror any of 1, 2; shrink their trees"):
        jc.shrink(state, groups, keep)
    cut = jc.shrink(state, groups, keep, restart=tx.init(small))
    check_runs(tx, cut, small)


@pytest.mark.parametrize("leaf", [np.ones((8, 1), "f"), np.ones((1, 16), "f"), np.ones((1, 1))])
def test_reduced_axes_stay_reduced(leaf):
    params, groups = mlp()
    state = Own(np.zeros(()), {"a": leaf * np.arange(leaf.shape[1]), "c": np.ones(16)})
    cut = jc.shrink(state, groups, first(None))
    wanted = state.stats["a"][:, ::2] if leaf.shape[1] == 16 else state.stats["a"]
    np.testing.assert_array_equal(cut.stats["a"], wanted)


def test_a_vector_of_a_square_is_of_either_axis():
    params, groups = mlp(inner=16)
    state = Own(jnp.ones(()), {"a": jnp.ones(16)})
    message = r"stats/a: may be of any axis of a, \(16, 16\), got \(16,\); pass restart="
    with pytest.raises(ValueError, match=message):
        jc.shrink(state, groups, first(None))
    fresh = Own(jnp.zeros(()), {"a": jnp.zeros(8)})
    cut = jc.shrink(state, groups, first(None), restart=fresh)
    assert cut.count == 0 and cut.stats["a"].tolist() == [0] * 8


def test_a_mean_is_of_no_other_axis_of_the_small_matrix():
    # b is [16, 8] and becomes [8, 8]: code that takes means over the largest axis has another then.
    params, groups = mlp(outer=8)
    state = Own(jnp.ones(()), {"b": jnp.arange(8.0)})
    with pytest.raises(ValueError, match=r"stats/b: is of one axis of b, \(16, 8\), and may be of"):
        jc.shrink(state, groups, first(8))
    np.testing.assert_array_equal(jc.shrink(state, groups, first(6)).stats["b"], np.arange(8.0))
    columns = Own(jnp.ones(()), {"b": jnp.arange(16.0)})
    assert jc.shrink(columns, groups, first(10)).stats["b"].tolist() == list(range(10))


def test_kronecker_statistics_start_anew_with_their_count():
    params, groups = mlp()

    def init(params):
        factors = jax.tree.map(lambda p: [jnp.zeros((n, n)) for n in p.shape], params)
        return Own(jnp.zeros((), jnp.int32), factors)

    def update(updates, state, params=None):
        return updates, Own(state.count + 1, jax.tree.map(lambda leaf: leaf + 1, state.stats))

    tx = optax.chain(optax.trace(0.9), optax.GradientTransformation(init, update))
    state, keep = after_steps(tx, params), first(None)
    small = jc.shrink(params, groups, keep)
    with pytest.raises(ValueError, match=r"1/stats/a/0: must have the shape of a, .*restart="):
        jc.shrink(state, groups, keep)
    cut = jc.shrink(state, groups, keep, restart=tx.init(small))
    assert cut[1].count == 0 and cut[1].stats["a"][1].shape == (8, 8)
    np.testing.assert_array_equal(cut[0].trace["b"], state[0].trace["b"][::2])


def test_what_mixes_the_units_is_not_cut_where_its_shape_is_that_of_a_weight():
    params, groups = mlp(inner=16)
    tx, keep = optax.contrib.galore(1e-2, rank=16), first(None)
    state, small = tx.init(params), jc.shrink(params, groups, keep)
    with pytest.raises(ValueError, match="projector/a: must have entries of its own for each unit"):
        jc.shrink({"projector": state[0].projector}, groups, keep)
    cut = jc.shrink(state, groups, keep, restart=tx.init(small))
    jax.tree.map(np.testing.assert_array_equal, cut, tx.init(small))


def test_a_leaf_of_no_parameter_stays_only_if_no_size_tells_on_it():
    params, groups = mlp()
    state = own(a=np.ones(3))._replace(stats={"coefficients": jnp.ones(3)})
    with pytest.raises(ValueError, match="stats/coefficients: no parameter has a path.*restart="):
        jc.shrink(state, groups, first(None))
    cut = jc.shrink(state, groups, first(None), restart=jax.tree.map(jnp.zeros_like, state))
    assert cut.stats["coefficients"].tolist() == [1, 1, 1]


def test_bad_restarts():
    params, groups = mlp()
    tx, keep = optax.adam(1e-2), first(None)
    state, small = tx.init(params), jc.shrink(params, groups, keep)
    message = (
        r"small parameters, but 0/mu/a has shape \(8, 16\) at a fresh start, and \(8, 8\) when"
    )
    with pytest.raises(ValueError, match=message):
        jc.shrink(state, groups, keep, restart=state)
    with pytest.raises(ValueError, match="restart: must be the state of the same optimizer, got"):
        jc.shrink(state, groups, keep, restart=optax.sgd(1e-2, momentum=0.9).init(small))
    unnamed = {"a": np.ones((3, 3))}
    with pytest.raises(ValueError, match="a: lies in no state .* and must have the shape of a"):
        jc.shrink({"x": unnamed}, groups, keep, restart={"x": unnamed})
