"""The recipe that cuts units out: what goes in which round, and what the file holds."""

import shutil

import jax
import numpy as np
import pytest

import jaxcompress as jc
import run
from pipelines.data import load
from pipelines.models import MODELS
from pipelines.models.classifier import Classifier
from pipelines.models.networks import networks_of
from pipelines.options.plan import planned
from pipelines.options.table import OPTIONS
from pipelines.run.console import Console
from pipelines.run.job import Interrupted, Job
from pipelines.stages.stage import Work
from pipelines.stages.structured import at_random, by_magnitude, cut, rounds
from pipelines.stages.table import RECIPES, stages_of
from tests.helpers import archives
from tests.helpers.commands import TINY, results_of

ROUNDS = [f"cut {k}/2{more}" for k in (1, 2) for more in ("", " + tuned")]


def plan_of(**settings):
    asked = {"data": "digits", "model": "lenet-300-100", "recipe": "structured"}
    return planned(**{"train_size": 256} | asked | settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("cut") / "run"
    words = "--recipe structured+shared --remove-channels 0.5 --rounds 2 --sparsity 0.6 --control"
    assert run.main([*TINY, *words.split(), "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_rounds_come_before_pruning_and_sharing(finished):
    names = [row["name"] for row in results_of(finished)["stages"]]
    after = ["pruned", "pruned + tuned", "shared", "shared + tuned", "reloaded"]
    assert names == ["baseline", *ROUNDS, *after, "control", "small from scratch"]


@pytest.mark.slow
def test_each_round_cuts_its_part_of_the_first_size(finished):
    rows = {row["name"]: row for row in results_of(finished)["stages"]}
    for name, sizes in {
        "cut 1/2": (225, 75),
        "cut 2/2": (150, 50),
        "small from scratch": (150, 50),
    }.items():
        units = {"params/dense1": [300, sizes[0]], "params/dense2": [100, sizes[1]]}
        assert rows[name]["facts"]["units"] == units
        assert rows[name]["facts"]["silenced_difference"] < 1e-5


@pytest.mark.slow
def test_the_file_alone_has_the_sizes(finished):
    params = jc.load(finished / "compressed.npz")["params"]
    shapes = [params[name]["kernel"].shape for name in ("dense1", "dense2", "dense3")]
    assert shapes == [(784, 150), (150, 50), (50, 10)]
    results = results_of(finished)
    assert results["reload_exact"] is True
    classifier = Classifier.from_metadata(jc.inspect(finished / "compressed.npz")["metadata"])
    classifier.check(params, {})
    test = load("digits").test
    logits = jax.jit(classifier.apply)(params, {}, test.images)
    found = np.mean(np.argmax(logits, axis=1) == test.labels)
    assert found == pytest.approx(results["reloaded_accuracy"])


@pytest.mark.slow
def test_costs_of_every_stage(finished):
    rows = {row["name"]: row for row in results_of(finished)["stages"]}
    for row in rows.values():
        assert row["latency_ms"] > 0 and row["peak_bytes"] > 4 * 784 * 150
    # Two for each weight, one for each bias and ReLU; 28 * 28 sums and quotients of three channels.
    both = [(300, 100), (150, 50)]
    dense, small = (2 * (784 * a + a * b + b * 10) + 2 * (a + b) + 10 for a, b in both)
    view = rows["baseline"]["flops"] - dense
    assert 0 < view < 784 * 6
    for name in ("reloaded", "small from scratch"):
        assert rows[name]["flops"] == small + view
    assert rows["control"]["flops"] == dense + view


@pytest.mark.slow
def test_a_cut_network_names_pictures(finished, tmp_path, capsys):
    picture = tmp_path / "a.png"
    picture.write_bytes(archives.png(load("digits").test.images[0]))
    weights = str(finished / "compressed.npz")
    words = ["--model", "lenet-300-100", "--predict", str(picture), "--weights", weights]
    assert run.main(words) == 0
    assert capsys.readouterr().out.startswith(f"{picture}: ")


@pytest.mark.slow
def test_a_run_stopped_between_rounds_goes_on_to_the_same_bytes(tmp_path):
    data = load("digits", limit=256)
    plan = plan_of(epochs=1, finetune_epochs=1, remove_channels=0.4)

    def go_on(folder, stop_at=""):
        folder.mkdir(exist_ok=True)
        networks = networks_of(plan, data)
        job = Job(plan, data, networks, folder, Console(), lambda: job.stage == stop_at)
        return job.run()

    go_on(tmp_path / "whole")
    for stage in ("cut 1/2", "cut 2/2 + tuned"):
        with pytest.raises(Interrupted):
            go_on(tmp_path / "parts", stage)
    assert [row.name for row in go_on(tmp_path / "parts")] == ["baseline", *ROUNDS, "reloaded"]
    whole, parts = (
        (tmp_path / name / "compressed.npz").read_bytes() for name in ("whole", "parts")
    )
    assert whole == parts


def digits_by(model):
    return Classifier(
        model=model,
        classes=tuple("0123456789"),
        image_size=32,
        branches=(),
        picture_size=32,
        data="digits",
    )


class Bench:
    """Stands in for a run: what a stage may ask, without training."""

    classifier = digits_by("lenet-300-100")

    def __init__(self, plan):
        self.plan = plan

    def sample(self, count):
        return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)

    def apply(self, tree, inputs):
        return self.classifier.apply(tree["params"], tree["stats"], inputs)

    def recalibrated(self, work):
        return work


def noise():
    rng = np.random.default_rng(0)
    params, _ = Bench.classifier.blank()
    return Work(jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype("f"), params), {})


@pytest.mark.slow
def test_sizes_may_be_rounded():
    job, work, left = Bench(plan_of(remove_channels=0.45, round_to=16)), noise(), []
    for number in (1, 2, 3):  # 300 and 100: 255 and 85, 210 and 70, 165 and 55 are wanted
        work, facts = cut(number, by_magnitude)(job, work)
        left.append(tuple(size for _, size in facts["units"].values()))
    assert left == [(256, 80), (208, 64), (160, 48)]
    assert work.params["dense2"]["kernel"].shape == (160, 48)


@pytest.mark.slow
def test_a_round_that_cuts_nothing_is_no_proof():
    work, facts = cut(1, by_magnitude)(Bench(plan_of(remove_channels=0.0)), noise())
    assert facts == {"units": {"params/dense1": [300, 300], "params/dense2": [100, 100]}}
    job = Bench(plan_of(remove_channels=0.999, rounds=1))
    work, facts = cut(1, by_magnitude)(job, work)
    assert [left for _, left in facts["units"].values()] == [1, 1]
    assert facts["silenced_difference"] < 1e-5
    again, facts = cut(1, by_magnitude)(job, work)  # no group has two units left
    assert facts == {"units": {}}
    np.testing.assert_array_equal(again.params["dense2"]["kernel"], work.params["dense2"]["kernel"])


def test_the_smallest_go_or_any():
    job, work = Bench(plan_of(rounds=1)), noise()
    work.params["dense1"]["kernel"][:, :150] *= 3
    first, _ = cut(1, by_magnitude)(job, work)
    other, _ = cut(1, at_random)(job, work)
    tripled = work.params["dense1"]["kernel"][:, :150]
    np.testing.assert_array_equal(first.params["dense1"]["kernel"], tripled)
    assert other.params["dense1"]["kernel"].shape == tripled.shape
    assert not np.array_equal(other.params["dense1"]["kernel"], tripled)


@pytest.mark.parametrize(
    ("remove", "rounds"), [(None, 3), (0.2, 1), (0.21, 2), (0.6, 3), (0.75, 4), (0.0, 1)]
)
def test_no_round_cuts_more_than_a_fifth(remove, rounds):
    assert plan_of(remove_channels=remove).rounds == rounds


@pytest.mark.parametrize(
    ("finetune", "count", "epochs"), [(30, 3, [10, 10, 10]), (8, 3, [2, 3, 3]), (1, 3, [1, 1, 1])]
)
def test_rounds_share_the_epochs(finetune, count, epochs):
    plan = plan_of(finetune_epochs=finetune, rounds=count)
    stages = rounds(by_magnitude)(plan)
    assert [stage.extra_epochs(plan) for stage in stages] == [
        n for count in epochs for n in (0, count)
    ]


# What a file may hold


def test_a_cut_network_is_accepted_and_others_are_not():
    lenet = digits_by("lenet-5")
    params, stats = lenet.blank()
    tree = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params)
    lenet.check(tree, stats)

    def changed(path, shape, dtype=np.float32):
        layer, name = path.split("/")
        return tree | {layer: tree[layer] | {name: np.zeros(shape, dtype)}}

    narrow = changed("conv1/kernel", (5, 5, 1, 7)) | {
        "conv2": {"kernel": np.zeros((5, 5, 7, 50), "f"), "bias": tree["conv2"]["bias"]}
    }
    narrow["conv1"]["bias"] = np.zeros(7, "f")
    lenet.check(narrow, {})
    for wrong, reason in (
        (changed("conv1/kernel", (5, 5, 1, 7)), "sizes at which the network does not run"),
        (changed("conv1/kernel", (5, 5, 1, 21)), "at most"),
        (changed("conv1/kernel", (5, 5, 1, 0)), "at most"),
        (changed("conv1/kernel", (5, 5, 20)), "at most"),
        (changed("conv1/bias", (20,), np.float64), "must be float32"),
        (changed("conv1/more", (20,)), "conv1"),
        ({name: layer for name, layer in tree.items() if name != "dense2"}, "dense2"),
        (
            tree | {"dense2": {"kernel": np.zeros((500, 9), "f"), "bias": np.zeros(9, "f")}},
            r"gives \(9,\) logits for 10 classes",
        ),
    ):
        with pytest.raises(ValueError, match=reason):
            lenet.check(wrong, {})


