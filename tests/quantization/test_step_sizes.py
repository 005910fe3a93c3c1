"""Steps that do equal damage, and the grids they make, against arithmetic by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.leaves import Sparse
from jaxcompress.quantization._step_sizes import (
    Probe,
    round_to_step_sizes,
    row_step_sizes,
    step_size_sensitivity,
    step_sizes_for_damage,
)

KERNEL = np.array([[0.1, -0.24], [3.0, 0.1], [0.31, -0.1]], np.float32)


def test_rows_with_larger_weights_have_steps_of_their_own():
    leaf = round_to_step_sizes({"kernel": KERNEL}, {"kernel": 0.01})["kernel"]
    assert leaf.scale.shape == (3, 1)
    np.testing.assert_allclose(leaf.scale[:, 0], [0.01, 3 / 127, 0.01], rtol=1e-6)
    np.testing.assert_array_equal(leaf.values, [[10, -24], [127, 4], [31, -10]])
    assert round_to_step_sizes({"kernel": KERNEL}, {"kernel": 0.1})["kernel"].scale.shape == (1, 1)


def test_each_row_may_have_a_step_size():
    steps = np.array([[0.01], [0.5], [0.1]])
    leaf = round_to_step_sizes({"kernel": KERNEL}, {"kernel": steps})["kernel"]
    np.testing.assert_allclose(leaf.scale, steps, rtol=1e-6)
    np.testing.assert_array_equal(leaf.values, [[10, -24], [6, 0], [3, -1]])
    few = round_to_step_sizes({"kernel": KERNEL}, {"kernel": np.full((3, 1), 0.01)})["kernel"]
    np.testing.assert_allclose(few.scale[:, 0], [0.01, 3 / 127, 0.01], rtol=1e-6)
    each = round_to_step_sizes({"kernel": KERNEL}, {"kernel": np.full((1, 2), 0.1)})["kernel"]
    assert each.scale.shape == (1, 2)


def test_rows_that_are_read_more_have_finer_steps():
    steps = row_step_sizes(np.array([6, 2, 0, 0]), unseen=0.5).ravel()
    # Shares of 1/2, 1/4, 1/8 and 1/8: half an octave for each factor of two.
    np.testing.assert_allclose(np.log2(steps), [-0.625, -0.125, 0.375, 0.375], atol=0.126)
    np.testing.assert_allclose(4 * np.log2(steps) % 1, 0, atol=1e-9)
    assert np.ptp(row_step_sizes(np.arange(9), unseen=1.0)) == 0
    never = row_step_sizes(np.r_[1e9, np.zeros(999)], unseen=0.25)
    assert never[-1, 0] <= 2 * 2 ** (1 / 8) * 1.01  # 0.25^(-1/2), to a quarter of an octave


def test_a_table_does_less_damage_in_as_many_bytes():
    rng = np.random.default_rng(0)
    table, often = rng.normal(size=(2000, 32)), 1 / np.arange(1, 2001)
    read = often / often.sum()

    def figures(steps):
        leaf = round_to_step_sizes({"w": table}, {"w": steps})["w"]
        return jc.size_bytes({"w": leaf}), np.mean((leaf.dense() - table) ** 2, axis=1) @ read

    one, by_row = figures(0.5), figures(0.55 * row_step_sizes(np.rint(1e6 * read), unseen=0.1))
    assert by_row[0] < one[0] and by_row[1] < 0.55 * one[1]


def test_a_row_step_size_of_nothing_is_refused():
    for counts in (np.zeros(3), np.array([1, -1]), np.ones((2, 2)), np.array([1, np.nan])):
        with pytest.raises(ValueError, match=r"^counts: must be \[rows\] numbers"):
            row_step_sizes(counts)
    with pytest.raises(ValueError, match="^unseen: must be above 0 and at most 1, got 0"):
        row_step_sizes(np.ones(3), unseen=0)


def test_relative_step_sizes_are_measured_as_they_will_be():
    params = {"table": np.random.default_rng(0).normal(size=(50, 8)).astype("f")}
    counts = np.r_[np.full(5, 100), np.ones(45)].astype(int)
    tokens = np.repeat(np.arange(50), counts).astype(np.int32)
    options = {"scope": jc.scopes.matching("table")}

    def apply(p, x):
        return p["table"][x]

    (one,) = step_size_sensitivity(apply, params, [tokens], **options).values()
    relative = {"table": row_step_sizes(counts)}
    found = step_size_sensitivity(apply, params, [tokens], relative=relative, **options)["table"]
    assert found.step_size == one.step_size and found.damage < 0.6 * one.damage
    with pytest.raises(ValueError, match="tables: relative step sizes must be for tensors"):
        step_size_sensitivity(apply, params, [tokens], relative={"tables": 1.0}, **options)


def test_only_what_is_named_is_rounded_compressed_or_not():
    tree = {"a": {"w": KERNEL}, "b": jc.leaves.sparse({"w": KERNEL}), "c": {"w": KERNEL}}
    assert isinstance(tree["b"]["w"], Sparse)
    rounded = round_to_step_sizes(tree, {"a/w": 0.2, "b/w": 0.2})
    assert rounded["c"]["w"] is KERNEL
    for name in "ab":
        expected = 0.2 * np.round(KERNEL / 0.2)
        np.testing.assert_allclose(rounded[name]["w"].dense(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "error", "rule"),
    [
        ({"kernels": 0.1}, ValueError, "kernels: step sizes must be for tensors .* among kernel"),
        ({"kernel": 0.0}, ValueError, "kernel: must be finite and above 0, got 0.0"),
        ({"kernel": np.nan}, ValueError, "kernel: must be finite and above 0, got nan"),
        ({"kernel": "fine"}, TypeError, "kernel: must be a number above 0, got 'fine'"),
        (
            {"kernel": np.ones((2, 1))},
            ValueError,
            r"kernel: step sizes must have axes of .*\(3, 2\)",
        ),
        ({"kernel": np.ones(3)}, ValueError, r"kernel: step sizes must have axes of .*got \(3,\)"),
        ({"kernel": np.zeros((3, 1))}, ValueError, "kernel: must be finite and above 0, got 0.0"),
        ({"kernel": np.full((3, 1), np.nan)}, ValueError, "must be finite and above 0, got nan"),
    ],
)
def test_steps_that_are_none_are_refused(steps, error, rule):
    with pytest.raises(error, match=rule):
        round_to_step_sizes({"kernel": KERNEL}, steps)


def test_shared_values_have_one_step_size():
    shared = jc.kmeans({"kernel": KERNEL}, 2)
    with pytest.raises(ValueError, match="kernel: shared values have one step size"):
        round_to_step_sizes(shared, {"kernel": np.ones((3, 1))})


def test_every_weight_does_as_much_damage_as_any_other():
    probes = {"a": Probe(0.5, 0.04, 6, 9.0), "b": Probe(2.0, 0.01, 24, 9.0)}
    steps = step_sizes_for_damage(probes, damage=0.05)
    # A fifth of 0.05 is for `a`, a quarter of what it did; the rest for `b`, four times as much.
    np.testing.assert_allclose([steps["a"], steps["b"]], [0.25, 4.0])


def test_no_step_is_larger_than_the_largest_weight():
    """Also where rounding did no damage, or some good."""
    damages = {"a": 1.0, "b": 0.0, "c": -0.1}
    probes = {name: Probe(1.0, damage, 4, 2.0) for name, damage in damages.items()}
    assert step_sizes_for_damage(probes, damage=0.03) == {"a": 0.1, "b": 2.0, "c": 2.0}
    assert step_sizes_for_damage(probes, damage=3e3)["a"] == 2.0


def test_impossible_damages_are_refused():
    with pytest.raises(ValueError, match="damage: must be finite and above 0, got -1"):
        step_sizes_for_damage({"a": Probe(1.0, 1.0, 4, 2.0)}, damage=-1)
    with pytest.raises(ValueError, match="probes: must hold a tensor at least"):
        step_sizes_for_damage({}, damage=1.0)


def net(p, x):
    return jnp.tanh(x @ p["in"]["kernel"] + p["in"]["bias"]) @ p["out"]["kernel"]


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    params = {
        "in": {"kernel": rng.normal(size=(24, 32)), "bias": rng.normal(size=32)},
        "out": {"kernel": 0.1 * rng.normal(size=(32, 8)), "none": np.zeros((3, 3))},
    }
    params = {layer: {k: a.astype("f") for k, a in w.items()} for layer, w in params.items()}
    x = (rng.normal(size=(512, 4)) @ rng.normal(size=(4, 24))).astype("f") / 2
    return params, x, jc.quantization.input_moments(net, params, [x])


def damage_of(tree, params, x):
    outputs, exact = net(jc.dense(tree), x), net(params, x)
    return float(jnp.sum((outputs - exact) ** 2) / jnp.sum(exact**2))


def test_weights_that_cannot_be_measured_are_refused(given):
    params, x, _ = given
    bad = {"in": params["in"], "out": {"kernel": params["out"]["kernel"] * np.float32("nan")}}
    with pytest.raises(ValueError, match="out/kernel: must be finite, got 256 NaN"):
        step_size_sensitivity(net, bad, [x])
    with pytest.raises(ValueError, match="scope: must have a tensor that is not all zero"):
        step_size_sensitivity(net, params, [x], scope=jc.scopes.matching("none"))


def test_what_was_asked_for_is_roughly_what_comes_out(given):
    params, x, moments = given
    for known in (None, moments):
        probes = step_size_sensitivity(net, params, [x], moments=known)
        assert probes.keys() == {"in/kernel", "out/kernel"}
        small = round_to_step_sizes(params, step_sizes_for_damage(probes, damage=0.002))
        if known is not None:
            small = jc.fit_rounding(params, small, known)
        assert 0.001 < damage_of(small, params, x) < 0.004


def test_equal_damage_takes_fewer_bytes_than_equal_steps(given, tmp_path):
    """The rule beside the control: one step for all, as much damage, a larger file."""
    params, x, _ = given
    steps = step_sizes_for_damage(step_size_sensitivity(net, params, [x]), damage=0.002)
    measured = round_to_step_sizes(params, steps)
    low, high = 1e-3, 1.0
    for _ in range(20):  # the step of all at which the damage is the same
        middle = float(np.sqrt(low * high))
        same = round_to_step_sizes(params, dict.fromkeys(steps, middle))
        low, high = (
            (middle, high)
            if damage_of(same, params, x) < damage_of(measured, params, x)
            else (low, middle)
        )
    sizes = [jc.save(tmp_path / "a.npz", tree, layout="entropy") for tree in (measured, same)]
    assert sizes[0] < 0.95 * sizes[1]
