"""Low rank: the sketched SVD beside numpy's, and thin layers beside dense ones, on one core.

    OPENBLAS_NUM_THREADS=1 taskset -c 0 python -m benchmarks.lowrank

Times are in CPU-seconds, so that time taken by other processes does not count. Layers are
compiled with `jit_for_inference`, and called in turn.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc
from benchmarks.lib.record import write
from benchmarks.lib.timing import interleaved, ratio
from benchmarks.lowrank.table import LOWRANK
from jaxcompress import jit_for_inference

SEED, SIZE, RANK, SKETCHES = 0, 4096, 256, 3

SPECTRA = {
    "Gaussian": None,
    "values fall as k^-0.5": 0.5,
    "values fall as k^-1": 1.0,
}


def matrix(falls: float | None) -> np.ndarray:
    """Return a square matrix: Gaussian, or with singular values that fall as a power."""
    rng = np.random.default_rng(SEED)
    left = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    if falls is None:
        return left
    values = np.arange(1, SIZE + 1, dtype=np.float32) ** -falls
    right = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    return (np.linalg.qr(left)[0] * values) @ np.linalg.qr(right)[0]


def decomposition(name: str) -> dict[str, Any]:
    """Return time and error of a sketch beside numpy's SVD."""
    weight = matrix(SPECTRA[name])
    started = time.process_time()
    values = np.linalg.svd(weight, full_matrices=False)[1]
    exact = time.process_time() - started
    best = float(np.linalg.norm(values[RANK:].astype(np.float64)))
    seconds, errors = [], []
    for seed in range(SKETCHES):
        started = time.process_time()
        found = jc.lowrank.randomized_svd(weight, RANK, seed=seed)
        seconds.append(time.process_time() - started)
        errors.append(float(np.linalg.norm(weight - (found.left * found.values) @ found.right)))
    return {
        "matrix": name,
        "size": SIZE,
        "rank": RANK,
        "numpy_seconds": round(exact, 2),
        "times_numpy": round(max(seconds) / exact, 4),
        "times_best_error": round(max(errors) / best, 5),
        "relative_error": round(best / float(np.linalg.norm(values)), 4),
    }


def dense_layer(kernel: Any, x: jax.Array) -> jax.Array:
    """Return the outputs of a dense layer."""
    return x @ kernel


def convolution(kernel: Any, x: jax.Array) -> jax.Array:
    """Return the outputs of a convolution."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)


LAYERS = {
    "dense 1024x4096": (dense_layer, (1024, 4096), (1024,), 128, jc.lowrank.last_axis, (1, 8, 64)),
    "conv 3x3x256x256, 28x28": (
        convolution,
        (3, 3, 256, 256),
        (28, 28, 256),
        64,
        jc.lowrank.last_axis,
        (1, 8),
    ),
    "conv 3x3x256x256, 28x28, across space": (
        convolution,
        (3, 3, 256, 256),
        (28, 28, 256),
        64,
        jc.lowrank.across_space,
        (1, 8),
    ),
}
"""By name: function, shapes of weight and sample, rank, split, batch sizes."""


def layer(name: str, batch: int) -> dict[str, Any]:
    """Return the speed of a thin layer, and its fraction of parameters and of FLOPs."""
    function, shape, sample, rank, split, _ = LAYERS[name]
    rng = np.random.default_rng(SEED)
    weight = jnp.asarray(rng.standard_normal(shape, dtype=np.float32))
    thin = jc.low_rank(weight, ranks={"": rank}, split=split)
    x = jnp.asarray(rng.standard_normal((batch, *sample), dtype=np.float32))
    cases = {"dense": (function, weight), "thin": (jc.execute(function), thin)}
    compiled = {
        case: (jit_for_inference(apply).lower(params, x).compile(), params)
        for case, (apply, params) in cases.items()
    }
    outputs = {case: np.asarray(call(params, x)) for case, (call, params) in compiled.items()}
    wanted = np.asarray(function(jc.dense(thin), x))
    calls = {
        case: lambda call=call, params=params: jax.block_until_ready(call(params, x))
        for case, (call, params) in compiled.items()
    }
    seconds = interleaved(calls, 41 if batch > 1 else 101, time.process_time)
    counted = {
        case: jc.flops(lambda params, x, apply=apply: apply(params, x), params, x).total
        for case, (apply, params) in cases.items()
    }
    return {
        "layer": name,
        "rank": rank,
        "batch": batch,
        "dense_ms": round(1000 * float(np.median(seconds["dense"])), 3),
        "times_as_fast": ratio(seconds, "dense", "thin"),
        "fraction_of_parameters": sum(f.size for f in thin.factors) / weight.size,
        "fraction_of_flops": round(counted["thin"] / counted["dense"], 4),
        "largest_difference": float(np.abs(outputs["thin"] - wanted).max() / np.abs(wanted).max()),
    }


def main() -> None:
    """Measure everything and write it down."""
    figures = {
        "layers": [layer(name, batch) for name in LAYERS for batch in LAYERS[name][-1]],
        "svd": [decomposition(name) for name in SPECTRA],
    }
    write(
        LOWRANK,
        seeds=list(range(SKETCHES)),
        figures=figures,
        command="OPENBLAS_NUM_THREADS=1 taskset -c 0 python -m benchmarks.lowrank",
    )
