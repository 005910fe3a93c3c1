"""`run.py` from end to end on a few real images, and every way to be refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxcompress as jc
import run
from pipelines.data import folders, rendered
from pipelines.models.classifier import Classifier
from pipelines.options.plan import plan_of
from pipelines.options.table import settings_of
from pipelines.run import fitting, program
from pipelines.run import job as job_module
from pipelines.run.folder import FolderError, locked
from tests.helpers import archives
from tests.helpers.commands import TINY, interrupt_at, results_of, tiny

ROOT = Path(__file__).parents[2]
STAGES = ["baseline", "pruned", "pruned + tuned", "shared", "shared + tuned", "reloaded", "control"]


def test_results_have_the_documented_fields(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["schema_version"] == 1
    assert (results["data"], results["model"], results["seed"]) == ("digits", "lenet-300-100", 3)
    assert [row["name"] for row in results["stages"]] == STAGES
    for row in results["stages"]:
        assert 0 < row["accuracy"] <= 1 and row["loss"] > 0 and row["seconds"] > 0
        assert row["size_bytes"] > 0 and 0 <= row["sparsity"] < 1
        assert row["flops"] > 2 * 266_000 and row["latency_ms"] > 0 and row["peak_bytes"] > 266_000
    assert results["reload_exact"] is True
    assert results["ratio"] == results["baseline_bytes"] / results["compressed_bytes"] > 20
    assert results["train_images"] == 256 and results["test_images"] == 540
    listed = [line.split(":")[0] for line in page_of_results() if line[:3] == "- `"]
    fields = [name for names in listed for name in names.split("`")[1::2]]
    assert sorted(fields) == sorted(results), "docs/results-json.md lists the fields"
    assert set(results["versions"]) >= {"jax", "numpy", "python"} and results["device"]["kind"]


def page_of_results():
    return (ROOT / "docs" / "results-json.md").read_text().splitlines()


def test_sparsity_and_sharing_are_what_was_asked(finished):
    rows = {
        row["name"]: row for row in json.loads((finished / "results.json").read_text())["stages"]
    }
    prunable = 784 * 300 + 300 * 100 + 100 * 10
    for name in STAGES[1:3]:
        assert rows[name]["sparsity"] == pytest.approx(round(0.9 * prunable) / prunable)
    for name in STAGES[3:-1]:
        assert rows[name]["sparsity"] >= rows["pruned"]["sparsity"]
        assert rows[name]["distinct_weights"] <= 3 * 32
    assert rows["control"]["sparsity"] < 0.01
    assert rows["control"]["size_bytes"] == rows["baseline"]["size_bytes"]


def test_files_are_what_the_table_says(finished):
    results = json.loads((finished / "results.json").read_text())
    rows = {row["name"]: row for row in results["stages"]}
    assert (finished / "baseline.npz").stat().st_size == results["baseline_bytes"]
    assert (finished / "compressed.npz").stat().st_size == results["compressed_bytes"]
    assert rows["shared"]["size_bytes"] == (finished / "stages/shared.npz").stat().st_size
    with np.load(finished / "baseline.npz") as baseline:
        assert sum(baseline[name].size for name in baseline.files) == 266_610
        assert baseline["params/dense1/kernel"].dtype == np.float32
    assert results["baseline_bytes"] < 266_610 * 4 + 2_000
    assert "shared + tuned: accuracy" in (finished / "log.txt").read_text()


def test_the_file_classifies_as_the_results_say(finished):
    from pipelines.data import load

    saved = jc.load(finished / "compressed.npz")
    net = Classifier.from_metadata(jc.inspect(finished / "compressed.npz")["metadata"])
    classify = jax.jit(
        lambda x: net.net.apply(saved["params"], saved.get("stats", {}), net.view(x))
    )
    test = load("digits").test
    accuracy = np.mean(np.argmax(classify(test.images), axis=1) == test.labels)
    results = json.loads((finished / "results.json").read_text())
    assert accuracy == pytest.approx(results["reloaded_accuracy"])


@pytest.mark.slow
def test_predict_names_what_the_file_was_trained_on(finished, tmp_path, capsys):
    from pipelines.data import load

    test = load("digits").test
    weights = finished / "compressed.npz"
    words = ["--model", "lenet-300-100", "--weights", str(weights), "--top", "1", "--predict"]
    for number in range(100):
        path = tmp_path / f"{number}.png"
        path.write_bytes(archives.png(test.images[number]))
        words.append(str(path))
    assert run.main(words) == 0
    names = [line.split(": ")[1].split()[0] for line in capsys.readouterr().out.splitlines()]
    saved = jc.load(weights)
    net = Classifier.from_metadata(jc.inspect(weights)["metadata"])
    logits = net.net.apply(saved["params"], saved.get("stats", {}), net.view(test.images[:100]))
    assert names == [net.classes[label] for label in np.argmax(logits, axis=1)]


def test_a_second_run_in_the_same_folder_is_refused(finished, capsys):
    assert tiny(finished, "--control", "--seed", "3") == 2
    assert "holds a run already; pass --resume" in capsys.readouterr().err


@pytest.mark.slow
def test_a_finished_run_resumes_to_its_table(finished, capsys):
    before = (finished / "compressed.npz").read_bytes()
    assert tiny(finished, "--control", "--seed", "3", "--resume") == 0
    assert "reloaded" in capsys.readouterr().out
    assert (finished / "compressed.npz").read_bytes() == before


def test_resuming_with_other_settings_is_refused(finished, capsys):
    assert tiny(finished, "--control", "--seed", "4", "--sparsity", "0.5", "--resume") == 2
    error = capsys.readouterr().err
    assert "seed 3 then, 4 now" in error and "sparsity 0.9 then, 0.5 now" in error
    assert error.count("\n") == 1


TWICE = "--recipe share --quantizer uniform --seed 5".split()
SMALL = [word for word in TINY if word not in ("--epochs", "2")]


@pytest.mark.slow
def test_a_run_may_start_from_the_file_of_another(tmp_path, finished):
    start = ["--start", str(finished / "compressed.npz")]
    assert run.main([*SMALL, *TWICE, *start, "--out", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    before = json.loads((finished / "results.json").read_text())
    assert results["baseline_accuracy"] == before["reloaded_accuracy"]
    assert results["stages"][0]["sparsity"] == before["stages"][-2]["sparsity"] > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 9])
def test_stopped_by_ctrl_c_it_goes_on_to_the_same_bytes(
    tmp_path, finished, monkeypatch, capsys, stop_after
):
    """Ctrl-C in the middle of an epoch of training, and of fine-tuning."""
    out = tmp_path / "run"
    interrupt_at(monkeypatch, stop_after)
    assert tiny(out, "--control", "--seed", "3") == 130
    said = capsys.readouterr().out
    assert f"go on with: python run.py {' '.join(TINY)} --out {out}" in said
    assert not (out / "compressed.npz").exists()
    assert tiny(out, "--control", "--seed", "3", "--resume") == 0
    for name in ("compressed.npz", "stages/control.npz"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.slow
def test_killed_at_any_time_it_goes_on_to_the_same_bytes(tmp_path, finished):
    """SIGKILL whenever a new checkpoint appears, until a run gets through."""
    out = tmp_path / "run"
    command = [sys.executable, "run.py", *TINY, "--control", "--seed", "3", "--out", str(out)]
    seen, kills = -1, 0
    while not (out / "results.json").exists():
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        command = command if "--resume" in command else [*command, "--resume"]
        while process.poll() is None:
            newest = max((int(p.stem) for p in out.glob("checkpoints/*.json")), default=-1)
            if newest > seen and kills < 6:
                seen, kills = newest + 1, kills + 1
                process.kill()
            time.sleep(0.01)
        assert process.returncode in (0, -signal.SIGKILL)
    assert kills > 2
    assert (out / "compressed.npz").read_bytes() == (finished / "compressed.npz").read_bytes()


@pytest.mark.slow
def test_sigterm_exits_143_after_a_checkpoint(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "run.py", *TINY, "--epochs", "100000", "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while not list(out.glob("checkpoints/*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped in stage baseline; go on with: python run.py" in said


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["gradual+share", "random+share", "prune", "share"])
def test_every_recipe_runs(tmp_path, recipe):
    assert tiny(tmp_path / "run", "--recipe", recipe, "--control") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    rows = {row["name"]: row for row in results["stages"]}
    assert results["reload_exact"] and "control" in rows
    if recipe != "share":
        assert rows["reloaded"]["sparsity"] >= 0.9 - 1e-4
    if recipe != "prune":
        assert rows["reloaded"]["distinct_weights"] <= 3 * 32


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["uniform", "entropy"])
def test_other_quantizers_keep_their_promises(tmp_path, quantizer):
    assert tiny(tmp_path / "run", "--quantizer", quantizer, "--step-size", "0.4") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    asked = results["settings"]
    assert (asked["quantizer"], asked["step"], asked["clusters"]) == (quantizer, 0.4, 0)
    rows = {row["name"]: row for row in results["stages"]}
    assert results["reload_exact"]
    assert rows["shared"]["sparsity"] >= rows["pruned + tuned"]["sparsity"]
    assert rows["shared + tuned"]["sparsity"] >= rows["shared"]["sparsity"]
    assert rows["shared + tuned"]["distinct_weights"] <= rows["shared"]["distinct_weights"]


@pytest.mark.slow
def test_a_step_that_leaves_nothing_still_ends_in_a_table(tmp_path):
    assert tiny(tmp_path / "run", "--quantizer", "entropy", "--step-size", "4") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["stages"][3]["sparsity"] > 0.99


@pytest.mark.slow
def test_kmeans_keeps_its_promises(tmp_path):
    assert tiny(tmp_path / "run", "--clusters", "5") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    rows = {row["name"]: row for row in results["stages"]}
    for name in ("shared", "shared + tuned", "reloaded"):
        assert rows[name]["sparsity"] == rows["pruned"]["sparsity"]
        assert rows[name]["distinct_weights"] == 3 * 5
    assert results["reload_exact"] is True


def test_a_number_of_clusters_asks_for_kmeans():
    data = {"data": "digits", "train_size": 1000}
    plan = plan_of(settings_of(model="cifar", clusters=4), **data)
    assert (plan.quantizer, plan.clusters, "step_size" in plan) == ("kmeans", 4, False)
    plan = plan_of(settings_of(model="cifar"), **data)
    assert (plan.quantizer, "clusters" in plan, plan.step_size) == ("entropy", False, 0.6)


def test_an_unwritable_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert tiny(tmp_path / "file" / "run") == 2
    error = capsys.readouterr().err
    assert "cannot be written" in error and error.count("\n") == 1


def test_two_runs_cannot_write_one_folder(tmp_path, capsys):
    with locked(tmp_path / "run"), pytest.raises(FolderError, match=r"process \d+ on "):
        with locked(tmp_path / "run"):
            pass
    with locked(tmp_path / "run"):
        pass  # free again


@pytest.mark.slow
def test_out_of_memory_names_stage_batch_size_and_remedy(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory while trying to allocate")

    monkeypatch.setattr(fitting, "fit", full)
    assert tiny(tmp_path / "run") == 1
    assert (
        "baseline: out of memory at --batch-size 64; pass --batch-size 32"
        in capsys.readouterr().out
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    ["--lr 1e38", pytest.param("--lr 1e20 --batch-size 256 --epochs 1", marks=pytest.mark.slow)],
)
def test_divergence_is_named(tmp_path, capsys, more):
    assert tiny(tmp_path / "run", *more.split()) == 1
    assert "baseline: the loss is nan; pass a --lr below 1e+" in capsys.readouterr().out
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "baseline.npz").write_text("precious")
    assert tiny(tmp_path) == 2
    assert "holds other files (baseline.npz)" in capsys.readouterr().err
    assert (tmp_path / "baseline.npz").read_text() == "precious"


def test_there_must_be_something_to_resume(tmp_path, capsys):
    assert tiny(tmp_path / "typo", "--resume") == 2
    assert "holds no run to resume" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[]", "{"])
def test_broken_settings_are_refused(tmp_path, capsys, content):
    (tmp_path / "settings.json").write_text(content)
    assert tiny(tmp_path, "--resume") == 2
    assert "settings.json: not readable" in capsys.readouterr().err


@pytest.mark.slow
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job_module.Checkpoints, "save", full)
    assert tiny(tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error and error.count("\n") == 1


@pytest.mark.slow
def test_the_table_is_whole_on_a_narrow_terminal(finished, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert tiny(finished, "--control", "--seed", "3", "--resume") == 0
    said = capsys.readouterr().out
    assert "1,068,082" in said and "pruned + tuned" in said


def test_help_is_a_page(capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    flags = "model data data-dir sparsity quantizer clusters step-size epochs finetune-epochs"
    flags += " batch-size remove-channels rounds round-to group-lasso keep-blocks times-smaller"
    flags += " students"
    for flag in [
        *flags.split(),
        "lr",
        "seed",
        "out",
        "device",
        "recipe",
        "resume",
        "limit",
        "control",
        "image-size",
        "branches",
        "predict",
        "weights",
        "top",
    ]:
        assert f"--{flag}" in text
    assert max(len(line) for line in text.splitlines()) <= 100


# Pictures in folders, and networks that see more than a picture


@pytest.fixture
def isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)


def test_fruits_in_folders(fruits, isolated):
    results = results_of(fruits.out)
    assert [row["name"] for row in results["stages"]] == STAGES[:-1]
    assert results["reload_exact"] and results["reloaded_accuracy"] == 1
    assert (results["data"], results["data_source"]) == ("folder", str(fruits.tree))
    assert (results["data_notice"], results["classes"]) == ("", 3)
    # 60 training pictures, 6 of them for validation, and one of the others cannot be read.
    assert (results["train_images"], results["test_images"]) == (53, 9)
    assert results["settings"]["branches"] == ["shape", "colour"]
    assert results["settings"]["image_size"] == 48
    metadata = jc.inspect(fruits.weights)["metadata"]
    assert metadata["classes"] == ["bananas, ripe", "plum", "Äpfel"]
    assert metadata["branches"] == ["shape", "colour"]


def test_pictures_that_were_left_out_are_counted_and_named(fruits):
    assert results_of(fruits.out)["skipped_images"] == 1
    log = (fruits.out / "log.txt").read_text()
    assert f"*** 1 picture that cannot be read is left out: {fruits.skipped}: cannot be" in log


def test_the_first_of_many_that_were_left_out_are_named():
    said = program._skipped(SimpleNamespace(skipped=("a.png: is empty", "b", "c", "d")))
    assert said == "4 pictures that cannot be read are left out: a.png: is empty | b | c"


@pytest.mark.slow
def test_a_finished_run_of_fruits_resumes_to_its_table(fruits, isolated, capsys):
    assert run.main([*fruits.words, "--resume"]) == 0
    said = capsys.readouterr().out
    assert "fruits on folder, seed 0, recipe prune+share" in said
    for row in results_of(fruits.out)["stages"]:
        assert f" {row['name']} " in said and f"{row['size_bytes']:,}" in said


@pytest.mark.parametrize(
    ("more", "difference"),
    [
        ("--branches colour", "branches ['shape', 'colour'] then, ['colour'] now"),
        ("--image-size 16", "image_size 48 then, 16 now"),
    ],
)
def test_resuming_with_other_inputs_is_refused(more, difference, fruits, isolated, capsys):
    assert run.main([*fruits.words, *more.split(), "--resume"]) == 2
    assert difference in capsys.readouterr().err


@pytest.mark.slow
def test_the_order_of_branches_does_not_matter(fruits, isolated):
    assert run.main([*fruits.words, "--branches", "colour", "shape", "colour", "--resume"]) == 0


def test_other_pictures_are_not_what_was_to_be_resumed(fruits, isolated, tmp_path, capsys):
    tree = shutil.copytree(fruits.tree, tmp_path / "tree")
    archives.write_square(tree / "Training" / "plum" / "05.png", (1, 2, 3), 4)
    assert run.main([*fruits.words, "--data-dir", str(tree), "--resume"]) == 2
    assert "data_fingerprint '" in capsys.readouterr().err


@pytest.mark.slow
def test_without_fruits360_there_is_rendered_fruit(isolated, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(rendered, "_SIZES", {"train": 8, "validation": 4, "test": 4})
    words = "--model fruits --branches colour --recipe prune --epochs 1 --finetune-epochs 1"
    assert run.main([*words.split(), "--batch-size", "8", "--out", str(tmp_path / "run")]) == 0
    notice = (
        "Fruits-360 was not found and nobody answered: using a rendered stand-in, not Fruits-360:"
        " fruit drawn by a program."
    )
    results = results_of(tmp_path / "run")
    assert (results["data"], results["data_notice"]) == ("rendered_fruits", notice)
    assert results["classes"] == 131 and results["train_images"] == 8
    said, log = capsys.readouterr().out, (tmp_path / "run" / "log.txt").read_text()
    for text in (said, log):
        assert text.count(f"*** {notice}") == 1
        caption = text[text.rindex("┘") :]
        assert "not Fruits-360" in " ".join(caption.split())
    metadata = jc.inspect(tmp_path / "run" / "compressed.npz")["metadata"]
    # Why it was chosen changes from one machine to the next; the bytes must not.
    assert (metadata["data"], metadata["notice"]) == ("rendered_fruits", rendered.NOTICE)


def interrupt_first_call(monkeypatch, module, name):
    function = getattr(module, name)

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGINT)
        monkeypatch.setattr(module, name, function)
        return function(*args)

    monkeypatch.setattr(module, name, interrupted)


def test_ctrl_c_while_pictures_are_read(fruits, isolated, monkeypatch, tmp_path, capsys):
    interrupt_first_call(monkeypatch, folders, "read_picture")
    out = tmp_path / "run"
    assert run.main([*fruits.words, "--out", str(out)]) == 130
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "run.py: interrupted; nothing was trained yet, run it again."
    assert not out.exists() and not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.slow
def test_ctrl_c_while_inputs_are_computed(fruits, isolated, monkeypatch, tmp_path, capsys):
    from pipelines.models import table

    interrupt_first_call(monkeypatch, table, "extract")
    out = tmp_path / "run"
    words = [*fruits.words, "--out", str(out)]
    assert run.main(words) == 130
    said = capsys.readouterr().out
    assert "stopped in stage baseline; go on with: python run.py" in said
    assert (out / "settings.json").exists() and not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.slow
def test_all_branches_together(fruits, isolated, tmp_path):
    words = "--branches picture texture edges shape colour --image-size 16 --control"
    out = tmp_path / "run"
    assert run.main([*fruits.words, *words.split(), "--out", str(out)]) == 0
    results = results_of(out)
    assert [row["name"] for row in results["stages"]] == STAGES
    assert results["reload_exact"] and results["control_accuracy"] == 1
    everything = "picture texture edges shape colour".split()
    assert results["settings"]["branches"] == everything
    assert set(jc.load(out / "compressed.npz")["params"]) == {*everything, "fuse", "classify"}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["gradual+share", "random+share", "prune"])
def test_every_recipe_runs_on_features(recipe, fruits, isolated, tmp_path):
    words = [*fruits.words, "--out", str(tmp_path / "run"), "--recipe", recipe]
    assert run.main(words) == 0
    results = results_of(tmp_path / "run")
    assert results["reload_exact"] and results["stages"][-1]["sparsity"] >= 0.5 - 1e-4


@pytest.mark.slow
def test_sharing_alone_runs_on_features(fruits, isolated, tmp_path):
    words = [word for word in fruits.words if word not in ("--sparsity", "0.5")]
    assert run.main([*words, "--out", str(tmp_path / "run"), "--recipe", "share"]) == 0
    assert results_of(tmp_path / "run")["reload_exact"]
