"""How much faster two processes train than one, each on a core of its own.

    python -m benchmarks.scaling

Each process has one core, and the two of a pair meet on the loopback. Training steps of `run.py` on
batches of noise; one process and two take turns, and the ratios of the pairs are told. `one on two
cores` is a single process whose threads may use both.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.lib.code import ROOT
from benchmarks.lib.record import write
from benchmarks.lib.timing import ratio
from benchmarks.scaling.table import ALONE, SCALING, THREADS, TOGETHER

IMAGES = 128
STEPS = {"lenet-300-100": 100, "cifar": 20}
ROUNDS = 3


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def _started(model: str, steps: int, cores: str, *together: str) -> subprocess.Popen[str]:
    worker = [sys.executable, "-m", "benchmarks.scaling.worker", model, str(IMAGES), str(steps)]
    return subprocess.Popen(
        ["taskset", "-c", cores, *worker, *together],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
    )


def _seconds(processes: list[subprocess.Popen[str]]) -> float:
    """Return the seconds of a step: those of the slowest."""
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a worker failed; its traceback is above.")
    return max(float(text.splitlines()[-1]) for text in said)


def rounds(model: str, cores: tuple[str, str]) -> dict[str, Any]:
    """Return images a second of each way, and the medians of the ratios to one process."""
    steps = STEPS[model]
    seconds: dict[str, list[float]] = {ALONE: [], TOGETHER: [], THREADS: []}
    for _ in range(ROUNDS):
        where = f"localhost:{_free_port()}"
        pair = [_started(model, steps, core, where, str(n), "2") for n, core in enumerate(cores)]
        seconds[TOGETHER].append(_seconds(pair))
        seconds[ALONE].append(_seconds([_started(model, steps, cores[0])]))
        seconds[THREADS].append(_seconds([_started(model, steps, ",".join(cores))]))
    return {
        "net": model,
        "images_per_second": round(IMAGES / statistics.median(seconds[ALONE])),
        "times_faster": {way: ratio(seconds, ALONE, way) for way in (TOGETHER, THREADS)},
    }


def main() -> None:
    """Measure and write the record."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        sys.exit("benchmarks.scaling: needs two cores, got one.")
    first, second = map(str, found[:2])
    figures = []
    for model in STEPS:
        figures.append(rounds(model, (first, second)))
        print(json.dumps(figures[-1]), flush=True)
    write(SCALING, seeds=[0], figures=figures)
