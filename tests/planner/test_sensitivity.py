"""The damage of any change in one place, against arithmetic by hand and against real cuts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.planner import (
    blocks,
    each_tensor,
    kl_divergence,
    rank,
    rounding,
    sensitivities,
    shared_values,
    sparsity,
    step_size,
    units,
)
from jaxcompress.planner._sensitivities import _Look
from tests.helpers import known_nets as known_nets  # registers networks
from tests.helpers.traced_nets import make

PARAMS = {"in": np.array([[4, 2], [3, 0]], "f"), "out": np.array([[1], [2]], "f")}
X = np.array([[1, 1]], "f")  # 7 and 2, then 11


def apply(p, x):
    return x @ p["in"] @ p["out"]


def squares(difference, exact=11.0):
    return pytest.approx((difference / exact) ** 2, rel=1e-5)


def test_each_change_of_a_net_of_two_layers_by_hand():
    found = sensitivities(
        apply,
        PARAMS,
        [X],
        changes=[sparsity(remove=0.5), shared_values(1), each_tensor("nothing", jax.jit(zeros))],
    )
    damages = {
        what: [price.damage for price in prices.values()] for what, prices in found.prices.items()
    }
    # `in` keeps 4 and 3, then holds 3 three times beside its zero; `out` keeps 2, then 1.5 twice.
    assert damages["in"] == [squares(-4), squares(12 - 11), squares(-11)]
    assert damages["out"] == [squares(-7), squares(13.5 - 11), squares(-11)]
    assert found.full_bytes == {"in": 16, "out": 8}
    names = ["50 % zeros", "1 values", "nothing"]
    assert list(found.prices["in"]) == names and found.unchanged == {name: {} for name in names}
    assert [p.size_bytes for p in found.prices["in"].values()] == [
        9,  # two numbers, and which two of four: 4 bits
        5,  # a number, and which one of four is zero: 3.2 bits
        16,
    ]


def zeros(params):
    return jax.tree.map(jnp.zeros_like, params)


def test_low_rank_and_its_reasons():
    first = np.diag([4, 2, 1, 1]).astype("f")
    params = {"a": first, "thin": np.ones((4, 1), "f"), "bias": np.zeros(1, "f"), "n": np.array(3)}

    def net(p, x):
        return x @ p["a"] @ p["thin"] + p["bias"] * p["n"]

    found = sensitivities(net, params, [np.ones((1, 4), "f")], changes=[rank(keep=0.5)])
    assert found.prices == {"a": {"low rank 50 %": (squares(-4, 8), 32)}}
    assert found.unchanged == {
        "low rank 50 %": {
            "bias": "fewer than two axes",
            "n": "int64 is not floating point",
            "thin": "rank 1 has 5 parameters, more than 0.5 of its 4",
        }
    }
    assert str(found).splitlines()[1:] == [
        "a        64 B  2.50e-01 (32 B)",
        "not at low rank 50 %: bias  [fewer than two axes]",
        "not at low rank 50 %: n  [int64 is not floating point]",
        "not at low rank 50 %: thin  [rank 1 has 5 parameters, more than 0.5 of its 4]",
    ]


def test_rounding_agrees_with_the_table_of_bits():
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=(16, 16)).astype("f") for name in ("one", "two")}

    def net(p, x):
        return jnp.tanh(x @ p["one"]) @ p["two"]

    batches = rng.normal(size=(2, 8, 16)).astype("f")
    old = jc.quantization.sensitivity(net, params, batches, bits=(4,)).prices
    new = sensitivities(net, params, batches, changes=[rounding(4, quantizer=jc.quantize)]).prices
    for path in params:
        assert new[path]["4 bits"].damage == pytest.approx(old[path][4].damage, rel=1e-6)
        assert new[path]["4 bits"].size_bytes <= old[path][4].size_bytes  # entropy, not bits


def test_sizes_are_those_of_a_file(tmp_path):
    params = {"w": np.random.default_rng(0).normal(size=(256, 64)).astype("f")}

    def net(p, x):
        return x @ p["w"]

    changes = [step_size(0.25), rounding(4), shared_values(16)]
    prices = sensitivities(net, params, [np.ones((1, 256), "f")], changes=changes).prices["w"]
    for change in changes:
        ((_, trial),) = change.trials(params)
        written = jc.save(tmp_path / "w.npz", {"w": trial.build.args[2]})
        estimated = prices[change.name].size_bytes
        assert estimated < written < estimated + 1200  # the manifest and tables of frequencies


def test_units_by_hand_and_without_compiling_anew():
    traced = []

    def counted(p, x):
        traced.append(p["in"].shape)
        return jax.nn.relu(x @ p["in"] + p["bias"]) @ p["out"]

    params = PARAMS | {"bias": np.array([1, 1], "f")}  # 8 and 3, then 14
    groups = jc.unit_groups(counted, params, X)
    traced.clear()
    changes = [units(groups, remove=0.5), sparsity(remove=0.5), shared_values(2)]
    found = sensitivities(counted, params, [X, X], changes=changes)
    # The second unit has the smaller weights: 6 less, and half of all bytes.
    assert found.prices["units of in"] == {"50 % fewer units": (squares(-6, 14), 16)}
    assert found.full_bytes["units of in"] == 32
    assert traced.count((2, 2)) == 3 and traced.count((2, 1)) == 1  # the last is only looked at


NETS = ["mlp", "attention", "recurrent", "grouped_queries", "one_dimensional", "tiny_vit_b16"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETS, "tiny_mobilenet_v2"])
def test_units_do_the_damage_of_a_real_cut(name):
    """Silenced where that is the same: not where code divides by sizes, or norms units."""
    net, params, inputs = make(name)
    groups = jc.unit_groups(net, params, *inputs)
    found = sensitivities(net, params, [tuple(inputs)], changes=[units(groups, remove=0.4)])
    exact = net(params, *inputs)
    for group in groups:
        keep = jc.choose_units(params, groups, remove={group.name: 0.4})
        if not keep[group.name].all():
            cut = net(jc.shrink(params, groups, keep), *inputs)
            ((_, price),) = found.prices[f"units of {group.name}"].items()
            wanted = float(jc.quantization.relative_error(cut, exact))
            assert price.damage == pytest.approx(wanted, rel=1e-3, abs=1e-10)


def test_a_number_that_follows_from_sizes_is_that_of_the_cut():
    def scaled(p, x):
        return x @ p["in"] @ p["out"] / p["in"].shape[1]

    groups = jc.unit_groups(scaled, PARAMS, X)
    found = sensitivities(scaled, PARAMS, [X], changes=[units(groups, remove=0.5)])
    # 11 / 2 becomes 7 / 1: the unit of 4, not halved.
    assert found.prices["units of in"]["50 % fewer units"].damage == squares(7 - 5.5, 5.5)


def test_a_unit_of_norm_one_is_cut_as_zeros_have_no_norm():
    def normed(p, x):
        return x @ (p["in"] / jnp.linalg.norm(p["in"], axis=0)) @ p["out"]

    groups = jc.unit_groups(normed, PARAMS, X)
    found = sensitivities(normed, PARAMS, [X], changes=[units(groups, remove=0.5)])
    # 7 / 5 and 2 / 2, then 1.4 + 2
    assert found.prices["units of in"]["50 % fewer units"].damage == squares(-2, 3.4)


def test_code_that_checks_its_sizes_has_its_units_silenced_or_says_why_not():
    def rigid(p, x, norm):
        h = x @ p["in"]
        if h.shape[-1] != 2:
            raise TypeError("must have 2 units")
        return (h - h.mean(-1, keepdims=True) if norm else h) @ p["out"]

    plain, normed = (functools.partial(rigid, norm=norm) for norm in (False, True))
    groups = jc.unit_groups(plain, PARAMS, X)
    found = sensitivities(plain, PARAMS, [X], changes=[units(groups, remove=0.5)])
    assert found.prices["units of in"]["50 % fewer units"].damage == squares(-4)
    groups = jc.unit_groups(normed, PARAMS, X)
    both = [units(groups, remove=0.5), sparsity(remove=0.5)]
    found = sensitivities(normed, PARAMS, [X], changes=both)
    why = "the code fails: TypeError: must have 2 units"
    assert found.unchanged["50 % fewer units"]["units of in"] == why
    assert "units of in" not in found.prices and list(found.prices) == ["in", "out"]


def test_units_that_stay_are_listed():
    groups = jc.unit_groups(apply, PARAMS, X)
    found = sensitivities(
        apply, PARAMS, [X], changes=[units(groups, remove=0.1), sparsity(remove=0)]
    )
    assert found.unchanged["10 % fewer units"] == {
        "units of in": "0.1 of 2 units are none",
        "in:0": "units stay: an input",
    }
    assert {p["0 % zeros"].damage for p in found.prices.values()} == {0.0}


@pytest.mark.parametrize("layout", [list, np.array])
def test_blocks_by_hand(layout):
    params = {"blocks": layout([np.float32(k) for k in (1, 2, 4)]), "head": np.ones((1, 1), "f")}
    traced = []

    def net(p, x):
        traced.append(len(p["blocks"]))
        for block in p["blocks"]:
            x = x + block
        return x @ p["head"]

    batches = (np.full((1, 1), k, "f") for k in (0, 7))
    found = sensitivities(net, params, batches, changes=[blocks("blocks")])
    wanted = [(k / 7) ** 2 / 2 + (k / 14) ** 2 / 2 for k in (1, 2, 4)]
    damages = [prices["without a block of blocks"].damage for prices in found.prices.values()]
    np.testing.assert_allclose(damages, wanted, rtol=1e-5)
    assert list(found.prices) == ["blocks[0]", "blocks[1]", "blocks[2]"]
    assert set(found.full_bytes.values()) == {4}
    assert {p.size_bytes for each in found.prices.values() for p in each.values()} == {0}
    assert traced.count(2) == 1 + 3  # compiled once, looked at three times


def test_blocks_that_cannot_go_say_why():
    params = {"blocks": [np.ones((2, 3), "f"), np.ones((3, 2), "f")], "one": [np.ones(2, "f")]}

    def net(p, x):
        for block in p["blocks"]:
            x = x @ block
        return x * p["one"][0]

    changes = [blocks("blocks"), blocks("one"), rounding(8)]
    found = sensitivities(net, params, [np.ones((1, 2), "f")], changes=changes)
    assert found.unchanged["without a block of one"] == {"one[0]": "the only block"}
    first, second = found.unchanged["without a block of blocks"].values()
    assert first.startswith("the code fails: TypeError: ")
    assert second.startswith("the code fails: ")


def test_blocks_of_other_results_are_no_choice():
    params = {"blocks": [np.eye(2, dtype="f"), np.ones((2, 3), "f")]}

    def net(p, x):
        return functools.reduce(jnp.matmul, p["blocks"], x)

    found = sensitivities(net, params, [np.ones((1, 2), "f")], changes=[blocks("blocks")])
    assert list(found.prices) == ["blocks[0]"]
    assert found.unchanged["without a block of blocks"] == {
        "blocks[1]": "results of 1x3 became 1x2"
    }


@pytest.mark.slow
def test_divergence_by_hand_and_as_a_damage():
    exact, outputs = jnp.log(jnp.array([[[0.5, 0.5], [0.9, 0.1]], [[0.8, 0.2], [0.9, 0.1]]]))
    one = 0.5 * np.log(0.5 / 0.8) + 0.5 * np.log(0.5 / 0.2)
    assert float(kl_divergence(outputs, exact)) == pytest.approx(one / 2, rel=1e-5)
    assert float(kl_divergence(exact + 3, exact)) == pytest.approx(0, abs=1e-6)
    params = {"w": np.log(np.array([[0.8, 0.2], [0.5, 0.5]], "f"))}
    found = sensitivities(
        lambda p, x: x @ p["w"],
        params,
        [np.array([[1, 0]], "f")],
        changes=[each_tensor("turned", lambda p: {"w": p["w"][::-1].copy()})],
        damage=kl_divergence,
    )
    other = 0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5)
    assert found.prices["w"]["turned"].damage == pytest.approx(other, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16, np.float32])
def test_any_dtype_and_compressed_leaves(dtype):
    rng = np.random.default_rng(0)
    w = rng.normal(size=(8, 8)).astype(dtype)
    params = {"w": jc.leaves.sparse({"w": w})["w"], "v": jnp.asarray(w)}
    changes = [rounding(4), step_size(0.5), sparsity(remove=0.5), shared_values(4), rank(keep=0.5)]
    found = sensitivities(
        lambda p, x: x @ p["w"] @ p["v"], params, [np.ones((1, 8), dtype)], changes=changes
    )
    for prices in found.prices.values():
        assert list(prices) == [change.name for change in changes]
        assert all(0 <= p.damage < 4 and 0 < p.size_bytes < w.nbytes for p in prices.values())


def test_refusals():
    half = sparsity(remove=0.5)
    with pytest.raises(ValueError, match="batches: must hold at least one batch, got none"):
        sensitivities(apply, PARAMS, [], changes=[half])
    with pytest.raises(ValueError, match=r"in: damage must be finite, got nan at 50 % zeros; look"):
        sensitivities(apply, PARAMS, [0 * X], changes=[half])  # outputs are all zero
    with pytest.raises(TypeError, match=r"damage: must be one number, got shape \(1, 1\)"):
        sensitivities(apply, PARAMS, [X], changes=[half], damage=lambda a, b: a - b)
    with pytest.raises(ValueError, match="changes: must change something .* got .* no change"):
        sensitivities(apply, PARAMS, [X], changes=[])
    with pytest.raises(ValueError, match=r"changes: names must differ, got '50 % zeros' twice"):
        sensitivities(apply, PARAMS, [X], changes=[half, half])
    with pytest.raises(ValueError, match="thin at low rank 50 % .rank 1 has 3 parameters"):
        sensitivities(apply, {"thin": np.ones((1, 2), "f")}, [X], changes=[rank(keep=0.5)])
    with pytest.raises(ValueError, match="in: must be finite, got 1 NaN"):
        bad = PARAMS | {"in": np.array([[np.nan, 1], [1, 1]], "f")}
        sensitivities(apply, bad, [X], changes=[half])
    other = jc.unit_groups(apply, {"in": np.ones((2, 3)), "out": np.ones((3, 1))}, X)
    with pytest.raises(ValueError, match=r"in: must have the shape that groups were found for"):
        sensitivities(apply, PARAMS, [X], changes=[units(other, remove=0.5)])
    with pytest.raises(ValueError, match="nowhere: must be where the tree has blocks"):
        sensitivities(apply, PARAMS, [X], changes=[blocks("nowhere")])
    with pytest.raises(ValueError, match="in: cut must have the shape of params"):
        cut = each_tensor("cut", lambda p: jax.tree.map(lambda w: w[:1], p))
        sensitivities(apply, PARAMS, [X], changes=[cut])


def test_amounts_are_refused_before_anything_runs():
    groups = jc.unit_groups(apply, PARAMS, X)
    for make_change, message in [
        (lambda: sparsity(remove=50), r"remove: sparsity must be in \[0, 1\), got 50"),
        (lambda: units(groups, remove=1), r"remove: must be in \[0, 1\), got 1"),
        (lambda: rank(keep=0), "keep: must be finite and above 0"),
        (lambda: step_size(-1), "step_size: must be finite and above 0"),
        (lambda: shared_values(0), "k must be in 1 to 1024, got 0"),
        (lambda: rounding(9), "bits: must be 1 to 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_change()


def test_nothing_is_looked_at_where_shapes_stay():
    look = _Look(lambda p, x: 1 / 0, PARAMS, (X,))  # would fail if it were traced
    ((_, trial), _) = sparsity(remove=0.5).trials(PARAMS)
    assert look.ways(trial) == (trial.build,)
