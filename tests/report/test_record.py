"""Every number of a record, counted again by a program that shares nothing with it."""

import base64
import io
import json

import jax
import numpy as np
import pytest
from PIL import Image

import jaxcompress as jc
from jaxcompress import report
from jaxcompress.report._intervals import paired, wilson
from jaxcompress.report._layers import renamed_blocks
from jaxcompress.report._png import mask_picture, png
from jaxcompress.report._profile import profile_record
from jaxcompress.report._tensors import histogram
from pipelines.run import page as page_module
from tests.helpers.commands import results_of
from tests.helpers.program import refused, run
from tests.report.checker import check_run
from tests.report.folders import EVIL, make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("report") / "run")
    report.write(folder / "report.html", report.of_run(folder))
    return folder


def known(path):
    """Arrays and symbols of a file as the library reads them."""
    tree = jc.load_compressed(path)
    is_leaf = jc.leaves.is_compressed
    pairs = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)[0]
    leaves = {"/".join(str(key.key) for key in keys): leaf for keys, leaf in pairs}
    codes = {
        name: np.asarray(leaf.values).astype(int)
        for name, leaf in leaves.items()
        if isinstance(leaf, jc.Quantized) and leaf.zero_point is None
    }
    return {name: np.asarray(jc.dense(leaf)) for name, leaf in leaves.items()}, codes


def test_the_checker_counts_the_same(folder):
    assert check_run(folder) >= 3, "read without the library"
    assert check_run(folder, *known(folder / "compressed.npz")) == 6


def test_the_checker_counts_the_same_of_coded_streams(tmp_path):
    folder = make(tmp_path / "run", layout="entropy")
    report.write(folder / "report.html", report.of_run(folder))
    assert check_run(folder, *known(folder / "compressed.npz")) == 6


def test_the_checker_finds_what_is_wrong(folder, tmp_path):
    other = make(tmp_path / "run")
    told = json.loads((folder / "report.json").read_text())
    told["layers"][2]["after"]["nonzero"] += 1
    (other / "report.json").write_text(json.dumps(told))
    with pytest.raises(AssertionError):
        check_run(other, *known(other / "compressed.npz"))


def test_a_real_run_writes_its_report(finished):
    """A run of `run.py`: numbers of all files, the answers, lines while it ran."""
    arrays, codes = known(finished / "compressed.npz")
    assert check_run(finished, arrays, codes) == len(arrays)
    told = json.loads((finished / "report.json").read_text())
    assert told == json.loads(json.dumps(report.of_run(finished))), "the same for the same folder"
    results = results_of(finished)
    found = told["mistakes"]
    right = sum(row["right_after"] for row in found["classes"])
    assert right == round(results["reloaded_accuracy"] * 540) and len(found["pictures"]) == 12
    assert sum(map(sum, found["confusion"])) == 0
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    ended = [line for line in lines if "test_accuracy" in line]
    assert [line["stage"] for line in ended] == [row["name"] for row in results["stages"]]
    assert [line.get("epoch") for line in lines[:3]] == [1, 2, None]
    assert (finished / "report.html").stat().st_size < 1_000_000
    assert "license" in (finished / "model_card.md").read_text().splitlines()[1]


def test_a_record_of_an_older_version_is_replaced(tmp_path):
    folder = make(tmp_path / "run")
    record = report.of_run(folder)
    older = {name: value for name, value in record.items() if name not in ("search", "seeds")}
    (folder / "report.json").write_text(json.dumps(older))
    report.write(folder / "report.html", record)
    assert "seeds" in json.loads((folder / "report.json").read_text())


def test_a_page_that_cannot_be_written_fails_no_run(tmp_path):
    said = []
    console = type("Console", (), {"loud": lambda _, text: said.append(text)})()
    page_module.write_page(tmp_path, console, lambda: None)
    assert len(said) == 1 and said[0].startswith("report.html: is not written (")


def test_what_happened_to_each_layer(folder):
    told = json.loads((folder / "report.json").read_text())
    rows = {row["path"]: row for row in told["layers"]}
    assert rows["params/conv1/kernel"]["change"] == "cut"
    assert rows["params/gone/kernel"]["change"] == "removed"
    assert rows["params/dense1/kernel"]["after"]["form"] == "clustered"
    assert rows["params/conv1/bias"]["why"] == "outside of the scope"
    assert {"path": "params/conv1/kernel", "before": [3, 3, 4, 16], "after": [3, 3, 4, 12]} in told[
        "structure"
    ]
    assert told["profile"]["layers"][0]["path"] == f"params/{EVIL}/kernel", "the worst first"
    assert [each["on_front"] for each in told["profile"]["tried"]] == [True, True, False]
    assert told["warnings"] == [
        "compressed.npz is not the file that results.json describes",
        "budget missed: bytes",
    ]


def test_mistakes_are_counted(folder):
    found = json.loads((folder / "report.json").read_text())["mistakes"]
    # 0-19 only before wrong, 20-39 both, 40-67 only after
    assert (found["better"], found["worse"], found["samples"]) == (20, 28, 400)
    assert found["changed"] == 68
    assert found["points"]["value"] == -2.0
    assert found["pictures"][1]["label"] in (EVIL, "b&b", "c")


