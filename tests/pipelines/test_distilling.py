"""The recipes that teach students: who teaches whom, what the file holds, what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxcompress as jc
import run
from jaxcompress.nnx import Net
from pipelines.data import load
from pipelines.data.augment import shifted, unchanged
from pipelines.errors import SettingsError
from pipelines.models import MODELS, Shape
from pipelines.models.capacity import (
    MEASURED,
    Loss,
    expected_loss,
    ratios,
    stages_for,
    student_sizes,
    warning,
)
from pipelines.models.classifier import Classifier
from pipelines.models.examples import Examples
from pipelines.models.train import FROM_LABELS, Lesson, TrainState, answered, fit, make_step
from pipelines.options import command
from pipelines.options.plan import planned, recorded, recorded_1
from pipelines.stages.distilling import controls, students
from pipelines.stages.table import stages_of
from tests.helpers import archives
from tests.helpers.commands import TINY, interrupt_at, results_of

WORDS = "--recipe distill --times-smaller 20 --control --temperature 2 --soft-weight 0.9".split()
TAUGHT = ["distilled 1/2", "distilled 2/2", "distilled + tuned"]
CONTROLS = ["student from scratch", "single stage", "single stage + tuned"]


def plan_of(count=None, **settings):
    asked = {"model": "lenet-300-100", "recipe": "distill", "students": count}
    return planned(**{"train_size": 256, "data": "digits"} | asked | settings)


# What is planned


def test_ratios_are_geometric_and_each_stage_shrinks_by_four_at_most():
    for target in (1.5, 4, 8, 16, 20, 64):
        found = ratios(target, stages_for(target))
        steps = np.divide(found, [1, *found[:-1]])
        np.testing.assert_allclose(steps, steps[0])
        assert found[-1] == pytest.approx(target) and steps[0] <= 4.001
    assert [stages_for(ratio) for ratio in (1.01, 4, 4.01, 16, 16.01, 1000)] == [1, 1, 2, 2, 3, 3]


@pytest.mark.slow
def test_a_plan_has_the_sizes_of_all_students():
    plan = plan_of(times_smaller=16.0)
    students = student_sizes(plan, 10)
    assert plan.students == 2 and [set(sizes) for sizes in students] == [{"widths"}] * 2
    for ratio, sizes in zip((4, 16), students, strict=True):
        first, second = sizes["widths"]
        count = 785 * first + (first + 1) * second + (second + 1) * 10
        assert 0.95 * 266_610 / ratio <= count <= 266_610 / ratio
    assert len(student_sizes(plan_of(count=3, times_smaller=16.0), 10)) == 3
    default = plan_of()
    assert (default.times_smaller, default.temperature, default.soft_weight) == (8.0, 3.0, 0.7)
    json.dumps([recorded(plan), recorded_1(plan, students)], allow_nan=False)
    other = plan_of(recipe="prune")
    assert student_sizes(other, 10) == () and not {"students", "times_smaller"} & set(other)


def test_stages_follow_the_plan():
    names = [stage.name for stage in stages_of(plan_of(control=True))]
    assert names == ["baseline", *TAUGHT, "reloaded", *CONTROLS]
    plan = plan_of(times_smaller=3.0, control=True)
    names = [stage.name for stage in stages_of(plan)]
    assert names == ["baseline", "distilled", "distilled + tuned", "reloaded", CONTROLS[0]]
    assert [stage.student for stage in students(plan_of(count=3))] == [1, 2, 3, 3]
    assert {stage.student for stage in controls(plan_of(count=3))} == {3}
    assert sum(stage.extra_epochs(plan) for stage in students(plan)) == 30 + 30
    shared = [stage.name for stage in stages_of(plan_of(recipe="distill+shared", count=1))]
    assert shared[2:5] == ["distilled + tuned", "pruned", "pruned + tuned"]


def test_small_students_come_with_a_warning_that_says_what_is_known(monkeypatch):
    assert warning(plan_of(times_smaller=16.0), 10) == ""
    said = warning(plan_of(times_smaller=20.0), 10)
    assert said.startswith("a network 20 times smaller is far from its teacher; ")
    losses = (Loss(8, 0.4, "digits"), Loss(30, 2.5, "digits"))
    monkeypatch.setitem(MEASURED, type(MODELS["lenet-5"].config(Shape(10, 32))), losses)
    said = warning(plan_of(model="lenet-5", times_smaller=20.0), 10)
    assert said.endswith("; expect to lose 2.5 points (30x: digits)")
    assert expected_loss(losses, 31) == "expect to lose at least 2.5 points (30x: digits)"
    assert expected_loss((), 31).startswith("no loss was measured")


def test_measured_losses_are_in_order_and_say_where_they_come_from():
    for losses in MEASURED.values():
        assert sorted(losses) == list(losses) and all(loss.origin for loss in losses)


@pytest.mark.parametrize("words", ["--students two", "--students 1.5", "--times-smaller many"])
def test_what_is_no_number_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main([*TINY, "--recipe", "distill", *words.split()])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and words.split()[0] in error and "_students" not in error


def test_auto_is_the_default_number_of_students():
    for more in ([], ["--students", "auto"]):
        assert command.parser().parse_args([*TINY, *more]).students is None


@pytest.mark.slow
def test_no_network_is_within_reach_of_some_budgets():
    with pytest.raises(SettingsError, match="--times-smaller: 180 is not possible .* within 5%"):
        student_sizes(plan_of(times_smaller=180.0), 10)


# What is learnt


def test_a_step_asks_the_teacher_about_the_very_inputs():
    """By hand: logits `x w`, a loss `sum(taught * logits)`, whose gradient is `x^T taught`."""

    def apply(params, stats, x):
        return x @ params["w"], stats

    net = Net(lambda key: ({}, {}), lambda p, s, x: x @ p["w"], apply)
    asked = []

    def teacher(inputs):
        asked.append(inputs)
        return 10 * inputs

    def loss(logits, labels, taught):
        return jnp.sum(taught * logits) + 0 * labels.sum()

    tx = optax.sgd(1.0)
    params = {"w": jnp.zeros((2, 2))}
    step = make_step(net, lambda x: x + 1.0, tx, Lesson(loss, teacher))
    inputs = np.array([[1.0, 2.0]], np.float32)
    state, value, _ = step(TrainState(params, {}, tx.init(params)), inputs, np.array([0]))
    assert asked[0] is inputs and value == 0
    expected = -(inputs + 1).T @ (10 * inputs)
    np.testing.assert_allclose(state.params["w"], expected)


def test_what_is_not_varied_is_asked_once():
    asked = []

    def teacher(inputs):
        asked.append(len(inputs))
        return 10 * inputs

    data = Examples(inputs=np.arange(6.0)[:, None], labels=np.zeros(6, int))
    lesson = Lesson(lambda logits, labels, taught: taught, teacher)
    assert answered(data, lesson, shifted) is data
    assert answered(data, FROM_LABELS, unchanged) is data
    known, given = answered(data, lesson, unchanged), []
    assert len(asked) == 1

    def step(state, inputs, labels, answers):
        np.testing.assert_array_equal(answers, 10 * inputs)
        given.append(answers)
        return state, 0.0, 1.0

    assert len(list(fit({2: step}, None, known, batch_size=2, seed=(0,)))) == len(given) == 6
    assert len(asked) == 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("distill") / "run"
    assert run.main([*TINY, *WORDS, "--students", "2", "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_each_student_is_as_small_as_planned(finished):
    results = results_of(finished)
    rows = {row["name"]: row for row in results["stages"]}
    assert list(rows) == ["baseline", *TAUGHT, "reloaded", *CONTROLS]
    planned = results["settings"]["students"]
    for name, sizes, ratio in (
        ("distilled 1/2", planned[0], 20**0.5),
        ("distilled 2/2", planned[1], 20),
        ("student from scratch", planned[1], 20),
        ("single stage", planned[1], 20),
    ):
        facts = rows[name]["facts"]
        assert facts["sizes"] == sizes
        assert facts["parameters"] == pytest.approx(266_610 / facts["parameter_ratio"])
        assert ratio <= facts["parameter_ratio"] <= ratio / 0.95
    assert results["ratio"] == results["baseline_bytes"] / results["compressed_bytes"] > 20
    assert results["reload_exact"] is True and results["control_accuracy"] is None
    assert (results["settings"]["temperature"], results["settings"]["soft_weight"]) == (2.0, 0.9)


@pytest.mark.slow
def test_the_file_alone_is_the_student(finished, tmp_path, capsys):
    weights = finished / "compressed.npz"
    params, classifier = (
        jc.load(weights)["params"],
        Classifier.from_metadata(jc.inspect(weights)["metadata"]),
    )
    first, second = classifier.sizes["widths"]
    assert params["dense2"]["kernel"].shape == (first, second)
    classifier.check(params, {})
    test = load("digits").test
    logits = jax.jit(classifier.apply)(params, {}, test.images)
    found = np.mean(np.argmax(logits, axis=1) == test.labels)
    assert found == pytest.approx(results_of(finished)["reloaded_accuracy"])
    picture = tmp_path / "a.png"
    picture.write_bytes(archives.png(test.images[0]))
    words = ["--model", "lenet-300-100", "--predict", str(picture), "--weights", str(weights)]
    assert run.main(words) == 0
    answer = classifier.classes[np.argmax(logits[0])]
    assert capsys.readouterr().out.startswith(f"{picture}: {answer} ")
    start = [word for word in TINY if word not in ("--epochs", "2")] + ["--start", str(weights)]
    assert run.main([*start, "--out", str(tmp_path / "run")]) == 2
    assert "holds another network (its sizes must be {}, got" in capsys.readouterr().err


@pytest.mark.slow
def test_a_teacher_may_come_from_a_file(finished, tmp_path):
    """Of the same network, trained before; --epochs then says how long students are taught."""
    teacher = tmp_path / "teacher"
    assert run.main([*TINY, "--recipe", "share", "--out", str(teacher)]) == 0
    start = ["--start", str(teacher / "compressed.npz")]
    words = [*TINY, *start, "--recipe", "distill", "--times-smaller", "3"]
    assert run.main([*words, "--out", str(tmp_path / "run")]) == 0
    rows = results_of(tmp_path / "run")["stages"]
    assert rows[0]["accuracy"] == results_of(teacher)["reloaded_accuracy"]
    assert [row["name"] for row in rows[1:]] == ["distilled", "distilled + tuned", "reloaded"]


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [9, 14, 29])
def test_stopped_in_any_lesson_it_goes_on_to_the_same_bytes(
    tmp_path, finished, monkeypatch, stop_after
):
    """Four steps an epoch: in the first lesson, in the second, and of the control."""
    out = tmp_path / "run"
    interrupt_at(monkeypatch, stop_after)
    words = [*TINY, *WORDS, "--students", "2", "--out", str(out)]
    assert run.main(words) == 130
    assert run.main([*words, "--resume"]) == 0
    for name in ("compressed.npz", "stages/distilled_1_of_2.npz", "stages/single_stage.npz"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert run.main([*words, "--resume", "--temperature", "3"]) == 2


@pytest.mark.slow
def test_a_student_is_pruned_and_shared(tmp_path):
    words = "--recipe distill+shared --times-smaller 3 --sparsity 0.6".split()
    assert run.main([*TINY, *words, "--out", str(tmp_path / "run")]) == 0
    results = results_of(tmp_path / "run")
    assert results["reload_exact"] and results["stages"][-1]["sparsity"] >= 0.6
    assert results["ratio"] > 3 * 5


@pytest.mark.slow
def test_a_network_of_convolutions_teaches(tmp_path):
    words = "--model lenet-5 --data digits --limit 128 --epochs 1 --finetune-epochs 1"
    more = "--recipe distill --times-smaller 4"
    out = tmp_path / "run"
    assert run.main([*words.split(), *more.split(), "--out", str(out)]) == 0
    rows = {row["name"]: row for row in results_of(out)["stages"]}
    assert 4 <= rows["distilled"]["facts"]["parameter_ratio"] <= 4 / 0.95
    assert rows["reloaded"]["flops"] < 0.6 * rows["baseline"]["flops"]
    assert results_of(out)["reload_exact"]


@pytest.mark.slow
def test_fruits_teach(fruits, monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)
    words = [word for word in fruits.words if word not in ("--sparsity", "0.5")]
    more = ["--recipe", "distill", "--times-smaller", "6", "--out", str(tmp_path / "run")]
    assert run.main([*words, *more]) == 0
    results = results_of(tmp_path / "run")
    assert results["reload_exact"] and results["reloaded_accuracy"] > 0.9
    assert set(jc.inspect(tmp_path / "run/compressed.npz")["metadata"]["sizes"]) == {
        *("widths", "vector_hidden", "hidden")
    }
