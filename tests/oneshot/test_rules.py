"""Rules and bits of `compress`: settings of some tensors, by patterns of their paths."""

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.oneshot.rules import Rule, Treatments
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.oneshot.stream import prune
from jaxcompress.oneshot.ways import Treatment


def _params():
    random = np.random.default_rng(0)
    shapes = {"embed": (64, 32), "layer": (32, 32), "head": (32, 16)}
    return {n: {"kernel": random.standard_normal(s).astype("f")} for n, s in shapes.items()}


def _zeros(leaf):
    return float(np.mean(np.asarray(jc.dense({"w": leaf})["w"]) == 0))


def test_bits_give_each_channel_a_grid():
    small = jc.compress(_params(), bits=4)
    assert {leaf["kernel"].bits for leaf in small.values()} == {4}
    blocks = jc.compress(_params(), bits=4, block=8)
    assert blocks["layer"]["kernel"].scale.size == 32 * 32 // 8


def test_rules_set_what_tensors_of_a_pattern_get():
    rules = {"embed*": {"bits": 8}, "head": {"keep": True}, "*": {"clusters": 5}}
    params = _params()
    small = jc.compress(params, rules=rules)
    assert small["embed"]["kernel"].bits == 8
    assert small["head"]["kernel"] is params["head"]["kernel"]
    assert small["layer"]["kernel"].codebook.size == 5


def test_a_rule_ranks_its_tensors_by_themselves():
    params = _params()
    params["layer"]["kernel"] *= 0.01  # a threshold over all would remove all of it
    small = jc.compress(params, rules={"layer": {"sparsity": 0.75}}, step_size=0.01)
    pruned = np.abs(params["layer"]["kernel"])
    kept = np.asarray(jc.dense(small)["layer"]["kernel"]) != 0
    assert kept.sum() == 256
    assert pruned[kept].min() >= pruned[~kept].max()
    assert _zeros(small["embed"]["kernel"]) < 0.02


def test_the_sparsity_of_a_rule_takes_its_tensors_out_of_that_of_all():
    treatments = Treatments(
        Treatment(way="relative", value=0.1), (Rule("head", {"sparsity": 0.0}),)
    )
    found = prune(TreeSource(_params()), 0.5, treatments=treatments)
    zeros = [int((found.pruned(i) == 0).sum()) for i in range(3)]  # embed, head, layer
    assert zeros[1] == 0
    assert zeros[0] + zeros[2] == (64 * 32 + 32 * 32) // 2


def test_a_size_chooses_the_steps_of_tensors_whose_rule_says_no_fineness(tmp_path):
    params = {"a": np.random.default_rng(1).standard_normal((256, 256)).astype("f")}
    small = jc.compress(params, target_bytes=30_000, rules={"a": {"sparsity": 0.5}})
    assert _zeros(small["a"]) >= 0.5
    assert 0.95 * 30_000 < jc.save(tmp_path / "a.npz", small) <= 30_000


@pytest.mark.slow
def test_a_size_with_room_keeps_sparsity_and_rules():
    params = _params()
    half = jc.compress(params, sparsity=0.5, target_bytes="1MB")
    assert np.mean([_zeros(leaf["kernel"]) for leaf in half.values()]) > 0.4
    rules = {"embed": {"bits": 2}, "layer": {"sparsity": 0.9}, "head": {"keep": True}}
    small = jc.compress(params, target_bytes="1MB", rules=rules)
    assert small["embed"]["kernel"].bits == 2 and _zeros(small["layer"]["kernel"]) >= 0.9
    assert small["head"]["kernel"] is params["head"]["kernel"]
    exact = jc.compress(params, target_bytes="1MB", rules={"head": {"keep": True}})
    np.testing.assert_array_equal(jc.dense(exact)["layer"]["kernel"], params["layer"]["kernel"])


def test_rules_that_fix_everything_leave_a_size_nothing_to_choose():
    with pytest.raises(ValueError, match="target_bytes: .* rules that say bits"):
        jc.compress(_params(), target_bytes="1KB", rules={"*": {"bits": 4}})


def test_equal_tensors_of_two_rules_are_ranked_by_their_own():
    random = np.random.default_rng(0)
    tensor = random.standard_normal((64, 64)).astype("f")
    params = {"a1": tensor, "a2": 10 * random.standard_normal((64, 64)).astype("f")}
    params["b1"] = tensor.copy()
    sparsity = {"sparsity": 0.4}
    small = jc.compress(params, rules={"a*": sparsity, "b1": sparsity}, step_size=0.001)
    assert _zeros(small["b1"]) == pytest.approx(0.4, abs=0.01)


def test_numbers_of_numpy_are_integers_too():
    small = jc.compress(_params(), bits=np.int64(4), block=np.int32(8))
    assert small["layer"]["kernel"].bits == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bits": 4, "clusters": 3}, "clusters: only the quantizer kmeans takes one"),
        ({"bits": 4, "step_size": 0.1}, "step_size: only the quantizers relative"),
        ({"step_size": 0.1, "target_bytes": 9}, "target_bytes: chooses the step size"),
        ({"clusters": 3, "block": 8}, "block: kmeans has one set of values"),
        ({"bits": 9}, "bits: must be 1 to 8"),
        ({"bits": True}, "bits: must be 1 to 8"),
        ({"block": 1.5, "bits": 4}, "block: must be at least 2 weights"),
        ({"rules": {"nothing": {"bits": 4}}}, "nothing: a pattern must match a tensor"),
        ({"rules": {"head": {"colour": 1}}}, "rules: 'head': must set of keep"),
        ({"rules": {"head": {}}}, "must set something"),
        ({"rules": {"head": {"sparsity": 1.0}}}, "rules: 'head': sparsity must be in"),
        ({"rules": {"head": {"layout": "csr"}}}, "layout: is of files"),
        ({"rules": {"head": {"clusters": 0}}}, "rules: 'head': clusters: k must be in 1 to 1024"),
        ({"rules": {"head": {"quantizer": "kmeans", "block": 8}}}, "head: block: kmeans has one"),
        ({"clusters": 9, "rules": {"head": {"channel_axis": "first"}}}, "head: channel_axis"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        jc.compress(_params(), **wrong)


@pytest.mark.parametrize("settings", [8, {"sparsity": "half"}])
def test_settings_of_wrong_types_are_refused(settings):
    with pytest.raises(TypeError, match="rules: 'head'"):
        jc.compress(_params(), rules={"head": settings})


@pytest.mark.parametrize("rules", [["head"], {1: {"bits": 4}}])
def test_rules_of_wrong_types_are_refused(rules):
    with pytest.raises(TypeError, match="rules: "):
        jc.compress(_params(), rules=rules)
