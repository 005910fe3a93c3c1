"""The command, when somebody presses Ctrl-C or it goes wrong: one line, and the status says so."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.artifact import is_temporary
from jaxcompress.cli import unpack as unpack_module
from jaxcompress.cli.interruption import interruptible
from tests.helpers.commands import IMPORTED
from tests.helpers.program import refused, run

pytestmark = pytest.mark.slow  # whole runs and processes

ROOT = Path(__file__).parents[2]
TREE = {"a": np.ones((2, 2), "f")}
LINE = "jaxcompress: interrupted; files are as they were.\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


STOPPED = """
import os, signal, sys, time
import jaxcompress.artifact.atomic as atomic
from jaxcompress.cli.command import main

real = os.fsync

wanted = getattr(signal, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it

def fsync(handle):
    os.kill(os.getpid(), wanted)
    time.sleep(30)

os.fsync = fsync
sys.argv[1:] = ["pack", "m.safetensors"]
main()
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_stopped_command_removes_its_own_temporary(here, name, status):
    save_file(TREE, "m.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, name], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert done.stderr == LINE
    assert [path.name for path in here.iterdir()] == ["m.safetensors"]


BACKGROUND = "import signal; signal.signal(signal.SIGINT, signal.{}); "


@pytest.mark.parametrize("library", ["jax", "numpy", "click"])
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_while_libraries_are_imported(here, library, name, status):
    (here / f"{library}.py").write_text(IMPORTED)
    program = "import jaxcompress_command; jaxcompress_command.main()"
    done = subprocess.run(
        [sys.executable, "-c", BACKGROUND.format("default_int_handler") + program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{ROOT}", "SIGNAL": name},
        timeout=60,
    )
    assert (done.returncode, done.stderr, done.stdout) == (status, LINE, "")


SWALLOWED = """
import os, signal, sys, time
from jaxcompress.cli import sources
from jaxcompress.cli.command import main

signal.signal(signal.SIGINT, signal.default_int_handler)

class Callback:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

def load(*_):
    if sys.argv[1] == "callback":
        Callback()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    except KeyboardInterrupt:
        raise ImportError("numpy could not be imported")

sources.SafetensorsSource.load = load
what, sys.argv[1:] = sys.argv[1], [sys.argv[1]]
main.__globals__["cli"].main(["pack", "m.safetensors"])
"""


@pytest.mark.parametrize("how", ["callback", "other error"])
def test_an_interruption_that_a_library_swallows_is_one_all_the_same(here, how):
    save_file(TREE, "m.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED, how], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 130
    assert done.stderr.startswith("jaxcompress: ") and "Traceback" not in done.stderr
    assert "interrupted" in done.stderr
    # A second interruption ends the program at once; the next writer removes what it left.
    left = [path.name for path in here.iterdir() if not is_temporary(path)]
    assert left == ["m.safetensors"]


def test_ignored_signals_stay_ignored_and_handlers_come_back():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.number is None and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), interruptible() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.status == 143
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def broken(*_, **options):
    raise KeyError("\x1bwhat nobody thought of")


def test_a_fault_of_the_program_has_a_status_of_its_own(here, monkeypatch):
    jc.save("m.npz", TREE)
    monkeypatch.setattr(unpack_module, "open_file", broken)
    said = run("unpack", "m.npz", status=70).err
    assert said.startswith("jaxcompress: a fault of the program: KeyError: ")
    assert "JAXCOMPRESS_TRACEBACK=1 shows where" in said and said.count("\n") == 1
    assert "\x1b" not in said
    monkeypatch.setenv("JAXCOMPRESS_TRACEBACK", "1")
    assert "in broken" in run("unpack", "m.npz", status=70).err


def test_what_is_nested_too_deep_is_refused(here, monkeypatch):
    def endless(*_, **options):
        return endless()

    jc.save("m.npz", TREE)
    monkeypatch.setattr(unpack_module, "open_file", endless)
    assert "nested too deep" in refused("unpack", "m.npz")
