"""The weights of a leaf that take part in sharing, and the resulting leaf."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_concrete, check_finite, check_fits
from jaxcompress.kinds import REALS
from jaxcompress.leaves import Clustered
from jaxcompress.leaves.tree import arrays_in_scope, is_coded
from jaxcompress.placement import beside, like, on_host
from jaxcompress.trees import PyTree, Scope, as_jax, named_leaves, widened

_BLOCK = 1 << 16  # weights assigned at a time: they and their codes fit into the cache


class Members(NamedTuple):
    """One leaf to be shared.

    Attributes:
        path: of the leaf.
        tensor: the leaf itself.
        values: `[n]` its entries in C order, single precision at least.
        member: `[n]` which of them are shared; the others are zero and keep code 0.
    """

    path: str
    tensor: np.ndarray
    values: np.ndarray
    member: np.ndarray

    def ordered(self) -> np.ndarray:
        """Return the shared weights in ascending order."""
        if self.tensor.dtype.itemsize <= 2:
            return self._counted()
        return np.sort(self.values if self.member.all() else self.values[self.member])

    def _counted(self) -> np.ndarray:
        """Return the shared weights in ascending order, from the counts of all 65536 numbers."""
        bits = np.dtype(f"u{self.tensor.dtype.itemsize}")
        patterns = np.ascontiguousarray(self.tensor).view(bits).ravel()
        patterns = patterns if self.member.all() else patterns[self.member]
        counts = np.bincount(patterns, minlength=1 << 8 * bits.itemsize)
        found = np.flatnonzero(counts)
        numbers = widened(found.astype(bits).view(self.tensor.dtype))
        order = np.argsort(numbers, kind="stable")
        return np.repeat(numbers[order], counts[found[order]])

    def clustered(self, codes: np.ndarray, codebook: np.ndarray) -> Clustered:
        """Return the leaf with `[n]` codes, set to 0 where no weight is shared."""
        codes[~self.member] = 0
        shaped, entries = codes.reshape(self.tensor.shape), as_jax(codebook)
        # Both parts are numpy or both are JAX: numpy only for 64 bits that JAX would narrow.
        narrow = isinstance(entries, np.ndarray)
        return Clustered(codes=shaped if narrow else jnp.asarray(shaped), codebook=entries)


def share_leaves(
    technique: str,
    params: PyTree,
    mask: PyTree | None,
    scope: Scope,
    share: Callable[[Members], Any],
) -> PyTree:
    """Return `params` with `share(members)` in place of every array in the scope.

    Compressed leaves are returned as they are.

    Raises:
        ValueError: NaN or infinite weights, a scope without arrays, another mask tree.
        TypeError: called under `jit`, as sharing is an analysis of concrete weights; or the scope
            chooses leaves of other numbers than floats.
    """
    check_concrete(technique, params)
    named = named_leaves(params, is_leaf=is_coded)
    masks: list[Any] = [None] * len(named.leaves)
    if mask is not None:
        check_fits("mask", mask, "params", params)
        masks = jax.tree.leaves(mask, is_leaf=is_coded)
    chosen = arrays_in_scope(named, scope, REALS)
    return named.rebuild(
        [
            _placed(share(_members(path, on_host(leaf), kept)), leaf) if pick else leaf
            for path, leaf, kept, pick in zip(named.paths, named.leaves, masks, chosen, strict=True)
        ]
    )


def _placed(shared: Any, leaf: Any) -> Any:
    """Return a leaf with codes as the weights lie, and its codebook on all of their devices."""
    if not isinstance(shared, Clustered):
        return shared
    return replace(shared, codes=like(shared.codes, leaf), codebook=beside(shared.codebook, leaf))


def _members(path: str, tensor: np.ndarray, mask: Any) -> Members:
    check_finite(path, tensor)
    flat = tensor.ravel()
    values = widened(flat)
    member = values != 0 if mask is None else on_host(mask).ravel().astype(bool)
    return Members(path, tensor, values, member)


def cells_of(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return for each value how many of the ascending `cuts` lie below it, as small integers.

    One comparison per cut and block beats a binary search per value up to hundreds of cuts.
    """
    codes = np.zeros(values.size, np.uint8 if len(cuts) < 255 else np.uint16)
    if len(cuts) > 256:
        codes[:] = np.searchsorted(cuts, values)
        return codes
    above = np.empty(min(_BLOCK, values.size), bool)
    for start in range(0, values.size, _BLOCK):
        block, block_codes = values[start : start + _BLOCK], codes[start : start + _BLOCK]
        flags = above[: block.size]
        for cut in cuts:
            np.greater(block, cut, out=flags)
            np.add(block_codes, flags.view(np.uint8), out=block_codes)
    return codes


def round_down(numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """Return for each number the largest of `dtype` that is not above it.

    Weights of that dtype compare with it as they do with the number itself.
    """
    with np.errstate(over="ignore"):
        rounded = numbers.astype(dtype)
    return np.where(rounded > numbers, np.nextafter(rounded, rounded.dtype.type(-np.inf)), rounded)
