"""Selecting exactly the k smallest of many numbers, with and without `jit`.

Ties are the trap. Comparing with a quantile removes all or none of a constant layer; here ties
keep the lower index, counted over the leaves in order, so that exactly k entries go.

Concrete arrays take NumPy's partition, traced ones a bisection over the bits of the numbers: 32
counting passes, no sort, and k may be traced too. Both give the same mask.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kinds import native
from jaxcompress.trees import Array, is_traced, widened


def keep_largest(scores: Sequence[Array], removed: Any) -> list[jax.Array]:
    """Return masks that are False on the `removed` smallest entries of all `scores` together.

    Args:
        scores: real arrays, free of NaN.
        removed: how many to remove; an int, or a traced integer.
    """
    if is_traced([*scores, removed]):
        return _keep_largest_traced(scores, removed)
    return _keep_largest_concrete(scores, int(removed))


def _keep_largest_concrete(scores: Sequence[Array], removed: int) -> list[jax.Array]:
    # numpy partitions the small float types slowly
    arrays = [widened(np.asarray(native(score))) for score in scores]
    flat = np.concatenate([a.ravel() for a in arrays]) if len(arrays) > 1 else arrays[0].ravel()
    if removed == 0:
        keep = np.ones(flat.size, bool)
    else:
        threshold = np.partition(flat, removed - 1)[removed - 1]
        keep = flat > threshold
        ties_kept = flat.size - removed - np.count_nonzero(keep)
        keep[np.flatnonzero(flat == threshold)[:ties_kept]] = True
    ends = np.cumsum([a.size for a in arrays])[:-1]
    return [
        jnp.asarray(part.reshape(array.shape))
        for part, array in zip(np.split(keep, ends), arrays, strict=True)
    ]


def _keep_largest_traced(scores: Sequence[Array], removed: Any) -> list[jax.Array]:
    scores = [widened(jnp.asarray(score)) for score in scores]
    dtype = jnp.result_type(jnp.float32, *scores)  # one width, or their bits cannot be compared
    keys = [_ordered_bits(jnp.asarray(score, dtype).ravel()) for score in scores]
    total = sum(key.size for key in keys)
    threshold = _kth_smallest(keys, removed)
    ties_kept = total - removed - _count(keys, lambda key: key > threshold)

    starts = np.cumsum([0, *(key.size for key in keys)])[:-1]
    index_bits = jnp.uint32 if total < 2**32 else jnp.uint64
    last = index_bits(np.iinfo(index_bits).max)
    positions = [
        jnp.where(
            key == threshold, jnp.arange(key.size, dtype=index_bits) + index_bits(start), last
        )
        for key, start in zip(keys, starts, strict=True)
    ]
    last_tie = _kth_smallest(positions, ties_kept)
    return [
        (
            (key > threshold) | ((ties_kept > 0) & (key == threshold) & (position <= last_tie))
        ).reshape(score.shape)
        for key, position, score in zip(keys, positions, scores, strict=True)
    ]


def _ordered_bits(values: jax.Array) -> jax.Array:
    """Map floats to unsigned integers of the same order, both zeros to one."""
    unsigned = jnp.uint32 if values.dtype.itemsize == 4 else jnp.uint64
    sign = unsigned(1 << (8 * values.dtype.itemsize - 1))
    bits = jax.lax.bitcast_convert_type(values, unsigned)
    bits = jnp.where(bits == sign, 0, bits)  # not `values == 0`: XLA takes subnormals for zero
    return jnp.where(bits & sign, ~bits, bits | sign)


def _kth_smallest(keys: Sequence[jax.Array], k: Any) -> jax.Array:
    """Return the k-th smallest (from 1) of unsigned integers, highest bit first."""
    unsigned = keys[0].dtype.type
    width = 8 * keys[0].dtype.itemsize

    def settle_bit(i: jax.Array, found: jax.Array) -> jax.Array:
        candidate = found | (unsigned(1) << (unsigned(width - 1) - i.astype(unsigned)))
        return jnp.where(_count(keys, lambda key: key < candidate) < k, candidate, found)

    return jax.lax.fori_loop(0, width, settle_bit, unsigned(0))


def _count(keys: Sequence[jax.Array], test: Any) -> Any:
    return sum(jnp.sum(test(key), dtype=jnp.int32) for key in keys)
