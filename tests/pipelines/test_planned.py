"""The recipe of a budget: its stages, its checks, what is missed and what is refused."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxcompress as jc
import run
from jaxcompress.leaves import LowRank, Quantized
from jaxcompress.planner import Check
from pipelines.errors import SettingsError
from pipelines.options.checks import check
from pipelines.options.plan import planned
from pipelines.options.table import settings_of
from pipelines.run.flat import flatten, unflatten
from pipelines.run.proof import checks_of, missed, recorded_checks
from pipelines.run.row import Row
from pipelines.run.shipped import SHIPPED
from pipelines.stages import planned as stage
from pipelines.stages.planned import BUDGETS, ROUNDS
from pipelines.stages.planning import PLAN, PROFILE, refused
from pipelines.stages.table import stages_of
from tests.helpers.commands import TINY, interrupt_at, refusal, results_of

CUTS = [f"cut {n}/{ROUNDS}{more}" for n in range(1, ROUNDS + 1) for more in ("", " + tuned")]
STAGES = ["baseline", "profiled", *CUTS, "rounded", "rounded + tuned", "reloaded"]


def plan_of(**settings):
    return planned(256, data="digits", **{"model": "lenet-300-100"} | settings)


# What a budget asks for


def test_any_budget_chooses_the_recipe():
    for name, value in zip(BUDGETS, ("12KB", 2.0, 1.0), strict=True):
        assert plan_of(**{name: value}).recipe == "auto"
    assert plan_of().recipe == "prune+share"
    assert plan_of(size="1.5KiB").size == 1536


def test_the_stages_depend_on_the_settings_alone():
    assert [stage.name for stage in stages_of(plan_of(size=9000))] == STAGES
    assert [stage.name for stage in stages_of(plan_of(drop=1.0))] == [*STAGES, "control"]


@pytest.mark.parametrize(
    ("budget", "cut_only"),
    [({"speedup": 2.0}, True), ({"speedup": 1.0}, False), ({"size": 9000}, False)],
)
def test_the_profile_that_is_planned_from_has_no_more_than_the_one_measured(
    budget, cut_only, tmp_path, monkeypatch
):
    """A profile without the whole network goes on to measure it when it is asked for again."""
    asked = []
    monkeypatch.setattr(jc.planner, "profile", lambda *_, **options: asked.append(options))
    monkeypatch.setattr(stage, "task_of", lambda job: None)
    monkeypatch.setattr(stage, "plan_within", lambda job, found: None)
    job = SimpleNamespace(plan=plan_of(**budget), folder=tmp_path, tell=print)
    with pytest.raises(AttributeError):  # there is no plan to save
        stage.profile(job, None)
    assert [options["cut_only"] for options in asked] == [cut_only, cut_only]


@pytest.mark.parametrize("epochs", [1, 9, 30, 60])
def test_rounds_and_rounding_divide_the_epochs(epochs):
    plan = plan_of(size=9000, finetune_epochs=epochs)
    found = [n for n in (stage.extra_epochs(plan) for stage in stages_of(plan)) if n]
    assert len(found) == ROUNDS + 1 and found[:-1] == sorted(found[:-1])
    assert sum(found) == epochs or epochs <= ROUNDS + 1 or min(found) == 1


REFUSALS = {
    "--recipe auto": "--recipe: auto needs a budget; pass --size, --speedup or --drop",
    "--recipe prune --size 9KB": "--size: the recipe has no use for it; leave it out",
    "--recipe distill --drop 1": "--drop: the recipe has no use for it; leave it out",
    "--recipe structured --speedup 2": "--speedup: the recipe has no use for it; leave it out",
    "--size 9KB --sparsity 0.5": "--sparsity: the recipe has no use for it; leave it out",
    "--size 0": "--size: must be a size above zero, got '0'; write 400KB, 1.5MiB or 250000",
    "--size -5": "--size: must be a size above zero, got '-5'",
    "--size small": "--size: must be a size above zero, got 'small'",
    "--speedup 0": "--speedup: must be above 0, got 0.0; 2 is twice as fast",
    "--speedup -2": "--speedup: must be above 0, got -2.0",
    "--speedup nan": "--speedup: must be above 0, got nan",
    "--speedup inf": "--speedup: must be above 0, got inf",
    "--drop 0": "--drop: must be above 0, got 0.0; 1 is a point of accuracy",
    "--drop -1": "--drop: must be above 0, got -1.0",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_bad_budgets_are_refused_before_anything(words, tmp_path, capsys):
    assert REFUSALS[words] in refusal([*TINY, *words.split()], tmp_path, capsys)


def test_a_recipe_that_is_named_wins_and_has_no_use_for_a_budget():
    with pytest.raises(SettingsError, match="--drop: the recipe has no use for it"):
        check(settings_of(model="cifar", recipe="share", drop=1.0))


def test_refusals_of_the_planner_name_flags():
    for words, shown in (
        ("size_bytes: must be at least 9", "--size: must be at least 9"),
        ("speedup: at most 2", "--speedup: at most 2"),
        ("drop: at most 1", "--drop: at most 1"),
        ("conv1: step size", "conv1: step size"),
    ):
        with pytest.raises(SettingsError) as error, refused():
            raise ValueError(words)
        assert str(error.value) == shown


# Checks


def row(name, *, accuracy=0.9, size_bytes=1000, facts=None):
    return Row(
        name=name,
        accuracy=accuracy,
        loss=0.1,
        validation_accuracy=0.9,
        sparsity=0.0,
        distinct_weights=9,
        size_bytes=size_bytes,
        sha256="",
        flops=1,
        latency_ms=1.0,
        peak_bytes=None,
        seconds=1.0,
        facts=facts or {},
    )


PREDICTED = {"size_bytes": 980, "speedups": {"1": 2.5, "64": 3.0}, "points_lost": 4.0}
ROWS = [
    row("baseline", accuracy=0.5),
    row("profiled", facts=PREDICTED),
    row("reloaded", accuracy=0.89, size_bytes=990, facts={"speedups": {"1": 2.0, "64": 1.9}}),
    row("control", accuracy=0.9),
]


def test_checks_compare_budgets_with_the_reloaded_network_and_the_control():
    found = checks_of(plan_of(size=990, speedup=2.0, drop=1.0), ROWS)
    assert [each[:3] for each in found] == [
        ("bytes", 990, 980),
        ("times faster, batch 1", 2.0, 2.5),
        ("times faster, batch 64", 2.0, 3.0),
        ("points lost", 1.0, 4.0),
    ]
    assert [each.is_met for each in found] == [True, True, False, True]
    assert found[3].measured == pytest.approx(1.0)
    assert missed(found) == "missed: times faster, batch 64 1.9, asked 2"
    told = recorded_checks(found)
    assert told[0] == {
        "name": "bytes",
        "budget": 990,
        "predicted": 980,
        "measured": 990,
        "met": True,
    }
    free = checks_of(plan_of(size=10**6), ROWS[:3])
    assert [each.is_met for each in free] == [True] * 3 and missed(free) == ""


def test_runs_without_a_budget_have_no_checks():
    assert checks_of(plan_of(), [row("baseline"), row("reloaded")]) == []
    assert missed([Check("bytes", None, None, 5.0)]) == ""


# Checkpoints


def test_factors_are_kept_in_checkpoints():
    rows = Quantized(
        values=np.array([[1], [-2]], np.int8), scale=np.ones((1, 1), np.float32), bits=4
    )
    leaf = LowRank(factors=(rows, np.ones((2, 3), np.float32)), equation="ir,ro->io")
    found = unflatten(flatten({"work": {"kernel": leaf, "bias": np.zeros(2)}}))["work"]
    assert found["kernel"].equation == leaf.equation and found["kernel"].factors[0].bits == 4
    np.testing.assert_array_equal(found["kernel"].dense(), leaf.dense())


# A run

WORDS = "--speedup 0.01 --drop 0.000001 --size 30KB --epochs 1 --finetune-epochs 1".split()


def words(out, *more):
    return [*TINY[:4], "--limit", "64", *WORDS, "--out", str(out), *more]


@pytest.fixture(scope="module", autouse=True)
def _one_smaller_network():
    """Profiles of the whole network and of one with half of its units take less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.stages.planned.UNITS", (0.5,))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("planned") / "run"
    return out, run.main(words(out))


