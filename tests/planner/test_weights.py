"""Plans for weights alone: what files take, and that settings mean the same in all of them."""

import numpy as np
import pytest

from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner import _building, _ladder, plan, weights
from jaxcompress.planner._building import built, digest_of, surveyed
from jaxcompress.planner._damage import undominated
from jaxcompress.planner._record import Choice
from jaxcompress.planner.weights import fitted, planned, profile_of, reachable

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


TREE = {"bias": normal(400), "large": normal(60, 200), "small": normal(16, 40)}
STEPS = {"large": {"step_size": 0.5}, "small": {"step_size": 0.5}}


@pytest.fixture(scope="module")
def profile():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ladder, "MANY", 0)  # few settings
        return profile_of(TreeSource(TREE))


def leaf_of(settings, path):
    leaves, _ = surveyed(TreeSource(TREE)).leaves(settings)
    return np.asarray(dict(zip(TREE, leaves, strict=True))[path].dense())


def test_a_profile_for_a_budget_of_speed_is_refused(profile):
    without = profile._replace(networks=[])
    for wanted in (reachable, lambda found: fitted(TreeSource(TREE), found, 5000)):
        with pytest.raises(ValueError, match="^profile: must have measured the whole network"):
            wanted(without)


def test_steps_are_the_same_whatever_becomes_of_others():
    alone = leaf_of({"small": {"step_size": 0.5}}, "small")
    for other in ({"step_size": 0.1}, {"clusters": 4}, "leave", {"sparsity": 0.5}):
        np.testing.assert_array_equal(leaf_of(STEPS | {"large": other}, "small"), alone)
    zeros = leaf_of(STEPS | {"large": {"sparsity": 0.5, "step_size": 0.1}}, "large")
    assert np.count_nonzero(zeros) <= zeros.size / 2


def test_vectors_have_sixteen_bits_if_the_plan_says_so():
    assert built(TREE, STEPS)["bias"].values.dtype == np.float16
    exact = built(TREE, STEPS, half=False)
    np.testing.assert_array_equal(exact["bias"], TREE["bias"])


def test_names_with_signs_of_patterns_are_names():
    tree = {"*": normal(40, 40), "[a]": normal(40, 40), "a": normal(40, 40)}
    found = built(tree, {"*": {"step_size": 1}, "[a]": {"step_size": 0.01}})
    np.testing.assert_array_equal(found["a"], tree["a"])
    off = [np.abs(np.asarray(found[name].dense()) - tree[name]).max() for name in ("*", "[a]")]
    assert off[0] > 10 * off[1] > 0


@pytest.mark.slow
def test_the_file_is_within_the_size(profile):
    source = TreeSource(TREE)
    least, most = reachable(profile)
    for size in np.linspace(least * 1.02, most, 5):
        found = fitted(source, profile, int(size))
        leaves, _ = surveyed(source).leaves(found.settings)
        pairs = zip(source.paths, leaves, strict=True)
        sizes, other = _building.shares_of(source, pairs)
        assert found.size_bytes == round(sum(sizes.values()) + other) <= size
    with pytest.raises(ValueError, match="must be at least"):
        fitted(source, profile, int(least * 0.9))


def test_of_large_networks_a_part_of_the_size_is_left_free(profile, monkeypatch):
    monkeypatch.setattr(weights, "MANY", 0)
    source, (least, _) = TreeSource(TREE), reachable(profile)
    found = fitted(source, profile, 9000)
    assert found.size_bytes <= 9000 * 0.995 and found.budget.size_bytes == 9000
    assert fitted(source, profile, int(least * 1.001) + 1).size_bytes <= least * 1.001 + 1


def test_a_profile_of_weights_is_kept_and_read_again(tmp_path, profile):
    path = tmp_path / "profile.json"
    profile.save(path)
    again = profile_of(TreeSource(TREE), path)
    assert again.networks[0].tensors == [
        tensor._replace(choices=[Choice(c.settings, *map(_six, c[1:])) for c in tensor.choices])
        for tensor in profile.networks[0].tensors
    ]
    assert plan(again, size_bytes=9000).settings == plan(profile, size_bytes=9000).settings


def _six(value):
    return float(f"{value:.6g}")


def test_tied_tensors_are_treated_as_one():
    tree = {"a": normal(40, 40), "c": normal(30, 40)}
    tree["b"] = tree["a"]
    found = surveyed(TreeSource(tree))
    assert found.paths == ["a", "c"]
    for settings in ({"a": {"step_size": 1}}, {"a": {"sparsity": 0.5, "step_size": 1}}):
        stored = built(tree, settings)
        np.testing.assert_array_equal(stored["a"].dense(), stored["b"].dense())
    found.check({"a": "leave", "b": {"keep": True}})
    found.check({"a": {"bits": 4}, "b": {"bits": 4}})
    for settings in ({"a": {"bits": 4}, "b": "leave"}, {"b": {"bits": 4}}):
        with pytest.raises(ValueError, match="b: .* cannot be done, this tensor is the same as a"):
            found.check(settings)


@pytest.mark.slow
def test_weights_of_few_values_stay_as_small_as_they_are(monkeypatch):
    monkeypatch.setattr(_ladder, "MANY", 0)
    source = TreeSource({"sign": np.sign(normal(100, 100)), "w": normal(40, 40)})
    found = profile_of(source).networks[0].tensors[0]
    assert [choice.error for choice in found.choices] == [0.0]
    assert found.choices[0].size_bytes < 100 * 100 / 6


def test_a_tensor_that_nothing_needs_may_be_left_as_it_is():
    coarse, exact = Choice({"bits": 1}, 10.0, 0.5, 0.0), Choice({"keep": True}, 90.0, 0.0, 0.0)
    assert undominated([exact, coarse]) == [coarse, exact]
    assert undominated([exact, exact._replace(size_bytes=50.0)])[0].size_bytes == 50.0


def test_large_networks_are_known_by_the_beginnings_of_their_tensors(monkeypatch):
    other = {**TREE, "large": TREE["large"] + np.float32(1e-3)}
    assert digest_of(TreeSource(TREE)) != digest_of(TreeSource(other))
    monkeypatch.setattr(_building, "_READ_WHOLE", 0)
    assert digest_of(TreeSource(TREE)) != digest_of(TreeSource(other))
    renamed = {**TREE, "medium": TREE["large"]}
    del renamed["large"]
    assert digest_of(TreeSource(TREE)) != digest_of(TreeSource(renamed))


def test_a_plan_that_cuts_is_no_plan_for_weights_alone(profile):
    found = plan(profile, size_bytes=9000)._replace(cut={"blocks": [0]})
    with pytest.raises(ValueError, match="p: cut: takes the code of the network"):
        planned(TreeSource(TREE), found, "p")
