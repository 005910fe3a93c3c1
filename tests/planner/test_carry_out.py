"""A plan carried out: checks of the file, edits, stages that go on, budgets that are missed."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress import planner
from tests.planner.conftest import X, apply, evaluate, new_params


@pytest.fixture(scope="module")
def result(profile, task, tmp_path_factory):
    plan = planner.plan(_only(profile, "units 0.50"), size_bytes=3500, drop=20)
    return planner.carry_out(plan, task, folder=tmp_path_factory.mktemp("stages"))


def _only(profile, name):
    return profile._replace(networks=[n for n in profile.networks if n.name == name])


def test_the_file_is_what_the_checks_say(result, task, tmp_path):
    size = result.save(tmp_path / "small.npz", note="mine")
    checks = {check.name: check for check in result.checks}
    assert (tmp_path / "small.npz").stat().st_size == size
    assert checks["bytes"].measured <= 3500 and checks["bytes"].is_met
    loaded = jc.load(tmp_path / "small.npz")
    lost = result.control - evaluate(result.apply, loaded)
    assert checks["quality lost"].measured == pytest.approx(lost)
    assert loaded["mid"]["kernel"].shape == (24, 16)
    assert {"times faster, batch 1", "times faster, batch 32", "ms, batch 1"} <= set(checks)


def test_it_is_shipped_with_its_plan_and_its_proof(result, tmp_path):
    path = tmp_path / "net.npz"
    assert result.ship(path, X[:1], classes=list("abcdefgh")) == path.stat().st_size
    net = jc.open_function(path)
    np.testing.assert_allclose(
        net(X), result.apply(jc.dense(result.params), X), rtol=1e-5, atol=1e-5
    )
    assert net.made == result.as_dict() and net.classes == list("abcdefgh")
    names = [check["name"] for check in net.made["checks"]]
    assert names == [check.name for check in result.checks]
    assert [step["name"] for step in net.made["steps"]][-1] == "coded"
    result.plan.save(tmp_path / "plan.json")
    again = planner.read_plan(path)  # nothing is executed
    assert again == planner.read_plan(tmp_path / "plan.json") and not again.is_edited
    jc.ship(path, result.apply, result.params, X[:1], made=result.plan.as_dict())
    assert planner.read_plan(path) == again
    with pytest.raises(ValueError, match="^apply: must be a function to be shipped, got none"):
        result._replace(apply=None).ship(path, X[:1])


def test_files_without_a_plan_are_refused(result, tmp_path):
    path = tmp_path / "net.npz"
    for made in (None, {"plan": 3}, {"plan": {"kind": "plan"}}, {"by": "hand"}):
        jc.ship(path, result.apply, result.params, X[:1], made=made)
        with pytest.raises(ValueError, match=r"net.npz: must be a plan, got .*; write it anew"):
            planner.read_plan(path)
    result.save(path)
    with pytest.raises(ValueError, match=r"net.npz: must be a plan, got"):
        planner.read_plan(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(jc.ArtifactError, match=r"net.npz"):
        planner.read_plan(path)


def test_steps_go_from_the_whole_network_to_the_file(result):
    names = [step.name for step in result.steps]
    assert names == ["whole", "cut 1 of 3", "cut 2 of 3", "cut 3 of 3", "coded"]
    sizes = [step.size_bytes for step in result.steps]
    assert sizes == sorted(sizes, reverse=True)
    assert "rounded and fine-tuned" in str(result) and "met" in str(result)


def test_training_recovers_what_the_cut_loses(result, profile):
    cut = next(n for n in profile.networks if n.name == "units 0.50")
    before = max(lost for _, lost in cut.losses)
    checks = {check.name: check for check in result.checks}
    assert checks["quality lost"].measured < before


@pytest.mark.slow
def test_a_stopped_run_goes_on(profile, task, tmp_path):
    plan = planner.plan(_only(profile, "units 0.50"), size_bytes=4000)
    first = planner.carry_out(plan, task, folder=tmp_path)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(kept) == {f"cut-{n}-of-3.npz" for n in (1, 2, 3)} | {"rounded.npz"}
    (tmp_path / "rounded.npz").write_bytes(b"torn")
    (tmp_path / "cut-3-of-3.npz").unlink()
    again = planner.carry_out(plan, task, folder=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    same = jax.tree.map(np.array_equal, jc.dense(first.params), jc.dense(again.params))
    assert all(jax.tree.leaves(same))


@pytest.mark.slow
def test_without_training_nothing_is_trained(profile, task):
    fixed = dataclasses.replace(task, loss=None, train=None)
    plan = planner.plan(_only(profile, "whole"), size_bytes=6000)
    result = planner.carry_out(plan, fixed)
    assert [step.name for step in result.steps] == ["whole", "coded"]
    assert result.control == evaluate(apply, task.params)
    size = result.checks[0]
    assert size.measured <= 6000 and abs(size.measured / size.predicted - 1) < 0.03
    lost = next(check for check in result.checks if check.name == "quality lost")
    assert abs(lost.measured - lost.predicted) < 3


def test_edits_are_honoured(profile, task):
    fixed = dataclasses.replace(task, loss=None, train=None, evaluate=None)
    plan = planner.plan(profile, size_bytes=6000)
    cut = {"units": {"in": "leave", "mid": 16}}
    settings = {"in/kernel": "leave", "mid/kernel": {"bits": 4}, "out/kernel": {"keep": True}}
    edited = plan._replace(cut=cut, settings=settings)
    result = planner.carry_out(edited, fixed)
    assert np.array_equal(result.params["in"]["kernel"], task.params["in"]["kernel"])
    assert result.params["mid"]["kernel"].shape == (48, 16)
    assert result.params["mid"]["kernel"].bits == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"in/kernel": {"bits": 99}}}, "in/kernel: bits: must be 1 to 8"),
        ({"settings": {"in/kernel": {"bites": 4}}}, "in/kernel: must set of keep"),
        ({"settings": {"in/kernel": 4}}, 'settings must be names and values, or "leave"'),
        ({"settings": {"in/bias": {"bits": 4}}}, "in/bias: .* cannot be done"),
        ({"settings": {"inn/kernel": {"bits": 4}}}, "inn/kernel: must be a tensor"),
        ({"cut": {"units": {"in": 99}}}, "in: must keep 1 to 48 units, got 99"),
        ({"cut": {"units": {"in": 0}}}, "in: must keep 1 to 48 units, got 0"),
        ({"cut": {"units": {"in": 2.5}}}, "in: must keep a number of units"),
        ({"cut": {"units": {"inn": 4}}}, "inn: no group of that name"),
        ({"network": "0123456789abcdef"}, "plan: is of another network"),
    ],
)
def test_edits_that_cannot_be_done_are_refused_before_training(profile, task, change, message):
    def never(*args):
        raise AssertionError("trained")

    plan = planner.plan(_only(profile, "whole"), size_bytes=6000)._replace(**change)
    with pytest.raises(ValueError, match=message):
        planner.carry_out(plan, dataclasses.replace(task, fit=never))


def test_a_missed_budget_is_said(profile, task):
    fixed = dataclasses.replace(task, loss=None, train=None)
    plan = planner.plan(_only(profile, "whole"), size_bytes=3000, drop=1e-6)
    result = planner.carry_out(plan, fixed)
    assert not result.is_met and [check.name for check in result.missed] == ["quality lost"]
    assert "MISSED" in str(result)


@pytest.mark.slow
def test_what_is_left_stays_when_a_budget_is_missed(profile, task):
    fixed = dataclasses.replace(task, loss=None, train=None)
    plan = planner.plan(profile, size_bytes=9000, leave=["mid"])
    plan = plan._replace(budget=plan.budget._replace(drop=-100.0))  # beyond reach
    result = planner.carry_out(plan, fixed, profile=profile)
    assert np.array_equal(result.params["mid"]["kernel"], task.params["mid"]["kernel"])
    assert not result.is_met and result.plan.settings["mid/kernel"] == "leave"


@pytest.mark.slow
def test_own_training_gets_the_function_and_a_transform(profile, task):
    calls = []

    def fit(apply, params, tx):
        calls.append(jax.tree.map(np.shape, params)["mid"]["kernel"])
        updates, _ = tx.update(jax.tree.map(np.zeros_like, params), tx.init(params), params)
        assert apply(params, X[:2]).shape == (2, 8)
        return jax.tree.map(lambda a, b: a + b, params, updates)

    own = dataclasses.replace(task, fit=fit, loss=None, train=None, evaluate=None)
    plan = planner.plan(_only(profile, "units 0.50"), size_bytes=4000)
    planner.carry_out(plan, own)
    assert calls == [(40, 27), (32, 21), (24, 16), (24, 16)]


@pytest.mark.slow
def test_in_one_call_and_its_controls(task, tmp_path):
    result = jc.compress_to(task, size_bytes=3000, folder=tmp_path)
    assert result.is_met and (tmp_path / "plan.json").exists()
    assert (tmp_path / "profile.json").exists()
    found = planner.controls(task, result, init=lambda key: new_params(1))
    names = [control.name for control in found]
    assert names[0] == "trained on" and names[-1] == "from scratch"
    assert all(np.isfinite(control.quality) for control in found)
