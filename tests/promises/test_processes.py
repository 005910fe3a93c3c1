"""Several processes: the results of one, whichever process holds which part."""

import sys

import numpy as np
import pytest

from tests.helpers.processes import free_port, together


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


def run(count, folder):
    command = [sys.executable, "-m", "tests.helpers.processes", f"localhost:{free_port()}"]
    commands = [[*command, str(count), str(number), str(folder)] for number in range(count)]
    together(commands, folder, devices=4 // count)
    return [dict(np.load(folder / f"{count}-{number}.npz")) for number in range(count)]


@pytest.fixture(scope="module")
def alone(folder):
    return run(1, folder)[0]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_find_what_one_finds(count, alone, folder):
    every = run(count, folder)
    for found in every:
        assert found.keys() == alone.keys()
        for name, expected in alone.items():
            largest = np.abs(expected).max(initial=0)
            error = np.abs(found[name].astype(float) - expected).max(initial=0)
            assert error <= (1e-5 if "pruned" in name or "shared" in name else 1e-6) * largest, name
            exact = name.startswith(("mask", "kmeans", "uniform", "quantize", "counts.0", "saved"))
            assert not exact or np.array_equal(found[name], expected), name
    assert all(found["saved.1"] == 2 for found in [alone, *every])
    files = [(folder / f"model-{n}.npz").read_bytes() for n in (1, count)]
    assert files[0] == files[1]


def test_of_two_commands_that_run_together_the_second_is_killed(tmp_path):
    fails = [sys.executable, "-c", "raise SystemExit('no device')"]
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(AssertionError, match="no device"):
        together([waits, fails], tmp_path)
    with pytest.raises(AssertionError, match="not done after"):
        together([waits], tmp_path, seconds=0)
