"""What `run.py` is given: names that could steer a terminal, files that never end, signals."""

import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.table import Table

import jaxcompress as jc
import run
from pipelines.data import DataError, load
from pipelines.data.cache import cached
from pipelines.options.settings import Settings
from pipelines.run import fitting
from pipelines.run.console import Console
from pipelines.run.folder import claim, locked
from pipelines.run.identity import FORMAT
from pipelines.run.report import table
from pipelines.run.row import Row
from tests.helpers import archives
from tests.helpers.commands import IMPORTED, TINY, tiny

pytestmark = pytest.mark.slow  # whole runs and processes

ROOT = Path(__file__).parents[2]

STEERING = "\x1b]0;x\x07\x9b\x7f\u202e\u2066\u200b\u2028"
NAME = f"a{STEERING}b"


def check_harmless(text):
    """Nothing but printable lines, and what was foreign is there, as escapes."""
    assert all(line.isprintable() for line in text.split("\n")), repr(text)
    assert "\\x1b]0;x\\x07\\x9b" in text


@pytest.fixture
def say(capsys):
    """Runs the command line: status, stdout, stderr."""

    def main(*words):
        capsys.readouterr()
        status = run.main([str(word) for word in words])
        return (status, *capsys.readouterr())

    return main


# Terminal escapes


def predict(weights, *pictures):
    return ["--model", "fruits", "--weights", weights, "--predict", *pictures]


@pytest.fixture
def steering(fruits, tmp_path):
    """The file of a run with steering names: of a tensor, and of a class."""
    tree, metadata = jc.load(fruits.weights), jc.inspect(fruits.weights)["metadata"]
    classes = [NAME, *metadata["classes"][1:]]
    jc.save(tmp_path / "class.npz", tree, metadata=metadata | {"classes": classes})
    more = tree | {"params": tree["params"] | {NAME: np.ones(2, np.float32)}}
    jc.save(tmp_path / "tensor.npz", more, metadata=metadata)
    jc.save(tmp_path / "model.npz", tree, metadata=metadata | {"model": NAME})
    jc.save(tmp_path / "notice.npz", tree, metadata=metadata | {"notice": NAME})
    return tmp_path


@pytest.mark.parametrize("what", ["tensor", "model"])
def test_predict_refuses_a_file_without_printing_its_names_raw(steering, fruits, say, what):
    picture = fruits.test_pictures()[0][1]
    status, out, err = say(*predict(steering / f"{what}.npz", picture))
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert all(line.isprintable() for line in err.split("\n"))
    if what == "tensor":
        check_harmless(err)


def test_classes_and_notices_of_a_file_are_escaped(steering, fruits, say):
    pictures = [path for _, path in fruits.test_pictures()]
    status, out, _ = say(*predict(steering / "class.npz", *pictures))
    assert status == 0 and out.count("\n") == len(pictures)
    check_harmless(out)
    check_harmless(say(*predict(steering / "notice.npz", pictures[0]))[2])


def test_paths_of_pictures_are_escaped(fruits, say, tmp_path):
    good, bad = tmp_path / f"{NAME}.png", tmp_path / f"{NAME}\udce9.gif"
    shutil.copy(fruits.test_pictures()[0][1], good)
    bad.write_text("no picture")
    status, out, err = say(*predict(fruits.weights, good, bad))
    assert status == 1 and out.count("\n") == err.count("\n") == 1
    check_harmless(out)
    check_harmless(err)
    assert "\\udce9" in err


@pytest.mark.parametrize("flag", ["--weights", "--start", "--out", "--data-dir", "--branches"])
def test_words_of_the_command_line_are_escaped(say, tmp_path, flag):
    (tmp_path / "file").write_text("")
    value = tmp_path / "file" / NAME
    words = {
        "--weights": ["--predict", "a.png", flag, value],
        "--start": ["--data", "digits", flag, value],
        "--out": ["--data", "digits", flag, value],
        "--data-dir": ["--data", "cifar10", flag, value],
        "--branches": ["--model", "fruits", flag, f"z{value}"],
    }[flag]
    status, out, err = say("--model", "lenet-300-100", *words)
    assert (status, out) == (2, "") and err.count("\n") == 1
    check_harmless(err)


