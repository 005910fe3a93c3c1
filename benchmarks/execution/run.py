"""Dense layers on 8-bit weights: time and memory beside float32, on one core.

    taskset -c 0 python -m benchmarks.execution

Times are in CPU-seconds, so that time taken by other processes does not count. All are
compiled with `jit_for_inference`, and called in turn. The weights are in the processor's cache
if it is large enough; if not, their fewer bytes gain more.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.execution.table import EXECUTION
from benchmarks.lib.record import write
from benchmarks.lib.timing import interleaved, ratio
from jaxcompress import execute, jit_for_inference
from jaxcompress.leaves import Quantized, dense

SEED, INPUTS, OUTPUTS = 0, 1024, 4096
ROUNDS = {1: 201, 8: 101, 64: 51}
FLOAT, KEPT, AT_ONCE = "float32", "int8", "int8, made dense"


LAYOUTS = {"[in, out]": 0, "[out, in]": 1}


def weights(axis: int) -> Quantized:
    """Return random weights of 8 bits whose inputs lie along an axis, a scale for each output."""
    rng = np.random.default_rng(SEED)
    values = rng.integers(-127, 128, (INPUTS, OUTPUTS)).astype(np.int8)
    scale = rng.uniform(0.5, 1, (1, OUTPUTS)).astype(np.float32) / 127
    if axis == 1:
        values, scale = values.T.copy(), scale.T.copy()
    return Quantized(values=jnp.asarray(values), scale=jnp.asarray(scale), bits=8)


def measure(layout: str, batch: int) -> dict[str, Any]:
    """Return the figures of a layout and a batch size."""
    axis = LAYOUTS[layout]

    def layer(kernel: Any, x: jax.Array) -> jax.Array:
        return jax.lax.dot_general(x, kernel, (((1,), (axis,)), ((), ())))

    x = jax.random.normal(jax.random.key(SEED), (batch, INPUTS))
    compressed = weights(axis)
    functions = {
        FLOAT: (layer, dense(compressed)),
        KEPT: (execute(layer), compressed),
        AT_ONCE: (lambda kernel, x: layer(dense(kernel), x), compressed),
    }
    compiled = {
        name: (jit_for_inference(function).lower(params, x).compile(), params)
        for name, (function, params) in functions.items()
    }
    seconds = interleaved(
        {
            name: lambda call=call, params=params: jax.block_until_ready(call(params, x))
            for name, (call, params) in compiled.items()
        },
        ROUNDS[batch],
        time.process_time,
    )
    memory = {name: call.memory_analysis() for name, (call, _) in compiled.items()}
    return {
        "layer": f"{INPUTS}x{OUTPUTS}",
        "weights": layout,
        "batch": batch,
        "times_as_fast": {name: ratio(seconds, FLOAT, name) for name in (KEPT, AT_ONCE)},
        "argument_bytes": {name: m.argument_size_in_bytes for name, m in memory.items()},
        "temporary_bytes": {name: m.temp_size_in_bytes for name, m in memory.items()},
    }


def main() -> None:
    """Measure all batch sizes and write them down."""
    figures = [measure(layout, batch) for layout in LAYOUTS for batch in ROUNDS]
    write(EXECUTION, seeds=[SEED], figures=figures)
