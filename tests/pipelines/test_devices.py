"""Several devices, and several processes, that divide each batch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import run
from pipelines.errors import FolderError, SettingsError
from pipelines.models.devices import ALONE, Division, divided
from pipelines.run import device, processes
from pipelines.run.processes import Processes
from tests.helpers.commands import TINY, refusal, results_of
from tests.helpers.forks import Forks
from tests.helpers.processes import free_port

ROOT = Path(__file__).parents[2]

# One device


def test_one_device_computes_as_without_a_mesh():
    tree = {"a": np.arange(6)}
    for method in (ALONE.rows, ALONE.near_rows, ALONE.whole, ALONE.pinned, ALONE.home):
        assert method(tree) is tree
    assert (ALONE.count, ALONE.processes, ALONE.padded(7)) == (1, 1, 7)
    found, division = divided(jax.devices()[:1], 64)
    assert found is ALONE and division == Division(images=64)


def fakes(*processes):
    return [SimpleNamespace(process_index=process) for process in processes]


@pytest.mark.parametrize(
    ("found", "images", "expected"),
    [
        (fakes(0, 0, 0), 1, (1, 1, 2)),  # an image goes to one
        (fakes(0, 0, 0), 7, (1, 1, 2)),
    ],
)
def test_devices_by_which_a_batch_does_not_divide_are_idle(found, images, expected):
    division = divided(found, images)[1]
    assert (division.processes, division.devices, division.idle) == expected


def test_the_division_is_said_in_words_and_in_numbers():
    division = Division(images=64, processes=2, devices=4, idle=2)
    assert division.sentence() == (
        "batches of 64 images on 4 devices of 2 processes, 16 images each; 2 more are idle, as 64 "
        "images do not divide by 6: pass --batch-size 60 to use all"
    )
    assert division.as_json() == {
        "images": 64,
        "processes": 2,
        "devices": 4,
        "images_a_device": 16,
        "idle_devices": 2,
    }


# Refusals

PAIR = "--coordinator localhost:1 --process 0 --processes 2"
REFUSED = {
    "--devices 9999": "--devices: must be at most ",
    "--devices 0": "--devices: must be at least 1, got 0",
    "--process 0": "--coordinator: goes with --process and --processes; pass all three",
    "--coordinator localhost:1 --processes 2": "--coordinator: goes with --process",
    PAIR.replace("localhost:1", "localhost"): "--coordinator: must be HOST:PORT, got 'localhost'",
    PAIR.replace(":1", ":99999"): "--coordinator: must be HOST:PORT, got 'localhost:99999'",
    PAIR.replace("--process 0", "--process 2"): "--process: must be below the 2 processes, got 2",
    PAIR.replace("--process 0", "--process -1"): "--process: must be at least 0, got -1",
    f"{PAIR} --recipe auto --size 9KB": "--processes: recipe auto decides by times",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_work_is_refused(words, tmp_path, capsys):
    assert f"run.py: {REFUSED[words]}" in refusal([*TINY, *words.split()], tmp_path, capsys)


def test_devices_may_be_all_or_a_number(capsys):
    with pytest.raises(SystemExit):
        run.main([*TINY, "--devices", "some"])
    assert "--devices: must be all or a number, got 'some'." in capsys.readouterr().err


def test_a_batch_must_divide_by_the_processes(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(SettingsError, match="multiple of the 3 processes, got 64; .* 63"):
        device.divide(64, most=None, platform="cpu")


def test_what_the_first_process_sends_the_others_have(tmp_path):
    """Arrays of every kind to the bit, notes, and files of stages; no log, no checkpoints."""
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "stages").mkdir(parents=True)
    (here / "checkpoints").mkdir()
    for name in ("baseline.npz", "stages/pruned.npz", "log.txt", "checkpoints/1", ".lock"):
        (here / name).write_text(name)
    bfloat16 = np.arange(3).astype(jax.numpy.bfloat16)
    arrays = {"work": {"a": np.array([True, False]), "b": bfloat16}, "fit": {"0": np.int32(3)}}
    content = processes.pack(arrays, {"rows": [1.5, None]}, here)
    found, notes = processes.unpack(content, there)
    assert notes == {"rows": [1.5, None]}
    assert found["work"]["b"].dtype == bfloat16.dtype and found["work"]["a"].tolist() == [1, 0]
    assert found["work"]["b"].tobytes() == bfloat16.tobytes() and found["fit"]["0"] == 3
    names = sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    assert names == ["baseline.npz", "stages/pruned.npz"]


# Several devices

SAME_STEP = """
import jax, numpy as np, optax
from pipelines.models import MODELS, Shape
from pipelines.models.devices import ALONE, divided
from pipelines.models.train import TrainState, copied, make_logits, make_step

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
labels = rng.integers(0, 10, 12).astype(np.int32)
model = MODELS["resnet20"]
net, tx = model.build(Shape(classes=10, image_size=32)), optax.sgd(0.1)
params, stats = net.init(jax.random.key(0))
found = {}
for count in (1, 2, 4):
    devices, division = divided(jax.devices()[:count], 12)
    assert (devices.count, division.devices) == (count, count)
    step = make_step(net, model.view, tx, devices=devices)
    state = devices.whole(TrainState(*copied((params, stats, tx.init(params)))))
    state, loss, accuracy = step(state, *devices.rows((images, labels)))
    assert all(len(leaf.sharding.device_set) == count for leaf in jax.tree.leaves(state))
    state = devices.home(state)
    assert all(len(leaf.sharding.device_set) == 1 for leaf in jax.tree.leaves(state))
    logits = make_logits(net, model.view, 5, devices)(state.params, state.stats, images[:7])
    found[count] = (state, loss, accuracy, logits)
