"""`pack` as a program with workers: killed, terminated, and on a full disk. Linux only."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.large.processes import session_of

pytestmark = [
    pytest.mark.slow,  # processes that import everything
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

# A program that is started in the background of a script ignores Ctrl-C, and so do its children.
PROGRAM = """
import resource, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from jaxcompress.artifact import _parts
from jaxcompress.cli import cli, packed_file
_parts.NUMBERS, packed_file._WORTH_WORKERS = 1000, 0
room = int(sys.argv[1])
if room:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
cli.main(["pack", "m.safetensors", *sys.argv[2:]])
"""
FOLDER = Path(".m.npz.jaxcompress-parts")
PARTS = 24


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    rng = np.random.default_rng(0)
    tree = {f"layer{n}": rng.normal(size=(100, 300)).astype("f") for n in range(PARTS)}
    save_file(tree, "m.safetensors")
    return tmp_path


@pytest.fixture(scope="module")
def known():
    """The bytes of the file, once they are known."""
    return {}


def start(*words, room=0):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(room), "--clusters", "200", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def parts():
    return len(list(FOLDER.glob("*.part")))


def more_than(count):
    return parts() > count


def wait_for(condition, process):
    """Wait until a condition holds, or the process has ended."""
    end = time.monotonic() + 60
    while not condition() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)


def gone(session):
    end = time.monotonic() + 10
    while session_of(session):
        assert time.monotonic() < end, session_of(session)
        time.sleep(0.05)


def finished(*words):
    with start(*words) as process:
        said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


@pytest.fixture
def whole(here, known):
    if not known:
        assert finished("-o", "whole.npz", "--jobs", "1") == ""
        known["bytes"] = Path("whole.npz").read_bytes()
        Path("whole.npz").unlink()
    return known["bytes"]


def test_kills_at_random_moments_end_in_the_same_bytes(here, whole):
    moments = random.Random(0)
    for turn in range(4):
        with start("--jobs", "2") as process:
            wait_for(partial(more_than, parts()), process)
            time.sleep(moments.uniform(0, 0.05))
            if turn % 2:
                process.kill()  # alone: its workers must notice
            else:
                os.killpg(process.pid, signal.SIGKILL)
        gone(process.pid)
        assert process.returncode != -signal.SIGKILL or parts() or Path("m.npz").exists()
    finished("--jobs", "2", "-o", "m.npz")
    assert Path("m.npz").read_bytes() == whole
    assert sorted(os.listdir()) == ["m.npz", "m.safetensors"]


@pytest.mark.parametrize(
    ("name", "status", "to_all"),
    [
        ("SIGTERM", 143, False),
        ("SIGINT", 130, True),  # as Ctrl-C of a terminal
        pytest.param("SIGTERM", 143, True, marks=pytest.mark.exhaustive),
        pytest.param("SIGINT", 130, False, marks=pytest.mark.exhaustive),
    ],
)
def test_a_stopped_run_ends_its_workers_and_goes_on(here, whole, name, status, to_all):
    with start("--jobs", "2") as process:
        wait_for(parts, process)
        (os.killpg if to_all else os.kill)(process.pid, getattr(signal, name))
        said = process.communicate()[1].splitlines()
    gone(process.pid)
    assert process.returncode == status, said
    assert len(said) == 2 and "finished parts are kept in" in said[0]
    assert said[1] == "jaxcompress: interrupted; files are as they were."
    kept = parts()
    assert 0 < kept < PARTS and not Path("m.npz").exists()
    assert f"going on after {kept} finished parts" in finished("--jobs", "1")
    assert Path("m.npz").read_bytes() == whole and not FOLDER.exists()


def test_a_worker_that_is_killed_is_named_and_the_run_goes_on(here, whole):
    with start("--jobs", "2") as process:
        wait_for(parts, process)
        (worker, *_) = [pid for pid in session_of(process.pid) if pid != process.pid]
        os.kill(worker, signal.SIGKILL)
        said = process.communicate()[1].splitlines()
    gone(process.pid)
    assert process.returncode == 2 and len(said) == 2, said
    assert "finished parts are kept in" in said[0]
    assert said[1].startswith("jaxcompress: layer") and "got SIGKILL" in said[1]
    assert "going on after" in finished("--jobs", "2")
    assert Path("m.npz").read_bytes() == whole


def test_a_disk_that_is_full_for_a_worker_names_the_output(here, whole):
    with start("--jobs", "2", room=20_000) as process:
        said = process.communicate()[1].splitlines()
    gone(process.pid)
    assert process.returncode == 2 and said == ["jaxcompress: m.npz: File too large"]
    assert sorted(os.listdir()) == ["m.safetensors"]
    with start("--jobs", "2", room=200_000) as process:  # parts fit, the file does not
        said = process.communicate()[1].splitlines()
    assert process.returncode == 2 and said[-1] == "jaxcompress: m.npz: File too large", said
    assert "going on after" in finished("--jobs", "2")
    assert Path("m.npz").read_bytes() == whole
