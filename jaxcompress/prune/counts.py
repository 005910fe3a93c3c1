"""Counts of more entries than 32 bits can number, exact without 64-bit integers.

JAX has integers of 32 bits unless `jax_enable_x64` is set, and networks have more weights than
that. Here a count is two unsigned words, `high * 2^32 + low`. Arrays are counted in parts that one
word can number.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcompress.trees import Array

_WORD: Any = jnp.uint32


def word() -> Any:
    """Return the unsigned integer type of a word."""
    return _WORD


class Count(NamedTuple):
    """A number of entries, at least 0, in two words.

    Attributes:
        high: multiples of `2^bits` of a word.
        low: the rest.
    """

    high: jax.Array
    low: jax.Array


def bits() -> int:
    """Return the bits of a word."""
    return 8 * jnp.dtype(_WORD).itemsize


def as_count(number: Any) -> Count:
    """Return an integer of Python, of numpy, or traced, as a count."""
    if isinstance(number, Count):
        return number
    if not isinstance(number, jax.Array):
        high, low = divmod(int(number), 1 << bits())
        return Count(word()(high), word()(low))
    wide = 8 * number.dtype.itemsize > bits()
    return Count((number >> bits()).astype(word()) if wide else word()(0), number.astype(word()))


def rounded(number: jax.Array) -> Count:
    """Return the integer nearest to a float, at least 0, as a count; halves go to the even one."""
    whole = jnp.round(number)
    high = jnp.floor(whole / 2.0 ** bits())
    return Count(high.astype(word()), (whole - high * 2.0 ** bits()).astype(word()))


def plus(one: Count, other: Count) -> Count:
    """Return the sum of two counts."""
    low = one.low + other.low
    return Count(one.high + other.high + (low < one.low).astype(word()), low)


def minus(one: Count, other: Count) -> Count:
    """Return the difference of two counts, 0 where it is below."""
    low = one.low - other.low
    high = one.high - other.high - (one.low < other.low).astype(word())
    return where(less(one, other), as_count(0), Count(high, low))


def less(one: Count, other: Count) -> jax.Array:
    """Return whether one count is below another."""
    return (one.high < other.high) | ((one.high == other.high) & (one.low < other.low))


def where(test: Any, one: Count, other: Count) -> Count:
    """Return one count or another."""
    return Count(jnp.where(test, one.high, other.high), jnp.where(test, one.low, other.low))


def smallest(one: Count, other: Count) -> Count:
    """Return the smaller of two counts."""
    return where(less(one, other), one, other)


def parts(flat: jax.Array) -> list[jax.Array]:
    """Return an array `[n]` in parts that a word can number."""
    most = (1 << bits()) - 1
    ends = [*range(0, flat.size, most), flat.size]
    if len(ends) <= 2:
        return [flat]
    return [jax.lax.slice_in_dim(flat, *pair) for pair in pairwise(ends)]


def counted(arrays: Sequence[jax.Array], test: Callable[[jax.Array], Array]) -> Count:
    """Return how many entries of arrays `[n]` pass a test."""
    total = as_count(0)
    for array in arrays:
        for part in parts(array):
            total = plus(total, Count(word()(0), jnp.sum(test(part), dtype=word())))
    return total
