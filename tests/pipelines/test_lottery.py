"""The recipe of lottery tickets: what each network starts from, what is kept, chosen and told."""

import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxcompress as jc
import run
from pipelines.data import load
from pipelines.errors import FolderError, SettingsError
from pipelines.models import MODELS, Shape
from pipelines.models.examples import Examples
from pipelines.models.train import TrainState, fit, make_step
from pipelines.options.plan import planned
from pipelines.run.report import tickets_of
from pipelines.run.row import Row
from pipelines.stages.files import BASELINE, file_of, read_plain, write_plain
from pipelines.stages.lottery import choose
from pipelines.stages.stage import Work
from pipelines.stages.table import stages_of
from pipelines.stages.tickets import WAYS, Origin, held, sparsity_of
from pipelines.stages.training import WEIGHT_DECAY, schedule
from tests.helpers.commands import interrupt_at, results_of

WORDS = "--model lenet-300-100 --data digits --limit 256 --epochs 2 --recipe lottery".split()
WORDS += "--rounds 2 --sparsity 0.75".split()
TICKETS = ["epoch 1", "ticket 1/2", "ticket 2/2", "best ticket", "reloaded"]
OTHERS = [f"{way} {n}/2" for n in (1, 2) for way in ("new weights", "random mask", "fine-tuned")]
FILES = {"compressed.npz", "stages/control.npz", *map(file_of, TICKETS[:-1] + OTHERS)}


def plan_of(**settings):
    asked = {"data": "digits", "model": "lenet-300-100", "recipe": "lottery"}
    return planned(**{"train_size": 256} | asked | settings)


# What is planned


def test_each_round_removes_the_same_part_of_what_is_left():
    found = [sparsity_of(number, last=0.9, rounds=4) for number in (1, 2, 3, 4)]
    left = 1 - np.array([0.0, *found])
    np.testing.assert_allclose(left[1:] / left[:-1], 0.1**0.25)
    assert found[-1] == 0.9 and sparsity_of(1, last=0.0, rounds=1) == 0.0


@pytest.mark.parametrize(("sparsity", "rounds"), [(0.0, 1), (0.5, 1), (0.51, 2), (0.9, 4)])
def test_by_default_no_round_removes_more_than_half_of_what_is_left(sparsity, rounds):
    assert plan_of(sparsity=sparsity).rounds == rounds
    assert plan_of(sparsity=sparsity, rounds=7).rounds == 7


def test_controls_come_last_and_are_always_there():
    names = [stage.name for stage in stages_of(plan_of(rounds=2))]
    assert names == ["baseline", *TICKETS, *OTHERS, "control"]
    plan = plan_of(rounds=1, epochs=5, rewind_epoch=2)
    stages = {stage.name: stage.extra_epochs(plan) for stage in stages_of(plan)}
    assert stages == {
        "baseline": 0,
        "epoch 2": 0,
        "ticket": 3,
        "best ticket": 0,
        "reloaded": 0,
        "new weights": 5,
        "random mask": 3,
        "fine-tuned": 3,
        "control": 3,
    }


def test_an_epoch_at_the_end_of_the_default_training_is_refused():
    assert plan_of(rewind_epoch=29).rewind_epoch == 29
    with pytest.raises(SettingsError, match="lottery needs a --rewind-epoch of at most 29, .* 30"):
        plan_of(rewind_epoch=30)


# What each network starts from


def origin():
    def tree(value):
        return {"a": {"kernel": jnp.full((2, 4), value), "bias": jnp.full(4, value)}}

    params, stats = zip(
        *((tree(v), {"mean": jnp.full(2, v)}) for v in (1.0, 2.0, 3.0)), strict=True
    )
    early, trained, fresh = map(Work, params, stats)
    mask = {"a": {"kernel": jnp.arange(8).reshape(2, 4) < 3, "bias": jnp.ones(4, bool)}}
    return Origin(mask, early, trained, fresh, jax.random.key(0))


@pytest.mark.parametrize(
    ("way", "value"), [("ticket", 1), ("random mask", 1), ("fine-tuned", 2), ("new weights", 3)]
)
def test_each_control_differs_in_one_thing(way, value):
    given = origin()
    work = WAYS[way].start(given)
    kernel, kept = work.params["a"]["kernel"], work.mask["a"]["kernel"]
    np.testing.assert_array_equal(kernel, value * kept)
    np.testing.assert_array_equal(work.params["a"]["bias"], np.full(4, value))
    np.testing.assert_array_equal(work.stats["mean"], np.full(2, value))
    same = bool((kept == given.mask["a"]["kernel"]).all())
    assert kept.sum() == 3 and same == (way != "random mask")


