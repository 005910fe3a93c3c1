"""The recipe that trains for rate: its stages, the size that it meets, and what is refused."""

import jax
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.leaves import Half, Quantized
from pipelines.errors import SettingsError
from pipelines.models.classifier import Classifier
from pipelines.options.plan import planned
from pipelines.stages import rated
from pipelines.stages.rated import reach
from pipelines.stages.table import stages_of
from tests.helpers.commands import interrupt_at, refusal, results_of, tiny

STAGES = ["baseline", "trained for rate", "levels frozen + tuned", "reloaded"]
SIZE = 60_000
ASKED = ["--recipe", "rate", "--size", str(SIZE), "--no-program"]


def plan_of(**settings):
    return planned(
        256, data="digits", **{"model": "lenet-300-100", "recipe": "rate", "size": 9000} | settings
    )


def test_the_recipe_is_named_and_a_size_alone_chooses_another():
    plan = plan_of(finetune_epochs=7, control=True)
    assert [stage.name for stage in stages_of(plan)] == [*STAGES, "control"]
    assert [stage.extra_epochs(plan) for stage in stages_of(plan)] == [0, 7, 2, 0, 0]
    assert plan_of(recipe=None).recipe == "auto"


def test_without_a_size_it_is_refused(tmp_path, capsys):
    words = "--model lenet-300-100 --data digits --recipe rate".split()
    assert "--recipe: rate needs a size; pass --size" in refusal(words, tmp_path, capsys)


@pytest.mark.slow
def test_a_size_that_the_other_numbers_fill_is_refused():
    model = Classifier(
        model="lenet-300-100",
        classes=tuple("abcdefghij"),
        image_size=32,
        branches=(),
        picture_size=32,
        data="digits",
    )
    reach(plan_of(size=9000), model, np.zeros(0))
    with pytest.raises(
        SettingsError, match=r"--size: must be above 2,\d\d\d, of biases.*got 1,000"
    ):
        reach(plan_of(size=1000), model, np.zeros(0))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("rate") / "run"
    assert tiny(out, *ASKED) == 0
    return out


@pytest.mark.slow
def test_the_file_has_the_size_and_holds_the_network_that_was_measured(finished):
    results = results_of(finished)
    assert [row["name"] for row in results["stages"]] == STAGES and results["reload_exact"]
    assert results["compressed_bytes"] <= SIZE
    assert (finished / "compressed.npz").stat().st_size == results["compressed_bytes"]
    trained = results["stages"][1]
    assert set(trained["facts"]) == {"expected_bytes", "dead_zone"}
    leaves = jax.tree.leaves(
        jc.load_compressed(finished / "compressed.npz"), is_leaf=jc.leaves.is_compressed
    )
    assert {type(leaf) for leaf in leaves} == {Half, Quantized}
    files = [stage.file for stage in stages_of(plan_of())[1:3]]
    rounded, tuned = (jc.load_compressed(finished / file) for file in files)
    for one, other in zip(*(_quantized(tree) for tree in (rounded, tuned)), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.scale != other.scale


def _quantized(tree):
    leaves = jax.tree.leaves(tree, is_leaf=jc.leaves.is_compressed)
    return [leaf for leaf in leaves if isinstance(leaf, Quantized)]


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, 10])
def test_stopped_in_either_training_it_goes_on_to_the_same_bytes(
    tmp_path, finished, monkeypatch, step
):
    out = tmp_path / "run"
    interrupt_at(monkeypatch, step)
    assert tiny(out, *ASKED) == 130
    assert tiny(out, *ASKED, "--resume") == 0
    assert (out / "compressed.npz").read_bytes() == (finished / "compressed.npz").read_bytes()


@pytest.mark.slow
def test_a_size_that_no_dead_zone_meets_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rated, "_WIDEST", 1e-3)
    words = ["--recipe", "rate", "--size", "4000", "--no-program"]
    assert tiny(tmp_path / "run", *words) == 1
    assert "--size: must hold the network, got 4,000" in capsys.readouterr().out