def test_words_that_nobody_knows_are_escaped(capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main(["--model", "cifar", NAME])
    assert stopped.value.code == 2
    check_harmless(capsys.readouterr().err)


def test_start_refuses_a_file_without_printing_its_names_raw(say, fruits, steering, monkeypatch):
    archives.isolate(monkeypatch, steering)
    words = [*fruits.words[:-1], steering / "run", "--start", steering / "tensor.npz"]
    words = [word for word in words if word not in ("--epochs",)]
    words.remove("6")
    status, _, err = say(*words)
    assert status == 2
    check_harmless(err)


@pytest.mark.parametrize("form", [FORMAT, NAME])
def test_settings_of_a_run_are_escaped(say, tmp_path, form):
    with locked(tmp_path):
        claim(tmp_path, {"format": form, NAME: NAME * 100, "seed": [NAME]}, resume=False)
    status, _, err = say(*TINY, "--out", tmp_path, "--resume")
    assert status == 2 and err.count("\n") == 1
    check_harmless(err)


def test_the_console_and_its_log_show_nothing_raw(tmp_path):
    stream = io.StringIO()
    console = Console(stream)
    with console.log_to(tmp_path / "log.txt"):
        console.line(f"{NAME} [bold]é[/bold] :smile:\nsecond")
        console.loud(NAME)
        with console.progress(NAME, 2) as update:
            update(1, lambda: NAME)
    for text in (stream.getvalue(), (tmp_path / "log.txt").read_text("utf-8")):
        check_harmless(text)
        assert "[bold]é[/bold] :smile: second" in text


def test_the_table_shows_a_notice_as_it_is():
    dataset = SimpleNamespace(name="d", notice=f"{NAME} [red]said[/red] [x")
    shown = table(Settings(model="m", recipe="r", seed=0), dataset, rows())
    assert isinstance(shown, Table)
    stream = io.StringIO()
    Console(stream).table(shown)
    check_harmless(stream.getvalue())
    assert "[red]said[/red] [x" in stream.getvalue()


def rows():
    numbers = dict.fromkeys(("accuracy", "loss", "validation_accuracy", "sparsity"), 0.5)
    numbers |= dict.fromkeys(("distinct_weights", "size_bytes", "flops", "peak_bytes"), 1)
    return [Row(name="baseline", sha256="", latency_ms=1.0, seconds=1.0, **numbers)]


def test_a_traceback_shows_nothing_raw(capsys):
    try:
        raise KeyError(NAME)
    except KeyError as error:
        run._show_fault(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert "Traceback" in said and all(line.isprintable() for line in said.split("\n"))


# Files that never end


@pytest.fixture
def pipe(tmp_path):
    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        return path

    return make


def test_pictures_that_are_pipes_are_named_at_once(fruits, say, pipe):
    good = fruits.test_pictures()[0][1]
    status, out, err = say(*predict(fruits.weights, pipe("a.png"), good))
    assert status == 1 and out.startswith(str(good)) and "a.png: is no file" in err


@pytest.mark.parametrize("flag", ["--weights", "--start"])
def test_weights_that_are_pipes_are_refused_at_once(say, pipe, flag):
    words = ["--predict", "a.png"] if flag == "--weights" else ["--data", "digits"]
    status, _, err = say("--model", "lenet-300-100", *words, flag, pipe("w.npz"))
    assert status == 2 and "w.npz" in err and err.count("\n") == 1


def test_pictures_of_a_class_that_are_pipes_count_as_unreadable(fruits, monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)
    tree = shutil.copytree(fruits.tree, tmp_path / "tree")
    os.mkfifo(tree / "Training" / "plum" / "pipe.png")
    assert any("pipe.png: is no file" in text for text in load("folder", data_dir=tree).skipped)


ARCHIVES = {
    "cifar10.npz": "cifar10",
    "other.npz": "cifar10",
    "cifar-10-binary.tar.gz": "cifar10",
    "cifar-10-python.tar.gz": "cifar10",
    "cifar-10-batches-bin/data_batch_1.bin": "cifar10",
    "cifar10/3.0.2/dataset_info.json": "cifar10",
    "train-images-idx3-ubyte.gz": "fashion_mnist",
    "train-images-idx3-ubyte": "fashion_mnist",
    "Training": "folder",
}


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_are_pipes_are_refused_at_once(pipe, tmp_path, name, direct):
    path = pipe(name)
    with pytest.raises(DataError):
        load(ARCHIVES[name], data_dir=path if direct else tmp_path)


def test_a_pipe_in_the_cache_is_replaced(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)

    def make(create):
        create("a", (2,), np.uint8)[:] = 7

    cached("kind", {"k": 1}, make)
    (path,) = (tmp_path / "cache").rglob("a.npy")
    path.unlink()
    os.mkfifo(path)
    assert cached("kind", {"k": 1}, make)["a"].tolist() == [7, 7]


# The system, and signals


def test_a_looping_link_for_a_folder_is_refused(tmp_path, capsys):
    (tmp_path / "loop").symlink_to("loop")
    for out in (tmp_path / "loop", tmp_path / "loop" / "run"):
        assert tiny(out) == 2
        error = capsys.readouterr().err
        assert f"{out}: cannot be written (" in error and error.count("\n") == 1


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
@pytest.mark.parametrize("said", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_names_the_folder(tmp_path, monkeypatch, capsys, kind, said):
    def full(*_, **__):
        raise kind(f"INTERNAL: write failed: {said} [28]")

    monkeypatch.setattr(fitting, "fit", full)
    assert tiny(tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert error == f"run.py: {tmp_path / 'run'}: {said}; {GO_ON}\n"


GO_ON = "what was saved stays, --resume goes on from there."


def test_a_full_log_is_named(tmp_path):
    class Full(io.StringIO):
        name = "run/log.txt"

        def flush(self):
            raise OSError(28, "No space left on device")

    console = Console(io.StringIO())
    console._log = Full()
    with pytest.raises(OSError, match="No space left on device: 'run/log.txt'"):
        console.line("text")


PROGRAM = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
sys.argv[1:] = ["--model", "lenet-300-100", "--data", "digits"]
runpy.run_path("run.py", run_name="__main__")
"""


@pytest.mark.parametrize("library", ["jax", "numpy", "orbax", "flax"])
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_while_libraries_are_imported(tmp_path, library, name, status):
    (tmp_path / f"{library}.py").write_text(IMPORTED)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "SIGNAL": name},
        timeout=100,
    )
    assert (done.returncode, done.stderr, done.stdout) == (status, "run.py: interrupted.\n", "")


def test_an_ignored_signal_stays_ignored(tmp_path):
    """As of a job in the background, until the run itself takes signals to stop politely."""
    before = signal.getsignal(signal.SIGINT)
    assert run._leave not in (before, signal.getsignal(signal.SIGTERM))
    program = PROGRAM.replace("default_int_handler", "SIG_IGN").replace("sys.argv[1:] = [", "_ = [")
    (tmp_path / "numpy.py").write_text(IMPORTED.replace("time.sleep(30)", "os._exit(7)"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "SIGNAL": "SIGINT"},
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (7, "")
