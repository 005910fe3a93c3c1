"""Choosing units: exact counts, ties, roundings, scores, and errors that say what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc


def chain(*widths):
    """Return the groups and parameters of a chain of products, one group for each inner width."""
    names = "abcdefgh"[: len(widths) - 1]
    rng = np.random.default_rng(0)
    params = {n: rng.normal(size=s) for n, *s in zip(names, widths, widths[1:], strict=False)}

    def apply(p, x):
        for name in names:
            x = x @ p[name]
        return x

    return jc.unit_groups(apply, params, np.ones((1, widths[0]))), params


def removed(keep):
    return {name: int(np.sum(~stay)) for name, stay in keep.items()}


def test_l1_by_hand_sums_over_all_slices():
    groups, params = chain(1, 3, 1)
    params = {"a": np.array([[1.0, -4.0, 2.0]]), "b": np.array([[-9.0], [1.0], [2.0]])}
    assert jc.prune.l1_score(params, groups)["a"].tolist() == [10, 5, 4]
    assert jc.prune.l2_score(params, groups)["a"] == pytest.approx(np.sqrt([82, 17, 8]))
    assert jc.choose_units(params, groups, remove=0.34)["a"].tolist() == [True, True, False]


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.floats(0, 0.999), st.integers(2, 40), st.booleans())
def test_the_count_is_exact_also_under_ties(share, size, constant):
    groups, params = chain(2, size, 2)
    if constant:
        params = jax.tree.map(np.ones_like, params)
    stay = jc.choose_units(params, groups, remove=share)["a"]
    gone = min(round(share * size), size - 1)
    assert np.sum(~stay) == gone
    if constant:
        assert stay.tolist() == [True] * (size - gone) + [False] * gone


@pytest.mark.parametrize(
    ("size", "share", "round_to", "stay"),
    [
        (194, 0.5, 16, 96),
        (97, 0.01, 16, 96),
        (40, 0.4, 16, 32),
        (40, 0.95, 16, 16),
        (40, 0.05, 16, 32),
        (10, 0.5, 16, 5),
        (16, 0.0, 5, 16),
        (18, 0.9, 4, 4),
    ],
)
def test_what_stays_is_rounded(size, share, round_to, stay):
    groups, params = chain(2, size, 2)
    keep = jc.choose_units(params, groups, remove=share, round_to=round_to)
    assert np.sum(keep["a"]) == stay


def test_shares_by_group_leave_the_others_whole():
    groups, params = chain(2, 8, 6, 4)
    assert removed(jc.choose_units(params, groups, remove={"b": 0.5})) == {"b": 3}


def choose_across(params, groups, remove, scores, **options):
    """Choose across groups by scores as they are given."""
    return jc.choose_units(
        params,
        groups,
        remove=remove,
        score=lambda params, groups: scores,
        normalize=jc.prune.unnormalized,
        spread=jc.prune.across_groups,
        **options,
    )


def test_across_groups_takes_the_lowest_of_all():
    groups, params = chain(2, 4, 4, 2)
    scores = {"a": np.array([1.0, 2, 3, 4]), "b": np.array([5.0, 6, 0.5, 8])}
    keep = choose_across(params, groups, 0.5, scores)
    assert keep["a"].tolist() == [False, False, False, True]
    assert keep["b"].tolist() == [True, True, False, True]
    capped = choose_across(params, groups, 0.5, scores, remove_at_most=0.5)
    assert removed(capped) == {"a": 2, "b": 2}


def test_across_groups_never_empties_one():
    groups, params = chain(2, 4, 4, 2)
    scores = {"a": np.zeros(4), "b": np.ones(4)}
    keep = choose_across(params, groups, 0.75, scores)
    assert removed(keep) == {"a": 3, "b": 3}
    with pytest.raises(ValueError, match=r"remove: must be at most 0.5"):
        jc.choose_units(
            params, groups, remove=0.9, spread=jc.prune.across_groups, remove_at_most=0.5
        )


def test_by_parameters_counts_what_a_unit_carries():
    groups, params = chain(10, 4, 1)  # a unit of a carries 11 parameters
    wide, more = chain(1, 4, 10, 1)
    assert groups["a"].parameters == 11
    assert [group.parameters for group in wide] == [11, 5]
    scores = {"a": np.arange(4.0), "b": np.arange(10.0) + 10}
    keep = choose_across(more, wide, 0.25, scores, measure=jc.prune.by_parameters)
    assert removed(keep) == {"a": 2, "b": 0}  # 22 of 94, nearer to a quarter than 33


def test_the_operations_of_a_unit_by_hand():
    def apply(p, x):
        x = jax.nn.relu(x @ p["in"] + p["bias"])
        return (x + x @ p["square"]) @ p["out"]

    shapes = {"in": (3, 8), "bias": (8,), "square": (8, 8), "out": (8, 2)}
    params = {path: np.ones(shape, "f") for path, shape in shapes.items()}
    (group,) = jc.unit_groups(apply, params, np.ones((5, 3), "f"))
    # 15 of the 64 entries of the square go with a unit: its row and column, their crossing once.
    assert group.flops == 2 * 5 * 3 + 5 + 2 * 5 * 15 + 2 * 5 * 2
    assert group.parameters == 3 + 1 + 15 + 2


def test_by_flops_counts_where_the_pictures_are_large():
    def apply(p, x):
        y = jnp.einsum("nsi,ij->nsj", x, p["a"])
        return jnp.einsum("nsj,jk->nsk", y, p["b"]).mean(1) @ p["c"]

    params = {"a": np.ones((1, 4)), "b": np.ones((4, 4)), "c": np.ones((4, 35))}
    groups = jc.unit_groups(apply, params, np.ones((1, 10, 1)))
    assert [group.flops for group in groups] == [100, 150]
    assert [group.parameters for group in groups] == [5, 39]
    scores = {"a": np.arange(4.0), "b": np.arange(4.0) + 10}
    keep = {
        measure: choose_across(params, groups, 0.3, scores, measure=measure)
        for measure in (jc.prune.by_flops, jc.prune.by_parameters)
    }
    assert removed(keep[jc.prune.by_flops]) == {"a": 3, "b": 0}  # 300 of 1000
    assert removed(keep[jc.prune.by_parameters]) == {
        "a": 3,
        "b": 1,
    }  # 54 of 176, the nearest to 52.8


def test_a_cap_holds_within_groups():
    groups, params = chain(2, 10, 2)
    assert removed(jc.choose_units(params, groups, remove=0.8, remove_at_most=0.3)) == {"a": 3}
    assert removed(jc.choose_units(params, groups, remove=0.8, remove_at_most=0.3, round_to=4)) == {
        "a": 2
    }
    groups, params = chain(2, 10, 10, 2)
    assert removed(jc.choose_units(params, groups, remove=0.8, remove_at_most={"b": 0.3})) == {
        "a": 8,
        "b": 3,
    }
    for most, reason in (
        (3, "^remove_at_most: must be in"),
        ({"c": 0.3}, "c: no group of that name"),
    ):
        with pytest.raises(ValueError, match=reason):
            jc.choose_units(params, groups, remove=0.8, remove_at_most=most)


def recurrent(p, x):
    def turn(h, t):
        return jnp.tanh(t @ p["i"] + h @ p["r"]), None

    h = jnp.ones((len(x), p["r"].shape[0]))
    return jax.lax.scan(turn, h, jnp.broadcast_to(x, (3, *x.shape)))[0] @ p["o"]


def test_a_weight_on_two_axes_of_a_unit_counts_once():
    params = {"i": np.zeros((3, 2), "f"), "r": np.array([[3.0, 1], [0, 2]], "f")}
    params["o"] = np.array([[0.0, 0], [0.5, 0.5]], "f")
    groups = jc.unit_groups(recurrent, params, np.ones((5, 3), "f"))
    (group,) = groups
    assert jc.prune.l1_score(params, [group])[group.name].tolist() == [3 + 1, 2 + 1 + 1]
    assert jc.prune.l2_score(params, [group])[group.name] == pytest.approx([10**0.5, 5.5**0.5])
    weights = 3 + 3 + 2  # of a unit: rows and columns, the corner once
    expected = weights**0.5 * (10**0.5 + 5.5**0.5)
    assert float(jc.prune.group_lasso(params, groups)) == pytest.approx(expected)


def test_normalizers():
    for normalize in (jc.prune.divide_by_mean, jc.prune.divide_by_max):
        assert np.argsort(normalize(np.array([-3.0, -1, -2]))).tolist() == [0, 2, 1]
    scores = np.array([1.0, 3.0])
    assert jc.prune.divide_by_mean(scores).tolist() == [0.5, 1.5]
    assert jc.prune.divide_by_max(scores).tolist() == [1 / 3, 1]
    assert jc.prune.unnormalized(scores) is scores
    assert jc.prune.divide_by_mean(np.zeros(2)).tolist() == [0, 0]


def test_random_units_are_seeded_and_ignore_the_weights():
    groups, params = chain(2, 40, 30, 2)
    keeps = [
        jc.choose_units(
            p, groups, remove=0.5, score=jc.prune.random_unit_score(jax.random.key(seed))
        )
        for p, seed in ((params, 0), (jax.tree.map(np.zeros_like, params), 0), (params, 1))
    ]
    np.testing.assert_array_equal(keeps[0]["a"], keeps[1]["a"])
    assert not np.array_equal(keeps[0]["a"], keeps[2]["a"])
    assert not np.array_equal(keeps[0]["a"][:30], keeps[0]["b"])


def test_taylor_is_the_first_order_change_of_the_loss():
    groups, params = chain(3, 4, 2)
    x = np.ones((5, 3))

    def loss(p):
        return jnp.mean((x @ p["a"] @ p["b"]) ** 2)

    gradients = jax.grad(loss)(params)
    scores = jc.prune.taylor_score(gradients)(params, groups)["a"]
    by_hand = (gradients["a"] * params["a"]).sum(0) + (gradients["b"] * params["b"]).sum(1)
    assert scores == pytest.approx(np.abs(by_hand), rel=1e-5)
    with pytest.raises(ValueError, match="b: gradients must have a leaf for each of the 2"):
        jc.prune.taylor_score({"a": params["a"]})(params, groups)


def test_geometric_median_removes_what_others_can_stand_in_for():
    groups, _ = chain(1, 4, 1)
    params = {"a": np.array([[0.0, 5.0, 5.1, 11.0]]), "b": np.zeros((4, 1))}
    scores = jc.prune.geometric_median_score(params, groups)["a"]
    assert scores == pytest.approx([21.1, 11.1, 11.1, 22.9], rel=1e-4)


def scaled():
    params = {
        "a": np.ones((2, 3)),
        "n": {"scale": np.array([3.0, -1.0, 2.0])},
        "b": np.ones((3, 2)),
    }

    def apply(p, x):
        return x @ p["a"] * p["n"]["scale"] @ p["b"]

    return jc.unit_groups(apply, params, np.ones((1, 2))), params


def test_norm_scales():
    groups, params = scaled()
    assert jc.prune.norm_scale_score()(params, groups.groups)["a"].tolist() == [3, 1, 2]
    with pytest.raises(ValueError, match="a: no scale of a norm goes with its units"):
        jc.prune.norm_scale_score("gamma$")(params, groups.groups)


def test_vectors_do_not_count_beside_kernels():
    groups, params = scaled()
    assert jc.prune.l1_score(params, groups.groups)["a"].tolist() == [4, 4, 4]


def test_a_score_of_weights_is_summed():
    groups, params = scaled()
    score = jc.prune.summed(jc.prune.random_score(jax.random.key(0)), scope=jc.scopes.everything)
    assert score(params, groups.groups)["a"].shape == (3,)


@pytest.mark.parametrize("share", [1.0, 1.2, 90, -0.1, float("nan")])
def test_a_share_is_a_fraction(share):
    groups, params = chain(2, 4, 2)
    with pytest.raises(ValueError, match=r"remove: must be in \[0, 1\), got .*percentage"):
        jc.choose_units(params, groups, remove=share)


def test_bad_input():
    groups, params = chain(2, 4, 2)
    with pytest.raises(TypeError, match="remove: must be a number"):
        jc.choose_units(params, groups, remove="half")  # pyright: ignore
    with pytest.raises(ValueError, match="z: no group of that name; groups: a"):
        jc.choose_units(params, groups, remove={"z": 0.5})
    with pytest.raises(TypeError, match="round_to: must be an integer above 0, got 0"):
        jc.choose_units(params, groups, remove=0.5, round_to=0)
    with pytest.raises(ValueError, match=r"a: score must give one number for each of the 4 units"):
        jc.choose_units(params, groups, remove=0.5, score=lambda g, p: {"a": np.ones(3)})
    with pytest.raises(ValueError, match=r"b: must be finite, got 1 NaN .* at \(1, 0\)"):
        corner = np.zeros_like(params["b"])
        corner[1, 0] = np.nan
        jc.choose_units({**params, "b": params["b"] + corner}, groups, remove=0.5)
    with pytest.raises(ValueError, match="measure: must be finite, at least 0, and above 0 for"):
        jc.choose_units(
            params, groups, remove=0.5, spread=jc.prune.across_groups, measure=lambda group: 0.0
        )
    with pytest.raises(ValueError, match="b: the tree must have this leaf of group a"):
        jc.choose_units({"a": params["a"]}, groups, remove=0.5)
    groups, params = chain(2, 4, 4, 2)
    with pytest.raises(ValueError, match="remove: must be one number across groups"):
        jc.choose_units(params, groups, remove={"a": 0.5, "b": 0.2}, spread=jc.prune.across_groups)


def test_one_number_is_for_the_groups_that_the_code_follows():
    def apply(p, x, *, checked=True):
        h = x @ p["a"]
        if checked and h.shape[1] != 6:
            raise ValueError("six are wanted")
        return jnp.tanh(h @ p["b"]) @ p["c"]

    rng = np.random.default_rng(0)
    params = {
        "a": rng.normal(size=(3, 6)),
        "b": rng.normal(size=(6, 8)),
        "c": rng.normal(size=(8, 2)),
    }
    x = rng.normal(size=(4, 3))
    groups = jc.unit_groups(apply, params, x)
    assert {group.name: bool(group.untried) for group in groups} == {"a": True, "b": False}
    keep = jc.choose_units(params, groups, remove=0.5)
    assert list(keep) == ["b"] and jc.check_shrink(apply, params, groups, keep, x) < 1e-5
    both = jc.choose_units(params, groups, remove={"a": 0.5, "b": 0.5})
    free = lambda sizes: lambda p, x: apply(p, x, checked=False)  # noqa: E731
    assert jc.check_shrink(apply, params, groups, both, x, rebuild=free) < 1e-5
    proved = jc.unit_groups(lambda p, x: apply(p, x, checked=False), params, x)
    assert list(jc.choose_units(params, proved, remove=0.5)) == ["a", "b"]
