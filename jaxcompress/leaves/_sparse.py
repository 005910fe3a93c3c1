"""Tensors whose entries are mostly zero."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves._namespace import namespace
from jaxcompress.leaves._sized import Sized
from jaxcompress.trees import Array

_BLOCK = 1 << 20


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Sparse(Sized):
    """A tensor whose entries are mostly zero.

    `dense.ravel()[indices] = values`, zero elsewhere.

    Attributes:
        values: `[n]` kept entries in the dtype of the tensor.
        indices: `[n]` strictly ascending positions in the flat (C order) tensor.
        shape: shape of the dense tensor.

    Example:
        >>> leaf = Sparse(values=np.array([5.0, 7.0]), indices=np.array([0, 3]), shape=(2, 2))
        >>> leaf.dense().tolist()
        [[5.0, 0.0], [0.0, 7.0]]
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
            for start in range(0, self.indices.size, _BLOCK):  # numpy widens positions to 64 bits
                block = slice(start, start + _BLOCK)
                flat[self.indices[block]] = self.values[block]
            return flat.reshape(self.shape)
        return jnp.zeros(size, self.dtype).at[self.indices].set(self.values).reshape(self.shape)
