"""Tensors on a grid: integers, scales and zero points."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import numpy as np

from jaxcompress.leaves._namespace import namespace
from jaxcompress.leaves._sized import Sized
from jaxcompress.trees import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Quantized(Sized):
    """A tensor whose entries are integers of a grid, one grid for each block of entries.

    `dense = scale * (values - zero_point)`, where each entry has the scale and the zero point of
    its block. An axis of `n` entries with `m` scales is cut into `m` blocks of `ceil(n / m)`
    entries; the last may be shorter. For a tensor `[3, 3, 16, 32]`, scales `[1, 1, 1, 1]` are one
    grid for the tensor, `[1, 1, 1, 32]` one for each channel, `[1, 1, 2, 32]` one for each block of
    8 inputs of a channel.

    Attributes:
        values: int8 integers, the shape of the tensor.
        scale: `[m, ...]` finite numbers above 0 in the dtype of the tensor, with as many axes.
        zero_point: int8 integers of the shape of `scale`, the integers for 0.0; None for a
            symmetric grid, where they are 0.
        bits: of each integer, 1 to 8.

    Example:
        >>> values = np.array([[-2, 4], [1, 3]], np.int8)
        >>> leaf = Quantized(values=values, scale=np.array([[0.5, 0.25]]), bits=4)  # by column
        >>> leaf.dense().tolist()
        [[-1.0, 1.0], [0.5, 0.75]]
    """

    values: Array
    scale: Array
    zero_point: Array | None = None
    bits: int = field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense tensor."""
        return self.values.shape

    @property
    def dtype(self) -> Any:
        """Dtype of the dense tensor."""
        return self.scale.dtype

    @property
    def integers(self) -> Array:
        """The values."""
        return self.values

    def with_integers(self, integers: Array) -> Self:
        """Return other values on these grids."""
        return replace(self, values=integers)

    def layer(self, number: int) -> Self:
        """Return one entry along the first axis."""
        block = number // -(-self.shape[0] // self.scale.shape[0])
        zero_point = None if self.zero_point is None else self.zero_point[block]
        return replace(
            self, values=self.values[number], scale=self.scale[block], zero_point=zero_point
        )

    def dense(self) -> Array:
        """Return the tensor itself; a numpy array if all parts are."""
        parts = [self.values, self.scale]
        values = self.values
        if self.zero_point is not None:
            parts.append(self.zero_point)
            values = values.astype(np.int16) - spread(self.zero_point, self.shape).astype(np.int16)
        if namespace(*parts) is not np:
            return values.astype(self.dtype) * spread(self.scale, self.shape)
        return np.asarray(values).astype(self.dtype) * spread(self.scale, self.shape)


def spread(blocks: Array, shape: tuple[int, ...]) -> Array:
    """Return values of blocks of entries, repeated so that they broadcast to `shape`.

    Args:
        blocks: as many axes as `shape`; an axis of 1 is not repeated.
        shape: of the tensor.

    Example:
        >>> spread(np.array([[1.0, 2.0]]), (4, 3)).tolist()
        [[1.0, 1.0, 2.0]]
    """
    xp = namespace(blocks)
    for axis, (count, size) in enumerate(zip(blocks.shape, shape, strict=True)):
        if 1 < count < size:
            index = [slice(None)] * axis + [slice(size)]
            blocks = xp.repeat(blocks, -(-size // count), axis=axis)[tuple(index)]
    return blocks


def are_blocks(counts: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return whether axes of these sizes can be cut into so many blocks, none of them empty.

    Example:
        >>> are_blocks((1, 3), (4, 5)), are_blocks((1, 4), (4, 5))
        (True, False)
    """
    return len(counts) == len(shape) and all(
        m == 1 or (1 < m <= n and -(-n // -(-n // m)) == m)
        for m, n in zip(counts, shape, strict=True)
    )