def outputs(folder):
    paths = [*folder.glob("*.npz"), *folder.glob("stages/*.npz"), folder / PLAN]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_the_stages_end_with_a_proof(finished):
    out, status = finished
    found = results_of(out)
    assert [each["name"] for each in found["stages"]] == [*STAGES, "control"]
    assert found["recipe"] == "auto" and found["reload_exact"] is True
    checks = {each["name"]: each for each in found["checks"]}
    assert checks["bytes"]["measured"] == (out / "compressed.npz").stat().st_size <= 30_000
    assert checks["times faster, batch 64"]["met"]
    assert status == (0 if all(each["met"] for each in checks.values()) else 4)
    assert (out / PROFILE).exists() and jc.planner.read_plan(out / PLAN).budget.drop == 1e-6


@pytest.mark.slow
def test_the_file_with_the_program_has_the_plan_without_times(finished):
    out, _ = finished
    told, results = jc.open_function(out / SHIPPED).made, results_of(out)
    assert told["checks"] == [c for c in results["checks"] if "faster" not in c["name"]]
    assert "--size 30000" in told["command"] and "--control" in told["command"]
    found = jc.planner.read_plan(out / SHIPPED)
    assert found == jc.planner.read_plan(out / PLAN)._replace(latency=[])
    assert (out / SHIPPED).stat().st_size - results["compressed_bytes"] < 6000