def test_a_network_goes_on_with_the_rates_of_the_first_training():
    params = {"w": jnp.ones(2)}
    mask = {"w": jnp.array([True, False])}
    tx = held(0.1, 10, mask, behind=4)
    updates, state = tx.update({"w": jnp.ones(2)}, tx.init(params), params)
    moved = optax.apply_updates(params, updates)["w"]
    rate = float(schedule(0.1, 10)(4))
    np.testing.assert_allclose(moved, [1 - rate * (1 + WEIGHT_DECAY), 0], rtol=1e-5)
    dense = held(0.1, 40)
    updates, _ = dense.update({"w": jnp.ones(2)}, dense.init(params), params)
    np.testing.assert_array_equal(updates["w"], np.zeros(2))  # the rates of training begin at 0


# Which ticket is taken


@pytest.mark.parametrize(
    ("accuracies", "best", "wins"),
    [
        ([0.8, 0.9, 0.8, 0.7], 2, True),  # as accurate as the dense one
        ([0.8, 0.9, 0.7, 0.6], 1, True),
        ([0.8, 0.6, 0.7, 0.5], 2, False),  # none: the most accurate
        ([0.8, 0.7, 0.7, 0.7], 3, False),  # of equal ones the sparsest
    ],
)
def test_the_sparsest_ticket_that_wins_is_taken(tmp_path, accuracies, best, wins):
    """Networks are told apart by their biases: 0 is dense, and then come the rounds."""
    plan = plan_of(rounds=3, sparsity=0.75)
    (tmp_path / "stages").mkdir()
    kernel = jnp.arange(1.0, 9.0).reshape(2, 4)
    job = SimpleNamespace(
        plan=plan,
        folder=tmp_path,
        accuracy=lambda work, most: accuracies[int(work.params["a"]["bias"][0])],
        classifier=SimpleNamespace(net=SimpleNamespace(init=lambda key: ({}, {}))),
    )
    for number in range(4):
        mask = jc.magnitude_mask({"kernel": kernel}, sparsity_of(number, last=0.75, rounds=3))
        params = {"a": jc.apply_mask({"kernel": kernel}, mask) | {"bias": jnp.full(2, number)}}
        if number == 0:
            write_plain(job, tmp_path / BASELINE, Work(params, {}))
            write_plain(job, tmp_path / "stages/epoch_1.npz", Work(params, {}))
        jc.save(tmp_path / f"stages/ticket_{number}_of_3.npz", {"params": params})
    work, facts = choose(job, Work({}, {}))
    assert facts == {"chosen_round": best, "wins": wins}
    assert work.params["a"]["bias"][0] == best
    np.testing.assert_array_equal(work.mask["a"]["kernel"], work.params["a"]["kernel"] != 0)
    (tmp_path / "stages/ticket_2_of_3.npz").unlink()
    with pytest.raises(FolderError, match="ticket_2_of_3.npz.*; pass --resume to write it again"):
        choose(job, Work({}, {}))


def test_other_recipes_have_no_tickets():
    row = Row(
        name="baseline",
        accuracy=0.5,
        loss=1.0,
        validation_accuracy=0.5,
        sparsity=0.0,
        distinct_weights=1,
        size_bytes=1,
        sha256="",
        flops=1,
        latency_ms=1.0,
        peak_bytes=None,
        seconds=1.0,
    )
    assert tickets_of([row]) == []


