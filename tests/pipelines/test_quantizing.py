"""The recipes that round to integers: what is trained, what is run, and what rows say of it."""

import importlib.util
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
import run
from jaxcompress.errors import MismatchError
from jaxcompress.nnx import functional
from jaxcompress.quantization.grids import QParams, make_grid
from pipelines.errors import SettingsError
from pipelines.models.devices import ALONE
from pipelines.options.plan import planned
from pipelines.run import job as job_module
from pipelines.stages import integers
from pipelines.stages.files import BASELINE, write_plain
from pipelines.stages.stage import Work
from pipelines.stages.table import stages_of
from tests.helpers.commands import interrupt_at
from tests.helpers.small_nets import Normed

TINY = "--model lenet-300-100 --data digits --limit 256 --epochs 2 --finetune-epochs 2".split()
FEW_BITS = ["--recipe", "qat", "--bits", "4", "--weight-bits", "2"]
WITH_ONNX = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, integers.MODULES)), reason="needs the extra onnx"
)


def tiny(out, *more):
    return run.main([*TINY, "--out", str(out), *more])


def rows_of(out):
    results = json.loads((out / "results.json").read_text())
    assert results["reload_exact"]
    return {row["name"]: row for row in results["stages"]}


@pytest.fixture(autouse=True)
def _with_libraries(monkeypatch):
    """Plans can be made without the libraries that run them."""
    monkeypatch.setattr(integers, "find_spec", bool)


def plan_of(**more):
    asked = {"data": "digits", "model": "lenet-300-100", "recipe": "qat"}
    return planned(**{"train_size": 256} | asked | more)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_grids_are_those_of_their_ends(bits):
    grid = make_grid(bits, symmetric=False)
    qparams = {
        f"a/{zero}": QParams(np.float32(0.1 * 3**place), np.int8(zero))
        for place, zero in enumerate([grid.lowest, grid.lowest + 1, grid.highest])
    }
    work = integers.rounded_work(Work({}, {}), {}, qparams, grid)
    assert set(work.ends["a"]) == {str(found.zero_point) for found in qparams.values()}
    again = integers.ranges_of(work.ends).qparams(grid)
    for name, (scale, zero_point) in qparams.items():
        assert again[name].zero_point == zero_point
        np.testing.assert_allclose(again[name].scale, scale, rtol=1e-6)


class Rehearsal:
    """What stages ask of a run, of a small network with a norm; training takes one look at it."""

    def __init__(self, folder, **plan):
        self.folder, self.plan = folder, plan_of(**plan)
        self.net, self.devices = functional(Normed), ALONE
        self.classifier = SimpleNamespace(net=self.net, view=lambda x: x)
        self.images = np.random.default_rng(0).normal(size=(64, 5, 5, 2)).astype(np.float32)
        self.trained = {}

    def apply(self, tree, x):
        return self.net.apply(tree["params"], tree["stats"], x)

    def sample(self, count):
        return self.images[:count]

    def batches(self, most):
        yield self.images[:32]

    def steps(self, epochs):
        return 2 * epochs

    def fit(self, work, tx, *, epochs, nets):
        for until, net in nets.items():
            step = jax.jit(lambda *given, net=net: net.apply_training(*given))
            self.trained[until] = step(work.params, work.stats, self.images)
        return work


@pytest.mark.slow
def test_statistics_are_frozen_at_the_end_and_what_is_trained_is_what_is_measured(tmp_path):
    job = Rehearsal(tmp_path, finetune_epochs=3, weight_bits=4)
    start = Work(*job.net.init(jax.random.key(0)))
    start = start._replace(stats=jax.tree.map(lambda leaf: leaf + 0.5, start.stats))
    write_plain(job, tmp_path / BASELINE, start)
    work, facts = integers.quantize_weights(job, start)
    assert facts == {"left_float": {}} and set(work.ends) == {"conv", "dense"}
    tuned, _ = integers.tune_quantized(job, work)
    assert list(job.trained) == [2, 3]
    moved = [
        any(
            jnp.any(a != b)
            for a, b in zip(*map(jax.tree.leaves, (stats, start.stats)), strict=True)
        )
        for _, stats in job.trained.values()
    ]
    assert moved == [True, False]
    # Nothing was trained, so that both are the same network: weights at the nearest integers.
    logits = integers.simulate(job, tuned).logits(job.images)
    np.testing.assert_allclose(logits, job.trained[3][0], atol=1e-4)
    assert not np.allclose(job.net.apply(start.params, start.stats, job.images), logits, atol=1e-3)
    for path in ("conv", "dense"):
        assert jc.metrics.count_distinct(tuned.params[path]) <= 15 * 4
        assert tuned.quantized[path]["kernel"].bits == 4


