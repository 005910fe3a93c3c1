"""`plan`, and `pack --plan`: sizes as predicted, edited plans, and what is refused."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.artifact import _parts
from jaxcompress.cli import packed_file
from jaxcompress.planner import _ladder, read_plan
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


TIED = normal(48, 40)
MODEL = {
    "embed": TIED,
    "layer.bias": normal(40),
    "layer.weight": normal(80, 40),
    "lm_head": TIED,
    "mask": np.tril(np.ones((40, 40), np.float32)),
    "norm": normal(300),
    "up.weight": normal(40, 160),
}
DENSE = sum(tensor.nbytes for tensor in MODEL.values())


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A checkpoint, its profile, and a plan of 9 kB."""
    folder = tmp_path_factory.mktemp("measured")
    model, profile = folder / "m.safetensors", folder / "m.profile.json"
    save_file(MODEL, model)
    with few_settings():
        run("plan", model, "--size", "9KB", "--profile", profile)
    return folder


@contextlib.contextmanager
def few_settings():
    """As of large networks: no ranks, no clusters, no zeros."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ladder, "MANY", 0)
        yield


@pytest.fixture
def here(measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in measured.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path


def edited(path="m.plan.json", **fields):
    told = json.loads(Path(path).read_text())
    settings = fields.pop("settings", {})
    told = told | fields
    if isinstance(settings, dict):
        told["settings"] = told["settings"] | settings
    else:
        told["settings"] = settings
    Path("edited.json").write_text(json.dumps(told))
    return "edited.json"


def test_the_file_has_the_size_of_the_plan(here):
    plan = read_plan("m.plan.json")
    assert set(plan.settings) == {"embed", "layer.weight", "mask", "up.weight"} and plan.half
    said = run("pack", "m.safetensors", "--plan", "m.plan.json").out
    size = (here / "m.npz").stat().st_size
    assert size == plan.size_bytes <= 9000
    assert f"predicted: {plan.size_bytes:,.0f} bytes; the file is " in said
    assert "stored in 16 bits: 2 tensors of 340 numbers: layer.bias, norm" in said
    assert "stored once: 1 tensor of 1,920 numbers: lm_head (the same as embed)" in said
    assert jc.inspect("m.npz")["metadata"]["pack"] == {"plan": plan.stamp}
    loaded = jc.load("m.npz")
    np.testing.assert_array_equal(loaded["mask"], MODEL["mask"])
    np.testing.assert_array_equal(loaded["lm_head"], loaded["embed"])
    assert 0 < np.abs(loaded["up.weight"] - MODEL["up.weight"]).max() < 2


@pytest.mark.slow
def test_a_profile_serves_every_size(here):
    before = (here / "m.profile.json").read_bytes()
    sizes = []
    for number, size in enumerate(("4KB", "6KB", "12KB", "20KB")):
        words = ["plan", "m.safetensors", "--profile", "m.profile.json", "-o", f"{number}.json"]
        told = json.loads(run(*words, "--size", size, "--json").out)
        assert told["plan"] == f"{number}.json" and told["dense_bytes"] == DENSE
        assert told["settings"] == read_plan(f"{number}.json").settings
        least, most = told["reachable_bytes"]
        assert least <= told["size_bytes"] <= most < DENSE and told["quality_lost"] is None
        run("pack", "m.safetensors", "--plan", f"{number}.json", "-o", f"{number}.npz")
        sizes.append((here / f"{number}.npz").stat().st_size)
        assert sizes[-1] == told["size_bytes"]
    assert sizes == sorted(sizes)
    assert (here / "m.profile.json").read_bytes() == before


@pytest.mark.slow
def test_it_says_what_happens_and_what_it_does_not_know(here):
    words = ["plan", "m.safetensors", "--profile", "m.profile.json", "--size", "12KB"]
    said = run(*words, "-o", "p.json", "--leave", "embed").out.splitlines()
    assert said[0].split() == ["embed", "exactly", "as", "it", "is"]
    assert "  quality not predicted: nothing was evaluated, damages are of weights" in said
    assert any(line.startswith("reachable: ") for line in said)
    assert said[-1].startswith("p.json: ") and said[-1].endswith("x smaller")
    run("pack", "m.safetensors", "--plan", "p.json")
    np.testing.assert_array_equal(jc.load("m.npz")["lm_head"], TIED)


@pytest.mark.slow
def test_edits_are_honoured(here):
    run("pack", "m.safetensors", "--plan", "m.plan.json", "-o", "a.npz")
    settings = {"layer.weight": "leave", "up.weight": {"clusters": 3}}
    said = run("pack", "m.safetensors", "--plan", edited(settings=settings)).out
    assert "predicted before it was edited: " in said
    loaded, before = jc.load("m.npz"), jc.load("a.npz")
    np.testing.assert_array_equal(loaded["layer.weight"], MODEL["layer.weight"])
    assert np.unique(loaded["up.weight"]).size <= 4
    np.testing.assert_array_equal(loaded["embed"], before["embed"])  # steps stay as they were
    run("pack", "m.safetensors", "--plan", edited(half=False), "-o", "b.npz")
    np.testing.assert_array_equal(jc.load("b.npz")["norm"], MODEL["norm"])


def test_a_line_that_is_taken_out_leaves_the_tensor(here):
    told = json.loads(Path("m.plan.json").read_text())
    del told["settings"]["embed"]
    (here / "short.json").write_text(json.dumps(told))
    run("pack", "m.safetensors", "--plan", "short.json")
    np.testing.assert_array_equal(jc.load("m.npz")["lm_head"], TIED)


@pytest.mark.slow
def test_any_number_of_processes_makes_the_same_file(here, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 3000)
    monkeypatch.setattr(packed_file, "_WORTH_WORKERS", 0)
    plan = edited(settings={"up.weight": {"sparsity": 0.5, "step_size": 0.5}})
    for jobs in (1, 2):
        run("pack", "m.safetensors", "--plan", plan, "--jobs", jobs, "-o", f"{jobs}.npz")
    assert (here / "1.npz").read_bytes() == (here / "2.npz").read_bytes()
    assert np.count_nonzero(jc.load("1.npz")["up.weight"]) <= MODEL["up.weight"].size / 2


@pytest.mark.slow
def test_select_and_drop_are_given_to_both(here):
    words = ["--drop", "up.weight"]
    with few_settings():
        run("plan", "m.safetensors", "--size", "8KB", "-o", "p.json", *words)
    assert "up.weight" not in read_plan("p.json").settings
    assert "other weights" in refused("pack", "m.safetensors", "--plan", "p.json")
    run("pack", "m.safetensors", "--plan", "p.json", *words)
    assert (here / "m.npz").stat().st_size == read_plan("p.json").size_bytes


def test_other_networks_are_refused_and_nothing_is_written(here):
    save_file(MODEL | {"embed": normal(48, 40)}, "other.safetensors")
    save_file({"w": normal(48, 40)}, "strange.safetensors")
    (here / "text.safetensors").write_text("no weights at all")
    before = sorted(here.iterdir())
    told = refused("pack", "other.safetensors", "--plan", "m.plan.json")
    assert "m.plan.json: is for a network of other weights; plan anew" in told
    told = refused("pack", "strange.safetensors", "--plan", "m.plan.json")
    assert "got embed, layer.weight, mask, up.weight, which it has not" in told
    words = ["--size", "9KB", "--profile", "m.profile.json"]
    told = refused("plan", "other.safetensors", *words)
    assert "m.profile.json: is the profile of another network; remove it" in told
    assert "m.plan.json" in refused(
        "plan", "other.safetensors", "--size", 900, "--profile", "m.plan.json"
    )
    refused("plan", "text.safetensors", "--size", "9KB", status=3)
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", "1KB", "-o", "p.json"], "--size: must be at least "),
        (["--size", "0", "-o", "p.json"], "must be a size above zero"),
        (["--size", "-3KB", "-o", "p.json"], "must be a size above zero"),
        (["-o", "p.json"], "Missing option '--size'"),
        (["--size", "9KB"], "m.plan.json: the file exists already"),
        (["--size", "9KB", "-o", "m.safetensors"], "the output must not be the input"),
        (["--size", "9KB", "-o", "none/p.json"], "the folder of the output is missing"),
        (["--size", "9KB", "-o", "p.json", "--leave", "lm"], "lm: a pattern must match a tensor"),
        (["--size", "9KB", "-o", "p.json", "--leave", "*"], "--size: must be at least "),
    ],
)
def test_impossible_budgets_and_outputs_are_refused(here, words, told):
    before = sorted(here.iterdir())
    assert told in refused("plan", "m.safetensors", "--profile", "m.profile.json", *words)
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    "words",
    [
        ["--bits", 4],
        ["--step-size", 0.1],
        ["--clusters", 4],
        ["--quantizer", "kmeans"],
        ["--rules", "m.plan.json"],
        ["--target-size", "9KB"],
        ["--sparsity", 0.5],
        ["--keep-low-rank", 0.5],
        ["--channel-axis", "last"],
        ["--exclude", "embed"],
        ["--scope", "embed"],
        ["--half"],
        ["--layout", "csr"],
        ["--lossless"],
    ],
)
def test_a_plan_says_it_all(here, words):
    told = refused("pack", "m.safetensors", "--plan", "m.plan.json", *words)
    assert "leave out --" in told and not (here / "m.npz").exists()


def test_an_error_that_is_too_large_is_refused_with_a_plan_too(here):
    words = ["pack", "m.safetensors", "--plan", "m.plan.json", "--max-error", 1e-6]
    assert "relative errors must be at most 1e-06" in refused(*words)
    assert not (here / "m.npz").exists()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"settings": {"norm": {"step_size": 0.1}}}, "norm: step size 0.1 cannot be done"),
        ({"settings": {"lm_head": "leave"}}, "lm_head: exactly as it is cannot be done"),
        ({"settings": {"nothing": "leave"}}, "got nothing, which it has not"),
        ({"settings": {"embed": "drop"}}, "settings must be names and values"),
        ({"settings": {"embed": 3}}, "settings must be names and values"),
        ({"settings": {"embed": {"step": 3}}}, "must set of keep, quantizer, "),
        ({"settings": {"embed": {}}}, "must set something"),
        ({"settings": {"embed": {"step_size": "fine"}}}, "step_size: must be "),
        ({"settings": {"embed": {"step_size": float("nan")}}}, "step_size: must be "),
        ({"settings": {"embed": {"step_size": 10**400}}}, "too large"),
        ({"settings": {"embed": {"step_size": [1]}}}, "step_size: must be "),
        ({"settings": {"embed": {"bits": 99}}}, "bits: must be 1 to 8"),
        ({"settings": {"embed": {"clusters": 10**30}}}, "clusters: k must be"),
        ({"settings": {"embed": {"sparsity": 1}}}, "sparsity must be in [0, 1)"),
        ({"settings": {"embed": {"quantizer": ["kmeans"]}}}, "as quantizer"),
        ({"settings": {"embed": {"keep_low_rank": 0.5, "sparsity": 0.5}}}, "keeps no zeros"),
        ({"settings": ["embed"]}, "settings must be by name"),
        ({"cut": {"units": {"a": 3}}}, "cut: takes the code of the network"),
        ({"cut": 3}, "cut must be by name"),
        ({"half": "yes"}, "half must be true or false"),
        ({"network": None}, "network must be a text"),
        ({"size_bytes": float("nan")}, "size_bytes must be a number"),
        ({"size_bytes": 10**400}, "size_bytes must be a number"),
        ({"latency": 3}, "must be a plan"),
        ({"budget": {"size": 3}}, "must be a plan"),
        ({"more": 3}, "must be a plan"),
        ({"version": 99}, "must be a plan of version 1"),
        ({"kind": "profile"}, "must be a plan of version 1"),
        ({"kind": ["plan"] * 1000}, "must be a plan of version 1"),
    ],
)
def test_plans_that_cannot_be_done_are_refused_in_one_line(here, fields, told):
    found = refused("pack", "m.safetensors", "--plan", edited(**fields))
    assert told in found and "edited.json: " in found and len(found) < 600
    assert not (here / "m.npz").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '"plan"', "[" * 100_000, "{}", "\0\xff", "9" * 5000]
)
def test_files_that_are_no_plan_are_refused(here, text):
    (here / "p.json").write_bytes(text.encode("latin-1"))
    found = refused("pack", "m.safetensors", "--plan", "p.json")
    assert len(found) < 400 and not (here / "m.npz").exists()
    refused("plan", "m.safetensors", "--size", "9KB", "--profile", "p.json", "-o", "q.json")
    assert not (here / "q.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"size_bytes": "small"},
        {"size_bytes": -1},
        {"error": float("nan")},
        {"damage": 10**400},
        {"settings": 3},
        {"more": 3},
    ],
)
def test_profiles_that_say_something_else_are_refused(here, change):
    told = json.loads(Path("m.profile.json").read_text())
    told["networks"][0]["tensors"][0]["choices"][0] |= change
    (here / "bad.json").write_text(json.dumps(told))
    words = ["plan", "m.safetensors", "--size", "9KB", "--profile", "bad.json", "-o", "p.json"]
    assert "bad.json: must be a profile" in refused(*words)
    assert not (here / "p.json").exists()


def test_a_measured_profile_is_planned_with_its_damages(here):
    """One that was made with data in Python serves the command too."""
    told = json.loads(Path("m.profile.json").read_text())
    smaller = told["networks"][0] | {"name": "units 0.50", "cut": {"units": {"a": 3}}}
    for tensor in told["networks"][0]["tensors"]:
        if tensor["path"] == "up.weight":  # the network hardly needs it
            for choice in tensor["choices"]:
                choice["damage"] /= 1e6
    told = told | {"metric": "relative_error", "networks": [*told["networks"], smaller]}
    (here / "data.json").write_text(json.dumps(told))
    words = ["plan", "m.safetensors", "--size", "9KB", "--profile", "data.json", "-o", "p.json"]
    assert "damages are of outputs" in run(*words).out
    made, plain = read_plan("p.json"), read_plan("m.plan.json")
    assert not made.cut and made.settings["up.weight"] != plain.settings["up.weight"]
