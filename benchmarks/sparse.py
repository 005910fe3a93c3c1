"""Products with sparse weights against the dense product, on one core.

    taskset -c 0 python -m benchmarks.sparse

Each way gets the same pruned matrix, is compiled and called in turn. Ratios are those of the same
round. Blocks are pruned as blocks; all other ways have zeros at random places.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

from benchmarks.record import write
from benchmarks.timing import interleaved, ratio

SEED, BLOCK, ROUNDS = 0, 16, 11
SHAPES, BATCHES, SPARSITIES = ((512, 512), (1024, 4096)), (1, 64), (0.8, 0.9, 0.95)
Way = tuple[Callable[..., jax.Array], tuple[Any, ...]]


def unstructured(shape: tuple[int, int], sparsity: float) -> np.ndarray:
    """Return a matrix with zeros at random places."""
    rng = np.random.default_rng(SEED)
    return (rng.normal(size=shape) * (rng.random(shape) >= sparsity)).astype(np.float32)


def dense_product(x: jax.Array, w: jax.Array) -> jax.Array:
    """Return `x @ w`."""
    return x @ w


def bcoo(w: np.ndarray) -> Way:
    """Return the product with JAX's own sparse arrays."""
    return lambda x, w: (w.T @ x.T).T, (sparse.BCOO.fromdense(jnp.asarray(w)),)


def csr(w: np.ndarray) -> Way:
    """Return the product as a gather and a sum over segments, sorted by output."""
    columns, rows = np.nonzero(w.T)

    def product(x: jax.Array, values: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
        terms = x.T[rows] * values[:, None]
        sums = jax.ops.segment_sum(terms, columns, w.shape[1], indices_are_sorted=True)
        return sums.T

    return product, tuple(map(jnp.asarray, (w.T[columns, rows], rows, columns)))


def blocks(shape: tuple[int, int], sparsity: float) -> tuple[np.ndarray, Way]:
    """Return a matrix with zero blocks, and its product: the blocks that stay, gathered."""
    rng = np.random.default_rng(SEED)
    n, m = (size // BLOCK for size in shape)
    count = max(round((1 - sparsity) * n), 1)  # for each column of blocks
    rows = np.stack([np.sort(rng.permutation(n)[:count]) for _ in range(m)])
    values = rng.normal(size=(m, count, BLOCK, BLOCK)).astype(np.float32)
    w = np.zeros((n, BLOCK, m, BLOCK), np.float32)
    for column in range(m):
        w[rows[column], :, column] = values[column]

    def product(x: jax.Array, values: jax.Array, rows: jax.Array) -> jax.Array:
        met = x.reshape(len(x), n, BLOCK)[:, rows]  # [batch, m, count, BLOCK]
        return jnp.einsum("bmki,mkij->bmj", met, values).reshape(len(x), -1)

    return w.reshape(shape), (product, (jnp.asarray(values), jnp.asarray(rows)))


def measure(shape: tuple[int, int], batch: int, sparsity: float) -> dict[str, Any]:
    """Return how many times as long as the dense product each way takes."""
    x = jax.random.normal(jax.random.key(SEED), (batch, shape[0]))
    w = unstructured(shape, sparsity)
    blocky, block_way = blocks(shape, sparsity)
    ways = {"BCOO": (w, bcoo(w)), "gather and sum": (w, csr(w)), "blocks": (blocky, block_way)}
    calls = {"dense": (dense_product, (jnp.asarray(w),))} | {k: way for k, (_, way) in ways.items()}
    peers = {}
    for name, (product, arrays) in calls.items():
        compiled = jax.jit(product).lower(x, *arrays).compile()
        wanted = x @ (ways[name][0] if name in ways else w)
        np.testing.assert_allclose(compiled(x, *arrays), wanted, rtol=1e-3, atol=1e-3)
        peers[name] = lambda c=compiled, a=arrays: jax.block_until_ready(c(x, *a))
    seconds = interleaved(peers, ROUNDS, time.process_time, calls=3)
    return {
        "layer": f"{shape[0]}x{shape[1]}",
        "batch": batch,
        "sparsity": sparsity,
        "dense_ms": round(1000 * float(np.median(seconds["dense"])), 4),
        "times_dense": {name: ratio(seconds, name, "dense") for name in ways},
    }


def main() -> None:
    """Measure everything and write it down."""
    figures = [
        measure(shape, batch, sparsity)
        for shape in SHAPES
        for batch in BATCHES
        for sparsity in SPARSITIES
    ]
    write("sparse", seeds=[SEED], figures=figures)


if __name__ == "__main__":
    main()