def test_folding_changes_no_logits(tmp_path):
    job = Rehearsal(tmp_path)
    start = Work(*job.net.init(jax.random.key(0)))
    start = start._replace(stats=jax.tree.map(lambda leaf: leaf + 0.5, start.stats))
    folded, _ = integers.fold(job, start)
    assert not np.array_equal(folded.params["conv"]["kernel"], start.params["conv"]["kernel"])
    before, after = (job.net.apply(w.params, w.stats, job.images) for w in (start, folded))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_only_integers_of_8_bits_are_run():
    named = {bits: [stage.name for stage in stages_of(plan_of(bits=bits))] for bits in (4, 8)}
    assert named[4] == ["baseline", "quantized", "quantized + tuned", "reloaded"]
    assert "onnx int8" in named[8] and "onnx float32" in named[8]


def test_without_the_library_integers_are_refused_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(integers, "find_spec", lambda module: None)
    for recipe in ("int8", "qat"):
        assert tiny(tmp_path / "run", "--recipe", recipe) == 2
        assert capsys.readouterr().err == (
            f"run.py: --recipe: {recipe} needs jax2onnx, onnxruntime to run integers of 8 bits, "
            "which is not installed; pip install -e '.[run,onnx]'.\n"
        )
    assert not list(tmp_path.iterdir())
    assert plan_of(bits=4).weight_bits == 4


def test_a_file_that_computes_something_else_ends_the_run_in_one_line(
    tmp_path, monkeypatch, capsys
):
    def differing(self):
        raise MismatchError("y: must be that of apply, got something else.")

    monkeypatch.setattr(job_module.Job, "run", differing)
    assert tiny(tmp_path / "run") == 1
    said = capsys.readouterr().out
    assert "baseline: y: must be that of apply" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bits": 1}, "--bits: must be 2 to 8, got 1"),
        ({"weight_bits": 9}, "--weight-bits: must be 1 to 8, got 9"),
        ({"weight_bits": 0}, "--weight-bits: must be 1 to 8, got 0"),
        ({"recipe": "int8", "bits": 8}, "--bits: the recipe has no use for it"),
        ({"recipe": "prune", "weight_bits": 8}, "--weight-bits: the recipe has no use for it"),
    ],
)
def test_wrong_bits_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        plan_of(**wrong)


def test_weights_have_as_many_bits_as_activations_unless_told():
    for asked, found in {(None, None): (8, 8), (4, None): (4, 4), (None, 2): (8, 2)}.items():
        plan = plan_of(bits=asked[0], weight_bits=asked[1])
        assert (plan.bits, plan.weight_bits) == found
    assert not {"bits", "weight_bits"} & set(plan_of(recipe="prune"))


@pytest.fixture(scope="module")
def few_bits(tmp_path_factory):
    out = tmp_path_factory.mktemp("qat") / "run"
    assert tiny(out, *FEW_BITS) == 0
    return out


@pytest.mark.slow
def test_training_makes_up_for_few_bits(few_bits):
    rows = rows_of(few_bits)
    numbers = {name: row["arithmetic"] for name, row in rows.items()}
    assert numbers == {
        "baseline": "float",
        "quantized": "simulated",
        "quantized + tuned": "simulated",
        "reloaded": "float",
    }
    assert rows["quantized + tuned"]["loss"] < rows["quantized"]["loss"]
    tree = jc.load(few_bits / "compressed.npz")["params"]
    for name, layer in tree.items():
        for channel in np.asarray(layer["kernel"]).T:
            assert len(np.unique(channel[channel != 0])) <= 2, f"{name} is ternary"
    assert rows["reloaded"]["size_bytes"] < rows["baseline"]["size_bytes"] / 12


@pytest.mark.slow
def test_stopped_while_it_learns_steps_it_goes_on_to_the_same_bytes(
    tmp_path, few_bits, monkeypatch
):
    out = tmp_path / "run"
    interrupt_at(monkeypatch, 2 * 3 + 4)  # of 3 steps an epoch, the baseline takes 2 epochs
    assert tiny(out, *FEW_BITS) == 130
    assert tiny(out, *FEW_BITS, "--resume") == 0
    assert (out / "compressed.npz").read_bytes() == (few_bits / "compressed.npz").read_bytes()


@pytest.mark.slow
@WITH_ONNX
def test_the_integers_that_run_are_as_good_as_the_simulated_ones(tmp_path):
    out = tmp_path / "run"
    assert tiny(out, "--recipe", "int8") == 0
    rows = rows_of(out)
    numbers = {name: row["arithmetic"] for name, row in rows.items()}
    assert numbers == {
        "baseline": "float",
        "folded": "float",
        "onnx float32": "float",
        "quantized": "simulated",
        "onnx int8": "integers",
        "reloaded": "float",
    }
    assert rows["onnx float32"]["accuracy"] == rows["folded"]["accuracy"]
    accuracies = [rows[name]["accuracy"] for name in ("folded", "quantized", "onnx int8")]
    assert max(accuracies) - min(accuracies) < 0.02
    found = rows["onnx int8"]
    assert found["facts"]["agreement"] > 0.98 and sum(found["facts"]["integer_kernels"].values())
    assert found["size_bytes"] == (out / "int8.onnx").stat().st_size
    assert found["size_bytes"] < rows["onnx float32"]["size_bytes"] * 0.3
    assert found["latency_ms"] > 0 and found["peak_bytes"] is None
    assert rows["reloaded"]["size_bytes"] < rows["baseline"]["size_bytes"] * 0.27
