"""Zeros where a mask is False, in leaves of any numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_fits
from jaxcompress.kinds import NUMBERS, check_kind, check_values, kind_of
from jaxcompress.placement import on_host
from jaxcompress.trees import PyTree, is_traced, named_leaves


def apply_mask(params: PyTree, mask: PyTree) -> PyTree:
    """Return `params` with exact zeros where `mask` is False.

    Leaves of any numbers are zeroed. Random keys and the like have no zero: they are returned as
    they are, and their mask must be True.

    Gathered to the host: nothing.

    Raises:
        ValueError: the trees do not match, naming the leaf.
        TypeError: a mask is False, or under `jit` not known, on a leaf that has no zero;
            a leaf is a shape without values.

    Example:
        >>> mask = {"kernel": np.array([True, False])}
        >>> apply_mask({"kernel": np.array([1.0, 2.0])}, mask)["kernel"].tolist()
        [1.0, 0.0]
    """
    check_fits("mask", mask, "params", params)
    named, masks = named_leaves(params), jax.tree.leaves(mask)
    for path, leaf, part in zip(named.paths, named.leaves, masks, strict=True):
        check_values(path, leaf)
        check_zeros(path, leaf, part)
    return named.rebuild(list(map(_masked, named.leaves, masks)))


def check_zeros(path: str, leaf: Any, mask: Any) -> None:
    """Refuse a mask that is False where nothing can be zero.

    Raises:
        TypeError: naming the leaf.
    """
    if kind_of(leaf) not in NUMBERS.members and (is_traced(mask) or not np.all(on_host(mask))):
        check_kind(path, leaf, NUMBERS, "let its mask be True")


def _masked(leaf: Any, mask: Any) -> Any:
    if kind_of(leaf) not in NUMBERS.members:
        return leaf
    if is_traced([leaf, mask]) or isinstance(leaf, jax.Array):
        return jnp.where(mask, leaf, jnp.zeros((), leaf.dtype))
    return np.where(mask, leaf, np.zeros((), leaf.dtype))