for count in (2, 4):
    for one, other in zip(*map(jax.tree.leaves, (found[1], found[count])), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=3e-4)
"""


@pytest.mark.slow
def test_a_step_with_norms_is_that_of_one_device():
    """Norms take means over the whole batch, not over the rows of a device."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", SAME_STEP], cwd=ROOT, env=os.environ | {"XLA_FLAGS": flags}
    )
    assert done.returncode == 0


@pytest.fixture(scope="module")
def four():
    with Forks(devices=4) as forks:
        yield forks


def accuracies(folder):
    return [row["accuracy"] for row in results_of(folder)["stages"]]


RECIPES = {
    "distill": "--times-smaller 8",
    "int8": "--weight-bits 4",
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_four_devices_are_as_good_as_one(recipe, four, tmp_path):
    if recipe == "int8":
        pytest.importorskip("jax2onnx")
        pytest.importorskip("onnxruntime")
    words = [*TINY, "--recipe", recipe, *RECIPES[recipe].split(), "--no-program", "--out"]
    for count in (1, 4):
        out = tmp_path / str(count)
        status, said = four.run([*words, out, "--devices", count], tmp_path / "said")
        assert status == 0, said
    assert results_of(tmp_path / "4")["batch"]["images_a_device"] == 16
    one, many = accuracies(tmp_path / "1"), accuracies(tmp_path / "4")
    np.testing.assert_allclose(one, many, atol=0.03)  # 16 of the 540 test images
    assert "batches of 64 images on 4 devices, 16 images" in (tmp_path / "4/log.txt").read_text()
    assert "batches of" not in (tmp_path / "1/log.txt").read_text()


@pytest.mark.slow
def test_a_run_stopped_on_four_devices_goes_on_with_two(four, tmp_path):
    words = [*TINY, "--epochs", "6", "--no-program", "--out"]
    status, said = four.run([*words, tmp_path / "whole", "--devices", 4], tmp_path / "said")
    assert status == 0, said
    out = tmp_path / "parts"
    process = four.start([*words, out, "--devices", 4], tmp_path / "said")
    while not list(out.glob("checkpoints/*.json")):
        time.sleep(0.02)
    os.kill(process, signal.SIGTERM)
    assert four.wait(process) == 143
    (notes,) = [json.loads(path.read_text())["notes"] for path in newest(out)]
    assert not notes["rows"] and 0 < notes["position"][0] < 6, "in the middle of a training"
    for count in (2, 1):  # with one device it does all that is left, which is nothing
        status, said = four.run([*words, out, "--devices", count, "--resume"], tmp_path / "said")
        assert status == 0, said
        assert results_of(out)["batch"]["devices"] == count
    np.testing.assert_allclose(accuracies(out), accuracies(tmp_path / "whole"), atol=0.03)


def newest(out):
    return sorted(out.glob("checkpoints/*.json"))[-1:]


# Several processes


@pytest.fixture(scope="module")
def forks():
    with Forks() as forks:
        yield forks


def start_two(forks, words, place):
    """Two processes of one run, which say what they say in files."""
    where = ["--coordinator", f"localhost:{free_port()}", "--processes", "2"]
    return [
        forks.start([*words, *where, "--process", number], place / f"said{number}")
        for number in range(2)
    ]


PAIRED = [*TINY, "--epochs", "4", "--no-program", "--out"]


@pytest.mark.slow
def test_two_processes_are_as_good_as_one_and_the_first_writes(forks, tmp_path):
    status, said = forks.run([*PAIRED, tmp_path / "one"], tmp_path / "said")
    assert status == 0, said
    both = start_two(forks, [*PAIRED, tmp_path / "two"], tmp_path)
    assert [forks.wait(process) for process in both] == [0, 0]
    assert results_of(tmp_path / "two")["batch"]["processes"] == 2
    assert (tmp_path / "said1.out").read_text() in ("", GREETING)
    one, two = accuracies(tmp_path / "one"), accuracies(tmp_path / "two")
    np.testing.assert_allclose(one, two, atol=0.03)


GREETING = "[Gloo] Rank 1 is connected to 1 peer ranks. Expected number of connected peer ranks is "
GREETING += ": 1\n"


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--seed", "--devices"])
def test_processes_that_differ_are_all_refused(option, four, tmp_path):
    where = ["--coordinator", f"localhost:{free_port()}", "--processes", "2"]
    both = [
        four.start(
            [*PAIRED, tmp_path / "run", *where, "--process", n, option, n + 1],
            tmp_path / f"said{n}",
        )
        for n in range(2)
    ]
    assert [four.wait(process) for process in both] == [2, 2]
    for number in range(2):
        said = (tmp_path / f"said{number}.err").read_text()
        assert "run.py: --processes: all must have the same settings" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", [OSError, FolderError])
def test_where_the_first_process_cannot_write_the_others_are_told(kind, monkeypatch):
    told = []

    def fail():
        raise kind("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Processes, "told", lambda _, content=b"": told.append(content) or content)
        with pytest.raises(kind, match="^no room"):
            Processes(0, 2).from_first(fail)
    monkeypatch.setattr(Processes, "told", lambda _, content=b"": told.pop())
    with pytest.raises(FolderError, match="^process 0: no room"):
        Processes(1, 2).from_first(fail)


@pytest.mark.slow
def test_two_processes_stopped_and_killed_go_on_to_the_same_bytes(forks, tmp_path):
    """SIGTERM for one stops both; where one is killed, the other says so in one line."""
    out, whole = tmp_path / "run", tmp_path / "whole"
    both = start_two(forks, [*PAIRED, whole], tmp_path)
    assert [forks.wait(process) for process in both] == [0, 0]
    resume = []
    for number, kind in ((1, signal.SIGTERM), (1, signal.SIGKILL), (0, signal.SIGKILL)):
        before = newest(out)
        both = start_two(forks, [*PAIRED, out, *resume], tmp_path)
        while newest(out) == before:
            time.sleep(0.02)
        os.kill(both[number], kind)
        found = [forks.wait(process) for process in both]
        if kind == signal.SIGTERM:
            assert found == [143, 143]
        else:
            # JAX may end the other one itself (SIGABRT) before a collective says what happened.
            assert found[number] == -signal.SIGKILL and found[1 - number] in (1, -signal.SIGABRT)
            said = (tmp_path / f"said{1 - number}.err").read_text()
            if found[1 - number] == 1:
                assert "run.py: another process ended; start all of them again" in said
                assert "Traceback" not in said
        resume = ["--resume"]
    both = start_two(forks, [*PAIRED, out, "--resume"], tmp_path)
    assert [forks.wait(process) for process in both] == [0, 0]
    for name in ("baseline.npz", "compressed.npz"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
