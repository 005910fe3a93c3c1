"""Selecting exactly the k smallest of many numbers, with and without `jit`.

Ties need care. Comparing with a quantile removes all or none of a constant layer; here ties
keep the lower index, counted over the leaves in order, so that exactly k entries are removed.

Concrete arrays take NumPy's partition, traced ones a bisection over the bits of the numbers: 32
counting passes, no sort, and k may be traced too. Both give the same mask, however many entries
there are.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kinds import native
from jaxcompress.placement import like, on_host
from jaxcompress.prune.counts import (
    Count,
    as_count,
    counted,
    less,
    minus,
    parts,
    smallest,
    word,
)
from jaxcompress.trees import Array, is_traced, widened


def keep_largest(scores: Sequence[Array], removed: Any) -> list[jax.Array]:
    """Return masks that are False on the `removed` smallest entries of all `scores` together.

    Args:
        scores: real arrays, free of NaN.
        removed: how many to remove; an int, a traced integer, or a count of two words.
    """
    if is_traced([*scores, removed]):
        return _keep_largest_traced(scores, removed)
    return _keep_largest_concrete(scores, int(removed))


def _keep_largest_concrete(scores: Sequence[Array], removed: int) -> list[jax.Array]:
    # numpy partitions the small float types slowly
    arrays = [widened(on_host(native(score))) for score in scores]
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
    threshold = _kth_smallest(keys, removed)
    kept = minus(as_count(sum(key.size for key in keys)), as_count(removed))
    ties_kept = minus(kept, counted(keys, lambda key: key > threshold))
    pieces = [part for key in keys for part in parts(key)]
    first = iter(_first_of([part == threshold for part in pieces], ties_kept))
    flat = [
        jnp.concatenate([(part > threshold) | next(first) for part in parts(key)]) for key in keys
    ]
    return [
        like(mask.reshape(score.shape), score) for mask, score in zip(flat, scores, strict=True)
    ]


def _first_of(flags: Sequence[jax.Array], k: Count) -> list[jax.Array]:
    """Return the first k True flags of parts `[n]` in order, each part of at most a word."""
    places = [jnp.arange(flag.size, dtype=word()) for flag in flags]
    taken = []
    for flag in flags:
        here = counted([flag], lambda flag: flag)
        taken.append(smallest(here, k).low)
        k = minus(k, here)
    width = max(flag.size for flag in flags).bit_length()

    def settle_bit(i: jax.Array, last: list[jax.Array]) -> list[jax.Array]:
        bit = word()(1) << (word()(width - 1) - i.astype(word()))
        below = [
            jnp.sum(flag & (place < (found | bit)), dtype=word())
            for flag, place, found in zip(flags, places, last, strict=True)
        ]
        return [
            jnp.where(count < some, found | bit, found)
            for count, some, found in zip(below, taken, last, strict=True)
        ]

    last = jax.lax.fori_loop(0, width, settle_bit, [word()(0)] * len(flags))
    return [
        flag & (place <= found) & (some > 0)
        for flag, place, found, some in zip(flags, places, last, taken, strict=True)
    ]


def _ordered_bits(values: jax.Array) -> jax.Array:
    """Map floats to unsigned integers of the same order, both zeros to one."""
    unsigned = jnp.uint32 if values.dtype.itemsize == 4 else jnp.uint64
    sign = unsigned(1 << (8 * values.dtype.itemsize - 1))
    bits = jax.lax.bitcast_convert_type(values, unsigned)
    bits = jnp.where(bits == sign, 0, bits)  # not `values == 0`: XLA treats subnormals as zero
    return jnp.where(bits & sign, ~bits, bits | sign)


def _kth_smallest(keys: Sequence[jax.Array], k: Any) -> jax.Array:
    """Return the k-th smallest (from 1) of unsigned integers, highest bit first."""
    unsigned = keys[0].dtype.type
    width = 8 * keys[0].dtype.itemsize

    k = as_count(k)

    def settle_bit(i: jax.Array, found: jax.Array) -> jax.Array:
        candidate = found | (unsigned(1) << (unsigned(width - 1) - i.astype(unsigned)))
        return jnp.where(less(counted(keys, lambda key: key < candidate), k), candidate, found)

    return jax.lax.fori_loop(0, width, settle_bit, unsigned(0))