def test_intervals_by_hand():
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)
    low, high = paired(3, 3, 100)
    assert low == -high == pytest.approx(-1.96 * 6**0.5 / 100, rel=1e-4)


def test_histograms_leave_out_zeros_and_what_is_not_finite():
    found = histogram(None, np.array([0.0, np.nan, -1.0, 1.0, np.inf]))
    assert found["after"][0] == found["after"][-1] == 1 and sum(found["after"]) == 2
    assert found["zeros_after"] == 1 and found["before"] is None
    assert histogram(None, np.zeros(3)) is None
    assert sum(histogram(np.full(4, 2.0), np.full(2, 2.0))["after"]) == 2
    huge = np.array([-3e38, 3e38, 1e308])
    assert sum(histogram(None, huge)["after"]) == 3


def test_pictures_are_png_of_the_same_pixels():
    for shape in ((5, 7, 3), (4, 9)):
        pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        np.testing.assert_array_equal(Image.open(io.BytesIO(png(pixels))), pixels)
    kernel = np.zeros((3, 3, 32, 100))
    kernel[0, 0, :, :50] = 1
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask_picture(kernel)))))
    assert seen.shape == (64, 64) and seen[0, 0] == 255 and seen[0, -1] == seen[-1, 0] == 0
    assert abs(seen.mean() / 255 - kernel.mean()) < 0.01


def test_dropped_blocks_are_compared_with_what_they_were():
    paths = ["blocks/0/w", "blocks/1/w", "head/w"]
    assert renamed_blocks(paths, [0, 3]) == {"blocks/1/w": "blocks/3/w"}


# Bad input: one line each


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("results.json", "{", "results.json: must be JSON, got "),
        ("results.json", "[]", "results.json: it must be an object, got \\[\\]"),
        ("results.json", '{"data": 1}', "results.json: data must be a text, got 1"),
        ("plan.json", '{"name": "x"}', "plan.json: cut must be an object, got nothing"),
        ("profile.json", '{"networks": [1]}', "profile.json: kept must be an object"),
        ("baseline.npz", "no zip", "baseline.npz: must be arrays of numpy, got "),
        ("compressed.npz", "no zip", "compressed.npz: "),
        ("answers.npz", "no zip", "answers.npz: must be arrays of numpy"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, name, change, said):
    folder = make(tmp_path / "run")
    (folder / name).write_text(change)
    with pytest.raises(ValueError, match=said) as caught:
        report.of_run(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("baseline_bytes", 0),
        ("test_images", "5"),
        ("ratio", float("nan")),
        ("stages", []),
        ("schema_version", 2),
        ("checks", [{"name": "x"}]),
        ("stages", [{"name": "baseline"}]),
        ("ratio", 10**400),
    ],
)
def test_results_that_are_none_are_refused(folder, tmp_path, field, value):
    told = json.loads((folder / "results.json").read_text()) | {field: value}
    (tmp_path / "results.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="results.json: "):
        report.of_run(tmp_path)


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(ValueError, match="must hold results.json, got none"):
        report.of_run(tmp_path)
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(ValueError, match="must be finished.*--resume"):
        report.of_run(tmp_path)
    with pytest.raises(ValueError, match="got nothing"):
        report.of_run(tmp_path / "none")


def test_a_profile_without_choices_is_refused(tmp_path):
    network = {"name": "w", "tensors": [{"path": "a", "shape": [1], "choices": []}], "anchors": []}
    told = {"networks": [network], "kept": {}, "limits": []}
    with pytest.raises(ValueError, match="p.json: a must have choices, got none"):
        profile_record(tmp_path / "p.json", told, None)


# The command


def test_the_command_reports_runs_files_and_plans(folder, tmp_path):
    done = run("report", folder, "-o", tmp_path / "page.html")
    assert done.out.endswith("beside it page.json, page.model_card.md\n")
    assert (tmp_path / "page.json").read_text() == (folder / "report.json").read_text()
    file = folder / "compressed.npz"
    run("report", file, "--against", folder / "baseline.npz", "-o", tmp_path / "file.html")
    told = json.loads((tmp_path / "file.json").read_text())
    shapes = {row["path"]: row["before"]["shape"] for row in told["layers"]}
    assert shapes["params/conv1/kernel"] == [3, 3, 4, 16]
    run("report", folder / "plan.json", folder / "profile.json", "-o", tmp_path / "plan.html")
    told = json.loads((tmp_path / "plan.json").read_text())
    assert told["kind"] == "plan" and told["profile"]["layers"]
    assert not (tmp_path / "plan.model_card.md").exists()


def test_the_command_refuses_what_it_cannot_report(folder, tmp_path):
    assert "must end in .html" in refused("report", folder, "-o", tmp_path / "page.txt")
    assert "--against" in refused("report", folder, "--against", folder / "baseline.npz")
    assert "must be the folder" in refused("report", folder, folder / "plan.json")
    assert "one profile" in refused("report", *[folder / "plan.json"] * 3)
    assert "neither" in refused("report", folder / "results.json")
    assert "finished" not in refused("report", tmp_path)
    refused("report", folder / "baseline.npz", status=3)
    taken = (folder / "results.json").read_text()
    assert "must be a report" in refused("report", folder, "-o", folder / "results.html")
    assert (folder / "results.json").read_text() == taken
