"""The compressed leaf types, all pytree nodes, and `dense`, which undoes them.

Techniques decide, leaves represent: packing, files and metrics see these types only.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_finite
from jaxcompress.trees import Array, PyTree, Scope, in_scope, kernels, named_leaves

MOST_CODES = 65_535
"""Entries that a codebook may have: codes fit two bytes, beside zero."""

_BLOCK = 1 << 20


def codes_dtype(k: int) -> type[np.unsignedinteger]:
    """Return the smallest dtype of codes from 0 to `k`."""
    return np.uint8 if k < 256 else np.uint16


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Clustered:
    """A tensor whose weights share a few values.

    `dense = [0, codebook][codes]`; code 0 is reserved for exact zero (pruned), code c >= 1
    stands for `codebook[c - 1]`.

    Attributes:
        codes: unsigned integers, the shape of the tensor; `codes.max() <= len(codebook)`.
        codebook: `[k]` values in the dtype of the tensor; quantizers give them in ascending order.
    """

    codes: Array
    codebook: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense tensor."""
        return self.codes.shape

    @property
    def dtype(self) -> Any:
        """Dtype of the dense tensor."""
        return self.codebook.dtype

    def dense(self) -> Array:
        """Return the tensor itself; a numpy array if both parts are."""
        if _namespace(self.codes, self.codebook) is np:
            return _dense_by_blocks(np.asarray(self.codes), np.asarray(self.codebook))
        table = jnp.concatenate([jnp.zeros((1,), self.dtype), self.codebook])
        return jnp.take(table, self.codes, axis=0, mode="clip")

    def with_values(self, tensor: Array) -> Self:
        """Return the same codes with the codebook read off `tensor`.

        Raises:
            ValueError: members of one code have different values in `tensor`, or its shape differs.
        """
        if tuple(tensor.shape) != self.shape:
            raise ValueError(f"the shape must be {self.shape}, got {tuple(tensor.shape)}.")
        codes, values = np.asarray(self.codes).ravel(), np.asarray(tensor).ravel()
        used, first = np.unique(codes, return_index=True)
        table = np.zeros(len(self.codebook) + 1, values.dtype)
        table[1:] = np.asarray(self.codebook)
        table[used] = values[first]
        table[0] = 0
        different = np.count_nonzero(table[codes] != values)
        if different:
            raise ValueError(
                f"the values must be shared as the codes say, got {different} of {values.size} "
                "that differ from their cluster; train with share_centroids."
            )
        return type(self)(codes=self.codes, codebook=table[1:])


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Sparse:
    """A tensor of which most entries are zero.

    `dense.ravel()[indices] = values`, zero elsewhere.

    Attributes:
        values: `[n]` kept entries in the dtype of the tensor.
        indices: `[n]` strictly ascending positions in the flat (C order) tensor.
        shape: shape of the dense tensor.
    """

    values: Array
    indices: Array
    shape: tuple[int, ...] = field(metadata={"static": True})

    @property
    def dtype(self) -> Any:
        """Dtype of the dense tensor."""
        return self.values.dtype

    def dense(self) -> Array:
        """Return the tensor itself; a numpy array if both parts are."""
        size = math.prod(self.shape)
        if _namespace(self.values, self.indices) is np:
            flat = np.zeros(size, self.dtype)
            flat[self.indices] = self.values
            return flat.reshape(self.shape)
        return jnp.zeros(size, self.dtype).at[self.indices].set(self.values).reshape(self.shape)


def _dense_by_blocks(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Look codes up a block at a time: numpy widens all that it is given at once to 64 bits."""
    table = np.concatenate([np.zeros(1, codebook.dtype), codebook])
    result = np.empty(codes.shape, codebook.dtype)
    flat, out = codes.reshape(-1), result.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        np.take(table, flat[block], mode="clip", out=out[block])
    return result


def _namespace(*arrays: Array) -> Any:
    """Return numpy for numpy arrays, which may hold 64 bits that JAX would narrow."""
    return np if all(isinstance(array, np.ndarray) for array in arrays) else jnp


COMPRESSED = (Clustered, Sparse)
"""The leaf types that stand for one array each."""


def is_compressed(leaf: Any) -> bool:
    """Return whether `leaf` is one of the compressed leaf types."""
    return isinstance(leaf, COMPRESSED)


def dense(tree: PyTree) -> PyTree:
    """Return `tree` with every compressed leaf made an ordinary array.

    Example:
        >>> leaf = Clustered(codes=np.array([0, 2, 1], np.uint8), codebook=np.array([-1.0, 3.0]))
        >>> dense({"kernel": leaf})["kernel"].tolist()
        [0.0, 3.0, -1.0]
    """
    return jax.tree.map(
        lambda leaf: leaf.dense() if is_compressed(leaf) else leaf, tree, is_leaf=is_compressed
    )


def sparse(params: PyTree, *, scope: Scope = kernels) -> PyTree:
    """Return `params` with the non-zero entries of the leaves in `scope` as `Sparse` leaves.

    `dense(sparse(params))` equals `params`, but for the sign of zeros.

    Raises:
        ValueError: `scope` chooses no leaf.
    """
    named = named_leaves(params)

    def convert(leaf: Array) -> Sparse:
        flat = np.asarray(leaf).ravel()
        indices = np.flatnonzero(flat).astype(np.int32 if flat.size < 2**31 else np.int64)
        return Sparse(values=flat[indices], indices=indices, shape=tuple(leaf.shape))

    chosen = in_scope(named, scope)
    return named.rebuild(
        [convert(leaf) if pick else leaf for leaf, pick in zip(named.leaves, chosen, strict=True)]
    )


def update_codebooks(shared: PyTree, params: PyTree) -> PyTree:
    """Return `shared` with the values that its weights have in `params` after fine-tuning.

    Args:
        shared: tree with `Clustered` leaves, as `kmeans` and its like gave it.
        params: the dense tree after training with `share_centroids`.

    Raises:
        ValueError: members of one cluster have different values, NaN, or the trees do not match.
    """
    named = named_leaves(shared, is_leaf=is_compressed)
    tensors = named_leaves(params)
    if named.paths != tensors.paths:
        raise ValueError(
            "shared and params must be the same tree, got leaves "
            f"{sorted(set(named.paths) ^ set(tensors.paths))[:5]} in one only; "
            "pass the params that were trained from dense(shared)."
        )

    def update(path: str, leaf: Any, tensor: Array) -> Any:
        if not isinstance(leaf, Clustered):
            return tensor
        check_finite(path, np.asarray(tensor))
        try:
            return leaf.with_values(tensor)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    return named.rebuild(list(map(update, named.paths, named.leaves, tensors.leaves)))
