"""Why tensors were left: what the file or its plan says, and never a guess."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress import report
from jaxcompress.report._left import UNKNOWN
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors = {
        "a.weight": RNG.standard_normal((64, 96)).astype("f"),
        "b.weight": RNG.standard_normal((96, 64)).astype("f"),
        "b.bias": np.arange(96, dtype="f"),
        "table": RNG.standard_normal((2, 96)).astype("f"),
        "odd": np.where(np.eye(40), np.nan, 1).astype("f"),
        "few": np.sign(RNG.standard_normal((32, 33))).astype("f"),
        "ids": np.arange(12).reshape(3, 4),
    }
    save_file(tensors, "m.safetensors")
    return "m.safetensors"


def why(*words):
    """Reasons by path, as the report of a packed file has them."""
    run("report", *words, "-o", "page.html")
    rows = json.loads(Path("page.json").read_text())["layers"]
    return {row["path"]: row["why"] for row in rows if row["after"]["form"] in ("dense", "planes")}


def test_options_of_pack_tell_what_they_leave(model):
    said = run("pack", model, "-o", "s.npz", "--exclude", "b.weight").out
    found = why("s.npz")
    assert found["b.weight"] == "by a rule" and "by a rule: 1" in said
    assert found["b.bias"] == "outside of the scope: fewer than two axes"
    assert found["table"] == "a vector, or few rows" and "a vector, or few rows: 1" in said
    assert found["odd"] == "not finite" and "not finite: 1" in said
    assert found["ids"] == "no floating-point numbers"
    assert "a.weight" not in found


def test_what_depends_on_numbers_is_not_recorded(tmp_path):
    tree = {"a": RNG.standard_normal((64, 64)).astype("f"), "b": np.ones(64, "f")}
    jc.save(tmp_path / "net.npz", tree, metadata={"pack": {"sparsity": 0.0}})
    rows = report.of_files([tmp_path / "net.npz"])["layers"]
    assert [row["why"] for row in rows] == [UNKNOWN, "outside of the scope: fewer than two axes"]
    jc.save(tmp_path / "net.npz", tree)
    rows = report.of_files([tmp_path / "net.npz"])["layers"]
    assert {row["why"] for row in rows} == {UNKNOWN}, "a file of somebody's own scope"


def test_a_lossless_file_says_so(model):
    run("pack", model, "-o", "s.npz", "--lossless")
    assert set(why("s.npz").values()) == {"lossless", "no floating-point numbers"}


def test_a_scope_of_the_user_is_read_where_it_is_plain(model):
    run("pack", model, "-o", "s.npz", "--scope", "a.weight")
    found = why("s.npz")
    assert found["b.weight"] == "outside of the scope"
    run("pack", model, "-o", "p.npz", "--scope", "^(a|few)")
    found = why("p.npz")
    assert found["b.weight"] == UNKNOWN, "patterns of others are not run"
    assert found["b.bias"] == "outside of the scope: fewer than two axes"


@pytest.mark.slow
def test_the_plan_of_a_file_tells_what_it_keeps(model):
    run("plan", model, "--size", "20KB", "-o", "m.plan.json")
    plan = json.loads(Path("m.plan.json").read_text())
    plan["settings"]["b.weight"] = {"keep": True}
    Path("m.plan.json").write_text(json.dumps(plan))
    run("pack", model, "-o", "s.npz", "--plan", "m.plan.json")
    assert why("s.npz")["b.weight"] == UNKNOWN, "the file has the stamp of the plan only"
    assert why("s.npz", "--plan", "m.plan.json")["b.weight"] == "the plan keeps it exactly"
    plan["settings"]["a.weight"] = {"keep": True}
    Path("other.plan.json").write_text(json.dumps(plan))
    said = refused("report", "s.npz", "--plan", "other.plan.json", "-o", "page.html")
    assert "other.plan.json: must be the plan that the file was made by" in said
    assert "--plan: is for compressed files" in refused("report", ".", "--plan", "m.plan.json")


@pytest.mark.parametrize(
    "pack",
    [
        "text",
        {"scope": 5},
        {"scope": "("},
        {"rules": 7},
        {"rules": [["a.weight"]]},
        {"rules": [["a", 5]]},
        {"lossless": 1},
        {"rules": [["*a*a*a*a*b", {}]] * 2000},
    ],
)
def test_metadata_of_others_are_no_fault(tmp_path, pack):
    tree = {"a": RNG.standard_normal((8, 8)).astype("f"), "b": np.ones(3, "f")}
    jc.save(tmp_path / "net.npz", tree, metadata={"pack": pack})
    rows = report.of_files([tmp_path / "net.npz"])["layers"]
    assert {row["why"] for row in rows} <= {
        UNKNOWN,
        "outside of the scope: fewer than two axes",
        "small",
    }


def test_options_that_do_not_fit_the_file_tell_nothing(tmp_path):
    """A vector that is compressed: the file is of another scope than it says."""
    tree = {"a": RNG.standard_normal((64, 64)).astype("f"), "b": np.arange(64, dtype="f")}
    made = jc.kmeans(tree, 4, scope=lambda path, leaf: path == "b")
    jc.save(tmp_path / "net.npz", made, metadata={"pack": {"sparsity": 0.0}})
    (row,) = [r for r in report.of_files([tmp_path / "net.npz"])["layers"] if r["path"] == "a"]
    assert row["why"] == UNKNOWN


# Errors


def test_errors_are_those_of_numpy_and_zero_is_exact(tmp_path):
    tree = {"a": RNG.standard_normal((64, 64)).astype("f"), "b": np.ones(64, "f")}
    made = jc.quantize(tree, 4)
    jc.save(tmp_path / "net.npz", made)
    record = report.of_files([tmp_path / "net.npz"], against=tree)
    rows = {row["path"]: row["error"] for row in record["layers"]}
    off = np.linalg.norm(tree["a"] - np.asarray(jc.dense(made)["a"])) / np.linalg.norm(tree["a"])
    assert rows["a"]["relative"] == pytest.approx(off, rel=1e-5)
    assert rows["a"]["sqnr_db"] == pytest.approx(-20 * np.log10(off), rel=1e-5)
    assert rows["b"] == {"relative": 0.0, "sqnr_db": None}
    assert record["damage"]["changed"] == 1 and record["damage"]["compared"] == 2
    assert report.of_files([tmp_path / "net.npz"])["damage"] is None
    text = report.page(record)
    assert "Tensors by their relative error" in text and 'data-from="layers.0.error' in text


def test_a_tensor_that_was_zero_has_no_error_that_json_could_hold(tmp_path):
    jc.save(tmp_path / "net.npz", {"a": np.ones((4, 4), "f"), "b": np.ones((4, 4), "f")})
    zeros = {"a": np.zeros((4, 4), "f"), "b": np.ones((4, 4), "f")}
    record = report.of_files([tmp_path / "net.npz"], against=zeros)
    assert record["layers"][0]["error"] == {"relative": None, "sqnr_db": None}
    json.dumps(record, allow_nan=False)
    report.page(record)
