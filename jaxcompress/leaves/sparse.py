"""Tensors of which most entries are zero."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves.namespace import namespace
from jaxcompress.trees import Array, PyTree, Scope, in_scope, kernels, named_leaves


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
        if namespace(self.values, self.indices) is np:
            flat = np.zeros(size, self.dtype)
            flat[self.indices] = self.values
            return flat.reshape(self.shape)
        return jnp.zeros(size, self.dtype).at[self.indices].set(self.values).reshape(self.shape)


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
