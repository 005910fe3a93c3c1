"""Memory of one way to run one network, in a process of its own.

    python -m benchmarks.coded.memory NAME WAY FILE BATCH

prints one JSON object. Bytes are those of XLA's own analysis, and the most that the process held
during the calls (`VmHWM` of Linux), less what it held before it read the weights. The program comes
from the cache of compiled ones if it is there: compiling takes memory that processes keep.
"""

import ctypes
import gc
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.coded.nets import net
from benchmarks.coded.ways import WAYS
from jaxcompress import jit_for_inference

CALLS = 3


def held(field: str) -> int:
    """Return a field of `/proc/self/status`, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def main(name: str, way: str, path: str, batch: int) -> None:
    """Read the weights, call the network and print the bytes."""
    network = net(name)
    x = network.inputs(batch)
    jax.block_until_ready(jit_for_inference(jnp.tanh)(x))
    before = held("VmRSS")
    function, params = WAYS[way](network.apply, path)
    compiled = jit_for_inference(function).lower(params, x).compile()
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the most so far
    for _ in range(CALLS):
        jax.block_until_ready(compiled(params, x))
    analysis = compiled.memory_analysis()
    result = {
        "argument_bytes": analysis.argument_size_in_bytes,
        "temporary_bytes": analysis.temp_size_in_bytes,
        "resident_bytes": held("VmHWM") - before,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    _, given_name, given_way, given_path, given_batch = sys.argv
    main(given_name, given_way, given_path, int(given_batch))
