"""Tensors whose weights share a few values."""

from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves._namespace import namespace
from jaxcompress.leaves._sized import Sized
from jaxcompress.placement import by_compiler, on_host
from jaxcompress.trees import Array

MOST_CODES = 65_535
"""Most entries of a codebook: with zero, codes fit two bytes."""

_BLOCK = 1 << 20


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Clustered(Sized):
    """A tensor whose weights share a few values.

    `dense = [0, codebook][codes]`; code 0 is reserved for exact zero (pruned), code c >= 1
    stands for `codebook[c - 1]`.

    Attributes:
        codes: unsigned integers, the shape of the tensor; `codes.max() <= len(codebook)`.
        codebook: `[k]` values in the dtype of the tensor; quantizers sort them in ascending order.

    Example:
        >>> codes = np.array([[0, 2], [1, 2]], np.uint8)
        >>> leaf = Clustered(codes=codes, codebook=np.array([-1.0, 3.0]))
        >>> leaf.shape, leaf.dense().tolist()
        ((2, 2), [[0.0, 3.0], [-1.0, 3.0]])
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
        if namespace(self.codes, self.codebook) is np:
            return _dense_by_blocks(np.asarray(self.codes), np.asarray(self.codebook))
        return by_compiler(_looked_up, self.codebook, self.codes, like=self.codes)

    @property
    def integers(self) -> Array:
        """The codes."""
        return self.codes

    def with_integers(self, integers: Array) -> Self:
        """Return other codes with this codebook."""
        return replace(self, codes=integers)

    def layer(self, number: int) -> Self:
        """Return one entry along the first axis."""
        return replace(self, codes=self.codes[number])

    def with_values(self, tensor: Array) -> Self:
        """Return the same codes with the codebook of the values in `tensor`.

        Raises:
            ValueError: members of one code have different values in `tensor`, or its shape differs.
        """
        if tuple(tensor.shape) != self.shape:
            raise ValueError(f"the shape must be {self.shape}, got {tuple(tensor.shape)}.")
        codes, values = on_host(self.codes).ravel(), on_host(tensor).ravel()
        used, first = np.unique(codes, return_index=True)
        table = np.zeros(len(self.codebook) + 1, values.dtype)
        table[1:] = on_host(self.codebook)
        table[used] = values[first]
        table[0] = 0
        different = np.count_nonzero(table[codes] != values)
        if different:
            raise ValueError(
                f"the values must be shared as the codes say, got {different} of {values.size} "
                "that differ from their cluster; train with share_centroids."
            )
        return type(self)(codes=self.codes, codebook=table[1:])


def _looked_up(codebook: jax.Array, codes: jax.Array) -> jax.Array:
    table = jnp.concatenate([jnp.zeros((1,), codebook.dtype), codebook])
    return jnp.take(table, codes, axis=0, mode="clip")


def _dense_by_blocks(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Look codes up a block at a time, because numpy widens them to 64 bits."""
    table = np.concatenate([np.zeros(1, codebook.dtype), codebook])
    result = np.empty(codes.shape, codebook.dtype)
    flat, out = codes.reshape(-1), result.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        np.take(table, flat[block], mode="clip", out=out[block])
    return result
