"""Which of many tensors are equal, bit by bit, to an earlier one."""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxcompress.artifact.streams import DTYPES
from jaxcompress.placement import is_divided, on_host

SMALLEST = 256
"""Bytes below which a tensor is not looked at: little would be saved."""

_PIECE = 1 << 10
_BLOCK = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """Takes the place of a leaf that equals an earlier one.

    Attributes:
        tensor: number of the first such leaf, which is stored.
        shape: of both.
        dtype: of both.
    """

    tensor: int
    shape: tuple[int, ...]
    dtype: np.dtype


def repeat_of(tensor: int, leaf: Any) -> Repeat:
    """Return what takes the place of a leaf.

    Args:
        tensor: number of the first leaf that equals it.
        leaf: or its shape and dtype.
    """
    return Repeat(tensor=tensor, shape=tuple(leaf.shape), dtype=np.dtype(leaf.dtype))


def repeats(
    kinds: Sequence[Hashable | None], *digests: Callable[[int], Hashable]
) -> dict[int, int]:
    """Return the number of each item that equals an earlier one, and that of the first such.

    Args:
        kinds: of each item; items of different kinds differ. None for an item that is never equal.
        digests: of items by number, the cheapest first. One is asked only about items that all
            before it gave equal results; the last one must differ wherever items do.

    Example:
        >>> words = ["tie", "toe", "to", "tie"]
        >>> repeats([len(word) for word in words], lambda n: words[n][0], lambda n: words[n])
        {3: 0}
    """
    groups = _split([[n for n, kind in enumerate(kinds) if kind is not None]], kinds.__getitem__)
    for digest in digests:
        groups = _split(groups, digest)
    return {n: first for first, *others in sorted(groups) for n in others}


def repeated_leaves(leaves: Sequence[Any]) -> dict[int, int]:
    """Return the number of each leaf that equals an earlier one, and that of the first such.

    Args:
        leaves: arrays and compressed leaves, in memory.

    Example:
        >>> ones = np.ones(100)
        >>> repeated_leaves([ones, np.zeros(100), ones.copy(), ones.reshape(4, 25)])
        {2: 0}
    """
    return repeats(
        list(map(_kind, leaves)),
        lambda n: b"".join(map(_sample, jax.tree.leaves(leaves[n]))),
        lambda n: digest(*jax.tree.leaves(leaves[n])),
    )


def digest(*arrays: Any) -> bytes:
    """Return the sha256 of the bytes of arrays, one after the other."""
    result = hashlib.sha256()
    for array in arrays:
        for start in range(0, (data := _bytes(array)).size, _BLOCK):
            result.update(data[start : start + _BLOCK].data)
    return result.digest()


def _split(groups: list[list[int]], key: Callable[[int], Hashable]) -> list[list[int]]:
    return [part for group in groups if len(group) > 1 for part in _parts(group, key)]


def _parts(group: list[int], key: Callable[[int], Hashable]) -> Iterator[list[int]]:
    """Yield the members of a group by their keys, if there are several of a key."""
    found: dict[Hashable, list[int]] = {}
    for number in group:
        found.setdefault(key(number), []).append(number)
    return (part for part in found.values() if len(part) > 1)


def _kind(leaf: Any) -> Hashable | None:
    """Return all but the numbers of a leaf; None if it is small, or no concrete array."""
    arrays, structure = jax.tree.flatten(leaf)
    if not all(isinstance(a, np.ndarray | jax.Array) and not isinstance(a, Tracer) for a in arrays):
        return None
    if any(a.dtype.name not in DTYPES for a in arrays) or sum(a.nbytes for a in arrays) < SMALLEST:
        return None
    # Where processes have different arrays of their own, they must still gather the same ones.
    return structure, tuple((a.shape, a.dtype, is_divided(a)) for a in arrays)


def _sample(array: Any) -> bytes:
    """Return bytes of the beginning, the middle and the end."""
    data = _bytes(array)
    starts = 0, max(data.size - _PIECE, 0) // 2, max(data.size - _PIECE, 0)
    return b"".join(data[start : start + _PIECE].tobytes() for start in starts)


def _bytes(array: Any) -> np.ndarray:
    return np.ascontiguousarray(on_host(array)).reshape(-1).view(np.uint8)
