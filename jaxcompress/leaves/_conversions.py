"""Conversions of arrays to leaves without a search: sixteen bits, and non-zero entries."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress.kinds import FLOATS, NUMBERS, Kinds
from jaxcompress.leaves._half import Half
from jaxcompress.leaves._sparse import Sparse
from jaxcompress.leaves.tree import arrays_in_scope, is_coded
from jaxcompress.placement import on_host
from jaxcompress.trees import Array, PyTree, Scope, kernels, named_leaves


def half(params: PyTree, *, dtype: Any = jnp.bfloat16, scope: Scope = kernels) -> PyTree:
    """Return `params` with the leaves in `scope` rounded to sixteen bits, as `Half` leaves.

    Zeros remain zeros. bfloat16 has the range of float32 and 8 bits of precision. float16 has
    11 bits and ends at 65504.

    Args:
        params: any pytree of arrays; compressed leaves are kept unchanged.
        dtype: float16 or bfloat16.
        scope: which arrays are rounded.

    Raises:
        ValueError: another dtype, weights that are not finite in it, a scope without arrays.
        TypeError: the scope chooses leaves that are not floats of 16 bits or more.

    Example:
        >>> leaf = half({"kernel": np.array([[1.0, 0.1]], np.float32)})["kernel"]
        >>> leaf.dense().dtype, leaf.dense().tolist()
        (dtype('float32'), [[1.0, 0.10009765625]])
    """
    kind = jnp.dtype(dtype)
    if kind not in (jnp.dtype(jnp.float16), jnp.dtype(jnp.bfloat16)):
        raise ValueError(f"dtype: must be float16 or bfloat16, got {kind}; use quantize for less.")

    def convert(path: str, leaf: Array) -> Half:
        with np.errstate(over="ignore"):
            values = leaf.astype(kind)
        bad = np.argwhere(~np.isfinite(np.asarray(on_host(values), np.float32)))
        if len(bad):
            first = tuple(int(i) for i in bad[0])
            raise ValueError(
                f"{path}: must be finite in {kind}, got {len(bad)} entries that are not, the first "
                f"at {first}; take bfloat16, or look for a diverged training run."
            )
        return Half(values=values, dtype=np.dtype(leaf.dtype))

    return _converted(params, scope, FLOATS, convert)


def sparse(params: PyTree, *, scope: Scope = kernels) -> PyTree:
    """Return `params` with the non-zero entries of the leaves in `scope` as `Sparse` leaves.

    Compressed leaves are kept unchanged. `dense(sparse(params))` equals `params` except for the
    sign of zeros.

    Raises:
        ValueError: `scope` chooses no array.
        TypeError: it chooses random keys.

    Example:
        >>> leaf = sparse({"kernel": np.array([[5.0, 0.0], [0.0, 7.0]])})["kernel"]
        >>> leaf.values.tolist(), leaf.indices.tolist()
        ([5.0, 7.0], [0, 3])
    """

    def convert(path: str, leaf: Array) -> Sparse:
        del path
        flat = on_host(leaf).ravel()
        indices = np.flatnonzero(flat).astype(np.int32 if flat.size < 2**31 else np.int64)
        return Sparse(values=flat[indices], indices=indices, shape=tuple(leaf.shape))

    return _converted(params, scope, NUMBERS, convert)


def _converted(
    params: PyTree, scope: Scope, kinds: Kinds, convert: Callable[[str, Array], Any]
) -> PyTree:
    """Return `params` with the arrays in the scope converted."""
    named = named_leaves(params, is_leaf=is_coded)
    return named.rebuild(
        [
            convert(path, leaf) if pick else leaf
            for path, leaf, pick in zip(
                named.paths, named.leaves, arrays_in_scope(named, scope, kinds), strict=True
            )
        ]
    )
