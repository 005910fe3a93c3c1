"""The recipe that drops blocks: which stay, what the file holds, what is refused."""

import jax
import numpy as np
import pytest

import jaxcompress as jc
import run
from pipelines.data import load
from pipelines.models.classifier import Classifier
from pipelines.models.devices import ALONE
from pipelines.options.plan import planned
from pipelines.stages.dropping import (
    at_random,
    by_importance,
    drop,
    from_scratch,
    recover,
    spread_out,
)
from pipelines.stages.files import BASELINE, write_plain
from pipelines.stages.stage import Work
from pipelines.stages.table import stages_of
from tests.helpers import archives
from tests.helpers.commands import results_of

TINY = "--model vit --data digits --limit 128 --epochs 1 --finetune-epochs 1".split()


def plan_of(**settings):
    asked = {"data": "digits", "model": "vit", "recipe": "drop"}
    return planned(**{"train_size": 256} | asked | settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("drop") / "run"
    words = "--recipe drop-measured --keep-blocks 2"
    assert run.main([*TINY, *words.split(), "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_what_is_left_is_tuned(finished):
    results = results_of(finished)
    names = [row["name"] for row in results["stages"]]
    assert names == ["baseline", "dropped", "dropped + tuned", "reloaded"]
    rows = {row["name"]: row for row in results["stages"]}
    kept = rows["dropped"]["facts"]["blocks"]
    assert len(set(kept)) == 2 and 0 <= kept[0] < kept[1] < 12
    assert rows["dropped"]["facts"]["of"] == 12
    flops = {name: row["flops"] for name, row in rows.items()}
    assert flops["dropped"] == flops["reloaded"] < 0.25 * flops["baseline"]
    assert results["reload_exact"] is True


@pytest.mark.slow
def test_the_file_alone_names_pictures(finished, tmp_path, capsys):
    file = finished / "compressed.npz"
    params = jc.load(file)["params"]
    classifier = Classifier.from_metadata(jc.inspect(file)["metadata"])
    classifier.check(params, {})
    test = load("digits").test
    logits = jax.jit(classifier.apply)(params, {}, test.images)
    found = np.mean(np.argmax(logits, axis=1) == test.labels)
    assert found == pytest.approx(results_of(finished)["reloaded_accuracy"])
    picture = tmp_path / "a.png"
    picture.write_bytes(archives.png(test.images[0]))
    words = ["--model", "vit", "--predict", str(picture), "--weights", str(file)]
    assert run.main(words) == 0
    assert capsys.readouterr().out.startswith(f"{picture}: ")


class Bench:
    """Stands in for a run: what a stage may ask, without training."""

    classifier = Classifier(
        model="vit",
        classes=tuple("0123456789"),
        image_size=32,
        branches=(),
        picture_size=32,
        data="digits",
    )

    def __init__(self, plan):
        self.plan, self.devices = plan, ALONE
        self.fitted, self.lessons = [], []

    def fresh(self):
        params, stats = self.classifier.blank()
        rng = np.random.default_rng(self.plan.seed)
        return Work(
            jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype("f"), params), stats
        )

    def recalibrated(self, work):
        return work

    def steps(self, epochs):
        return 4 * epochs

    def network(self, student):
        assert student == 0
        return self.classifier

    def fit(self, work, tx, *, epochs, lesson=None):
        self.fitted.append(epochs)
        self.lessons.append(lesson)
        return work


def first_bias(block):
    return block["attention"]["out"]["bias"]


@pytest.mark.slow
def test_the_stage_by_hand():
    job = Bench(plan_of(keep_blocks=3))
    whole = job.fresh()
    work, facts = drop(spread_out)(job, whole)
    assert facts == {"blocks": [0, 6, 11], "of": 12}
    for k, old in enumerate([0, 6, 11]):
        found, expected = work.params["blocks"][k], whole.params["blocks"][old]
        np.testing.assert_array_equal(first_bias(found), first_bias(expected))
    assert len(work.params["blocks"]) == 3 and len(whole.params["blocks"]) == 12
    assert plan_of().keep_blocks == 6  # half, where nothing is said


def test_any_blocks_depend_on_the_seed():
    kept = [drop(at_random)(job, job.fresh())[1]["blocks"] for job in map(Bench, plans())]
    assert kept[0] == kept[1] != kept[2]


def plans():
    return [plan_of(keep_blocks=6, seed=seed) for seed in (0, 0, 1)]


def test_the_control_starts_anew_and_trains_as_long_as_all_stages():
    job = Bench(plan_of(keep_blocks=2, epochs=5, finetune_epochs=3))
    work, _ = from_scratch(lambda plan: plan.epochs + plan.finetune_epochs)(job, Work({}, {}))
    assert len(work.params["blocks"]) == 2 and job.fitted == [8]


@pytest.mark.parametrize("recipe", ["drop", "drop-measured", "drop-random"])
def test_controls_stand_beside_it(recipe):
    names = [stage.name for stage in stages_of(plan_of(recipe=recipe, control=True))]
    between = ["baseline", "dropped", "dropped + tuned", "reloaded"]
    assert names == [*between, "control", "small from scratch"]


def test_a_start_of_one_block_has_none_to_measure():
    whole = Bench(plan_of()).fresh()
    work = whole._replace(params=jc.drop_blocks(whole.params, "blocks", keep=[5]))
    left, facts = drop(by_importance)(Bench(plan_of(recipe="drop-measured", keep_blocks=1)), work)
    assert facts == {"blocks": [0], "of": 1} and left.params["blocks"].keys() == {0}


@pytest.mark.slow
def test_what_is_left_learns_from_the_whole_network(tmp_path):
    job = Bench(plan_of(keep_blocks=2, finetune_epochs=3))
    job.folder, whole = tmp_path, job.fresh()
    write_plain(job, tmp_path / BASELINE, whole)
    recover(job, drop(spread_out)(job, whole)[0])
    x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    (lesson,) = job.lessons
    expected = jax.jit(job.classifier.apply)(whole.params, {}, x)
    np.testing.assert_allclose(lesson.teacher(x), expected, rtol=1e-4, atol=1e-3)
    assert job.fitted == [3]
    assert (job.plan.temperature, job.plan.soft_weight) == (3.0, 0.7)


def test_a_network_without_some_blocks_is_accepted_and_others_are_not():
    vit = Bench.classifier
    blank, _ = vit.blank()
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f"), blank)
    blocks = params["blocks"]
    vit.check(jc.drop_blocks(params, "blocks", keep=[0, 5]), {})
    for wrong, reason in (
        ({}, "blocks: must be where the tree has blocks"),
        (params | {"blocks": {}}, "blocks: must be where the tree has blocks"),
        (params | {"blocks": blocks | {12: blocks[0]}}, "blocks/12"),
        (params | {"blocks": {0: blocks[0], 2: blocks[1]}}, "blocks/1"),
        (params | {"blocks": {"0": blocks[0]}}, "other containers"),
        (params | {"blocks": jax.tree.map(lambda a: a[None], blocks[0])}, "blocks"),
        ({name: leaf for name, leaf in params.items() if name != "places"}, "places"),
    ):
        with pytest.raises(ValueError, match=reason):
            vit.check(wrong, {})
    with pytest.raises(ValueError, match="blocks/0/dense1"):
        wider = jax.tree.map(lambda a: np.zeros([2 * n for n in a.shape], "f"), blocks[0])
        vit.check(params | {"blocks": {0: blocks[0] | {"dense1": wider["dense1"]}}}, {})
