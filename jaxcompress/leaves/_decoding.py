"""Decoding of lanes on a device, not before other arrays are known."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcompress.kinds import is_key
from jaxcompress.packing.lanes import LOWEST, Lanes
from jaxcompress.packing.tables import BITS
from jaxcompress.packing.tables import ONE as SLOTS
from jaxcompress.trees import Array


def decoded_lanes(lanes: Lanes, shape: Sequence[int], zero: jax.Array) -> jax.Array:
    """Return the symbols of lanes, uint8, as `packing.lanes.decode` does; nothing is checked.

    Args:
        lanes: arrays of JAX, or traced.
        shape: of the symbols.
        zero: from `zero_after`, or 0.
    """
    # States, buffers and tables are made of `zero`: XLA would make those of all weights at once.
    table = _table(lanes.frequencies.astype(jnp.uint32) ^ zero)
    size, count = math.prod(shape), lanes.states.size
    turns = -(-size // count)

    def turn(number: Any, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        x, places, symbols = state
        entries = table.at[x & (SLOTS - 1)].get(mode="promise_in_bounds")
        x = ((entries >> BITS & (SLOTS - 1)) + 1) * (x >> BITS) + (entries & (SLOTS - 1))
        low = x < LOWEST
        words = jnp.take(lanes.words, places, mode="clip").astype(jnp.uint32)
        x = jnp.where(low, x << 16 | words, x)
        row = (entries >> 24).astype(jnp.uint8)
        symbols = lax.dynamic_update_slice_in_dim(symbols, row[None], number, 0)
        return x, places + low.astype(jnp.uint32), symbols

    symbols = jnp.broadcast_to(zero.astype(jnp.uint8), (turns, count))
    symbols = lax.fori_loop(0, turns, turn, (lanes.states ^ zero, lanes.starts, symbols))[2]
    return symbols.reshape(-1)[:size].reshape(shape)


def zero_after(lanes: Lanes, arrays: Sequence[Array]) -> jax.Array:
    """Return 0, a uint32 that is not known before these arrays are.

    XLA decodes a weight as early as it can, so that all are in memory at once, and removes barriers
    before it orders its operations. It cannot know that the frequencies are 4096 in total.

    Args:
        lanes: of the weight.
        arrays: any; keys, empty arrays and those of numpy do not count.
    """
    numbers = [
        array
        for array in arrays
        if isinstance(array, jax.Array) and array.size and not is_key(array)
    ]
    if not numbers:
        return jnp.uint32(0)
    rest = jnp.sum(lanes.frequencies.astype(jnp.uint32)) - SLOTS
    bit = jnp.uint32(0)
    for array in numbers:
        bit |= _one_bit(lax.stop_gradient(array))
    return rest * bit


@jax.custom_batching.custom_vmap
def _one_bit(array: jax.Array) -> jax.Array:
    """Return whether the first number is above 0; under `vmap` that of the first array."""
    return (jnp.real(array.reshape(-1)[0]) > 0).astype(jnp.uint32)


@_one_bit.def_vmap
def _(size: int, batched: Sequence[bool], array: jax.Array) -> tuple[jax.Array, bool]:
    del size
    return _one_bit(array[0] if batched[0] else array), False  # the weight is decoded once


def _table(slots: jax.Array) -> jax.Array:
    """Return what `packing.frequencies.decoding_table` does, for uint32 frequencies."""
    after = jnp.cumsum(slots)
    place = jnp.arange(SLOTS, dtype=jnp.uint32)
    # Unrolled: XLA fills the arrays that a loop begins with for all weights at once.
    symbols = jnp.searchsorted(after, place, side="right", method="scan_unrolled")
    symbols = symbols.astype(jnp.uint32)
    first, width = (after - slots)[symbols], slots[symbols]
    return symbols << 24 | (width - 1) << BITS | (place - first)