# Whole runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("lottery") / "run"
    assert run.main([*WORDS, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_the_table_has_each_round_and_way(finished):
    results = results_of(finished)
    rows = {row["name"]: row for row in results["stages"]}
    assert list(rows) == ["baseline", *TICKETS, *OTHERS, "control"]
    shared = {"dense": results["baseline_accuracy"]}
    shared["dense_trained_on"] = results["control_accuracy"]
    for number, (found, sparsity) in enumerate(
        zip(results["tickets"], (0.5, 0.75), strict=True), 1
    ):
        ways = {way: rows[f"{way} {number}/2"]["accuracy"] for way in WAYS}
        named = {way.replace(" ", "_").replace("-", "_"): value for way, value in ways.items()}
        assert found == {"sparsity": pytest.approx(sparsity)} | named | shared
        for way in WAYS:
            assert rows[f"{way} {number}/2"]["sparsity"] == pytest.approx(sparsity, abs=1e-4)
    assert "ticket ┃ new weights" in (finished / "log.txt").read_text()


@pytest.mark.slow
def test_the_file_holds_the_chosen_ticket(finished):
    results = results_of(finished)
    chosen = next(row["facts"] for row in results["stages"] if row["name"] == "best ticket")
    name = f"stages/ticket_{chosen['chosen_round']}_of_2.npz"
    params, ticket = (jc.load(finished / path)["params"] for path in ("compressed.npz", name))
    jax.tree.map(np.testing.assert_array_equal, params, ticket)
    assert results["reload_exact"] is True and results["ratio"] > 1.5


@pytest.mark.slow
def test_what_was_kept_is_the_first_training_itself(finished):
    """The same steps once more, stopped after the first epoch, give the same bits."""
    data, model = load("digits", limit=256), MODELS["lenet-300-100"]
    net = model.build(Shape(classes=10, image_size=32))
    tx = optax.adamw(schedule(1e-3, 8), weight_decay=WEIGHT_DECAY)
    params, stats = net.init(jax.random.key(0))
    state = TrainState(params, stats, tx.init(params))
    examples = Examples(inputs=data.train.images, labels=data.train.labels)
    step = make_step(net, model.view, tx)
    ticks = fit({1: step}, state, examples, batch_size=64, seed=(0, 0), augment=data.augment)
    *_, last = ticks
    jax.tree.map(
        np.testing.assert_array_equal,
        last.state.params,
        read_plain(finished / "stages/epoch_1.npz").params,
    )


@pytest.mark.slow
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(tmp_path, finished, monkeypatch):
    """Stopped before the epoch that is kept has ended, after it, and in a ticket's training."""
    out = tmp_path / "run"
    words = [*WORDS, "--out", str(out)]
    for steps, more in ((2, []), (3, ["--resume"]), (3, ["--resume"])):
        interrupt_at(monkeypatch, steps)
        assert run.main([*words, *more]) == 130
    assert (out / "stages/epoch_1.npz").exists() and not (out / "compressed.npz").exists()
    monkeypatch.undo()
    assert run.main([*words, "--resume"]) == 0
    for name in FILES:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    assert results_of(out)["tickets"] == results_of(finished)["tickets"]


@pytest.mark.slow
def test_a_ticket_that_later_stages_read_comes_back(tmp_path, finished, capsys):
    """Of the chosen one there is a copy in compressed.npz; the other one is trained again."""
    out = shutil.copytree(finished, tmp_path / "run")
    chosen = next(row["facts"] for row in results_of(out)["stages"] if row["name"] == "best ticket")
    (out / f"stages/ticket_{3 - chosen['chosen_round']}_of_2.npz").unlink()
    assert run.main([*WORDS, "--out", str(out), "--resume"]) == 0
    assert "resumed at stage 'ticket 1/2'" in capsys.readouterr().out
    for name in FILES:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.slow
def test_without_the_early_epoch_all_is_trained_again(tmp_path, finished, monkeypatch, capsys):
    """The file of the baseline does not hold it."""
    out = shutil.copytree(finished, tmp_path / "run")
    (out / "stages/epoch_1.npz").unlink()
    interrupt_at(monkeypatch, 5)
    assert run.main([*WORDS, "--out", str(out), "--resume"]) == 130
    assert "starting at 'baseline' again" in capsys.readouterr().out


@pytest.mark.slow
def test_tickets_may_go_back_to_the_first_weights(tmp_path):
    words = WORDS[:-4]
    more = "--epochs 1 --rounds 1 --rewind-epoch 0 --seed 4".split()
    assert run.main([*words, *more, "--out", str(tmp_path / "run")]) == 0
    early = read_plain(tmp_path / "run/stages/epoch_0.npz").params
    net = MODELS["lenet-300-100"].build(Shape(classes=10, image_size=32))
    jax.tree.map(np.testing.assert_array_equal, early, net.init(jax.random.key(4))[0])