# Other networks


def test_every_recipe_has_flags_that_exist():
    for name, recipe in RECIPES.items():
        assert {*recipe.options, *recipe.fixed} <= set(OPTIONS)
        budget = {"size": "1MB"} if "size" in recipe.options else {}
        assert stages_of(plan_of(recipe=name, model="vit", **budget))[0].name == "baseline"


def _slow_or_slower(name):
    return pytest.param(
        name, marks=getattr(pytest.mark, "exhaustive" if name in ("cifar", "resnet20") else "slow")
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [*map(_slow_or_slower, sorted(MODELS.keys() - {"fruits", "cifar-wide", "vit", "resnet18"}))],
)
def test_every_network_can_be_cut(model, tmp_path):
    words = f"--model {model} --data digits --limit 128 --epochs 1 --finetune-epochs 1"
    more = "--recipe structured --rounds 1 --group-lasso 0.001 --control"
    out = tmp_path / "run"
    assert run.main([*words.split(), *more.split(), "--out", str(out)]) == 0
    rows = {row["name"]: row for row in results_of(out)["stages"]}
    assert rows["cut"]["facts"]["silenced_difference"] < 1e-4
    assert rows["reloaded"]["flops"] < 0.6 * rows["baseline"]["flops"]
    assert results_of(out)["reload_exact"] and "regularized" in rows


@pytest.mark.slow
def test_fruits_are_cut_across_the_fusion(fruits, monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)
    words = [word for word in fruits.words if word not in ("--sparsity", "0.5")]
    out = tmp_path / "run"
    more = ["--recipe", "structured", "--branches", "picture", "colour", "--image-size", "16"]
    assert run.main([*words, *more, "--out", str(out)]) == 0
    units = results_of(out)["stages"][1]["facts"]["units"]
    assert {"params/picture/conv3", "params/colour/dense", "params/fuse"} <= set(units)
    params = jc.load(shutil.copy(out / "compressed.npz", tmp_path / "moved.npz"))["params"]
    fused = 2 * 2 * units["params/picture/conv3"][0] + units["params/colour/dense"][0]
    assert params["fuse"]["kernel"].shape[0] == fused // 2
