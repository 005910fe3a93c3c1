"""Dense layers on 8-bit weights: time and memory beside float32, on one core.

    taskset -c 0 python -m benchmarks.execution

Seconds are those of the processor, as other processes take their share of the clock's. All are
compiled with `jit_for_inference`, and called in turn.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import write
from benchmarks.timing import interleaved, ratio
from jaxcompress.compiled import jit_for_inference
from jaxcompress.execution.functions import execute
from jaxcompress.leaves import Quantized, dense

SEED, INPUTS, OUTPUTS = 0, 1024, 4096
ROUNDS = {1: 201, 8: 101, 64: 51}
FLOAT, BLOCKED, AT_ONCE = "float32", "blocked int8", "int8, all at once"


def layer(params: dict[str, Any], x: jax.Array) -> jax.Array:
    """Return the layer's outputs."""
    return x @ params["kernel"]


def weights() -> dict[str, Quantized]:
    """Return random weights of 8 bits, one scale for each output."""
    rng = np.random.default_rng(SEED)
    values = rng.integers(-127, 128, (INPUTS, OUTPUTS)).astype(np.int8)
    scale = rng.uniform(0.5, 1, (1, OUTPUTS)).astype(np.float32) / 127
    return {"kernel": Quantized(values=jnp.asarray(values), scale=jnp.asarray(scale), bits=8)}


def measure(batch: int) -> dict[str, Any]:
    """Return the figures of a batch size."""
    x = jax.random.normal(jax.random.key(SEED), (batch, INPUTS))
    compressed = weights()
    functions = {
        FLOAT: (layer, dense(compressed)),
        BLOCKED: (execute(layer), compressed),
        AT_ONCE: (lambda params, x: layer(dense(params), x), compressed),
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
        "batch": batch,
        "times_as_fast": {name: ratio(seconds, FLOAT, name) for name in (BLOCKED, AT_ONCE)},
        "argument_bytes": {name: m.argument_size_in_bytes for name, m in memory.items()},
        "temporary_bytes": {name: m.temp_size_in_bytes for name, m in memory.items()},
    }


def main() -> None:
    """Measure all batch sizes and write them down."""
    write("execution", seeds=[SEED], figures=list(map(measure, ROUNDS)))


if __name__ == "__main__":
    main()