@pytest.mark.slow
def test_a_missed_budget_is_said_and_the_status_is_4(finished, monkeypatch, capsys):
    out, _ = finished
    copied = shutil.copytree(out, out.with_name("missed"))
    newest = max(copied.glob("checkpoints/*.json"))
    assert json.loads(newest.read_text())
    monkeypatch.setattr("pipelines.run.proof._CLOSE", -1000)  # whatever was lost is too much
    assert run.main(words(copied, "--resume")) == 4
    said = [line for line in capsys.readouterr().out.splitlines() if "missed:" in line]
    assert len(said) == 1 and "points lost" in said[0]


@pytest.fixture
def known(finished, monkeypatch):
    """The profile of the finished run takes no time."""
    out, profile = finished[0], jc.planner.profile
    monkeypatch.setattr(
        "jaxcompress.planner.profile",
        lambda task, path, **more: profile(task, out / path.name, **more),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("known")
def test_a_run_that_was_stopped_gives_the_same_bytes(finished, monkeypatch, capsys):
    out, status = finished
    again = out.with_name("again")
    with monkeypatch.context() as patch:
        interrupt_at(patch, ROUNDS + 1)  # a step each of baseline and rounds, then of the rounded
        assert run.main(words(again)) == 130
    assert "stopped in stage rounded + tuned" in capsys.readouterr().out.replace("\n", " ")
    assert run.main(words(again, "--resume")) == status
    assert outputs(again) == outputs(out)


@pytest.mark.slow
@pytest.mark.usefixtures("known")
def test_an_impossible_size_is_refused_before_fine_tuning(finished, capsys):
    small = finished[0].with_name("impossible")
    changed = [word.replace("30KB", "300") for word in words(small)]
    assert run.main(changed) == 2
    error = capsys.readouterr().err
    assert error.startswith("run.py: --size: must be at least ") and error.count("\n") == 1
    assert not list(small.glob("stages/cut*"))


@pytest.mark.slow
def test_the_file_alone_gives_the_logits(finished):
    out, _ = finished
    tree = jc.load_compressed(out / "compressed.npz")
    leaves = jax.tree.leaves(tree, is_leaf=jc.leaves.is_compressed)
    assert any(isinstance(leaf, Quantized) for leaf in leaves)
