"""Sparse dense layers in plain JAX: time and memory beside the dense product, on one core.

    taskset -c 0 python -m benchmarks.sparse

Times are in CPU-seconds, so that time taken by other processes does not count. All are
compiled with `jit_for_inference`, weights are arguments, and the peers are called in turn. Before
anything is timed, the product of each peer is checked. Blocks are measured in the best case: each
column of them keeps the same number of blocks.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO

from benchmarks.lib.record import write
from benchmarks.lib.timing import interleaved, ratio
from benchmarks.sparse.table import SPARSE
from jaxcompress import execute, jit_for_inference
from jaxcompress.leaves import sparse

SEED, CALLS = 0, 3
LAYERS = ((1024, 1024), (1024, 4096))
SPARSITIES = (0.8, 0.9, 0.95)
ROUNDS = {1: 41, 64: 9}
DENSE = "dense"

Product = Callable[[Any, jax.Array], jax.Array]


def scattered(inputs: int, outputs: int, sparsity: float) -> np.ndarray:
    """Return normal weights `[inputs, outputs]`, zero but for the largest magnitudes."""
    weights = np.random.default_rng(SEED).normal(size=(inputs, outputs)).astype(np.float32)
    threshold = np.quantile(np.abs(weights), sparsity)
    return np.where(np.abs(weights) > threshold, weights, np.float32(0))


def blocked(inputs: int, outputs: int, sparsity: float, block: int) -> tuple[np.ndarray, int]:
    """Return weights of which each column of blocks keeps as many, and how many that is."""
    rng = np.random.default_rng(SEED)
    rows, columns = inputs // block, outputs // block
    kept = max(1, round((1 - sparsity) * rows))
    places = rng.random((rows, columns)).argsort(axis=0) < kept
    weights = rng.normal(size=(inputs, outputs)).astype(np.float32)
    return weights * np.kron(places, np.ones((block, block), np.float32)), kept


def padded(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and inputs `[outputs, most entries of an output]`, padded with zeros."""
    width = int(np.count_nonzero(weights, axis=0).max())
    places = np.argsort(weights == 0, axis=0, kind="stable")[:width].T
    return np.take_along_axis(weights.T, places, axis=1), places.astype(np.int32)


def rows(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, inputs and outputs of all entries, those of an output side by side."""
    outputs, inputs = np.nonzero(weights.T)
    return weights.T[outputs, inputs], inputs.astype(np.int32), outputs.astype(np.int32)


def blocks(weights: np.ndarray, block: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Return blocks `[columns, kept * block, block]` and their rows `[columns, kept]`."""
    inputs, outputs = weights.shape
    tiles = weights.reshape(inputs // block, block, outputs // block, block).transpose(2, 0, 1, 3)
    places = np.argsort(~tiles.any(axis=(2, 3)), axis=1, kind="stable")[:, :kept]
    tiles = np.take_along_axis(tiles, places[:, :, None, None], axis=1)
    return tiles.reshape(outputs // block, kept * block, block), places.astype(np.int32)


def gather_product(parts: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
    """Return for each output the sum of its values times the inputs they belong to."""
    values, places = parts
    return jnp.sum(values * x[:, places], axis=2)


def loop_product(parts: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
    """Return the same, of transposed parts, added up in a loop: no array holds all terms."""
    turned = x.T  # the samples side by side

    def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        value, place = part
        return total + value[:, None] * turned[place], None

    start = jnp.zeros((parts[0].shape[1], len(x)), x.dtype)
    return jax.lax.scan(add, start, parts)[0].T


def segment_product(outputs: int) -> Product:
    """Return the product with compressed rows, summed by segments."""

    def product(parts: tuple[jax.Array, jax.Array, jax.Array], x: jax.Array) -> jax.Array:
        values, places, segments = parts
        terms = values[:, None] * x.T[places]
        return jax.ops.segment_sum(terms, segments, outputs, indices_are_sorted=True).T

    return product


def block_product(parts: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
    """Return the product of each column of blocks with the inputs that it keeps."""
    tiles, places = parts
    columns, _, block = tiles.shape
    pieces = x.reshape(len(x), -1, block)[:, places].reshape(len(x), columns, -1)
    return jnp.einsum("bci,cij->bcj", pieces, tiles).reshape(len(x), -1)


def peers(
    inputs: int, outputs: int, sparsity: float, block: int = 16
) -> dict[str, tuple[Product, Any, np.ndarray]]:
    """Return of each peer the product, the weights as it takes them, and the dense weights."""

    def layer(kernel: Any, x: jax.Array) -> jax.Array:
        return x @ kernel

    weights = scattered(inputs, outputs, sparsity)
    values, places = padded(weights)
    tiles, kept = blocked(inputs, outputs, sparsity, block)
    leaf = sparse({"kernel": weights})["kernel"]
    return {
        DENSE: (layer, weights, weights),
        "`execute` of a `Sparse` leaf": (execute(layer), leaf, weights),
        "BCOO": (layer, BCOO.fromdense(jnp.asarray(weights)), weights),
        "gather": (gather_product, (values, places), weights),
        "gather in a loop": (loop_product, (values.T.copy(), places.T.copy()), weights),
        "segment sum": (segment_product(outputs), rows(weights), weights),
        f"{block}x{block} blocks": (block_product, blocks(tiles, block, kept), tiles),
    }


def largest_error(product: Product, parts: Any, weights: np.ndarray, x: jax.Array) -> float:
    """Return the largest difference from the product in float64, as a fraction of its largest."""
    wanted = np.asarray(x, np.float64) @ weights.astype(np.float64)
    return float(np.abs(np.asarray(product(parts, x)) - wanted).max() / np.abs(wanted).max())


def measure(inputs: int, outputs: int, batch: int, sparsity: float) -> dict[str, Any]:
    """Return the figures of a layer, a batch size and a sparsity."""
    x = jax.random.normal(jax.random.key(SEED), (batch, inputs))
    compiled, errors = {}, {}
    for name, (product, parts, weights) in peers(inputs, outputs, sparsity).items():
        on_device = jax.device_put(parts)
        call = jit_for_inference(product).lower(on_device, x).compile()
        compiled[name] = call, on_device
        errors[name] = largest_error(call, on_device, weights, x)
        if not errors[name] < 1e-5:
            raise ValueError(f"{name}: expected the product of the dense weights, got another")
    seconds = interleaved(
        {
            name: lambda call=call, parts=parts: jax.block_until_ready(call(parts, x))
            for name, (call, parts) in compiled.items()
        },
        ROUNDS[batch],
        time.process_time,
        CALLS,
    )
    memory = {name: call.memory_analysis() for name, (call, _) in compiled.items()}
    return {
        "layer": f"{inputs}x{outputs}",
        "batch": batch,
        "sparsity": sparsity,
        "dense_ms": round(1000 * float(np.median(seconds[DENSE])), 3),
        "times_dense": {name: ratio(seconds, name, DENSE) for name in seconds if name != DENSE},
        "largest_error": errors,
        "argument_bytes": {name: m.argument_size_in_bytes for name, m in memory.items()},
        "temporary_bytes": {name: m.temp_size_in_bytes for name, m in memory.items()},
    }


def main() -> None:
    """Measure all layers and write them down."""
    figures = [
        measure(*layer, batch, sparsity)
        for layer in LAYERS
        for batch in ROUNDS
        for sparsity in SPARSITIES
    ]
    write(SPARSE, seeds=[SEED], figures=figures)
