"""Tensors stored with sixteen bits for each number."""

from dataclasses import dataclass, field
from typing import Any

import jax

from jaxcompress.leaves._sized import Sized
from jaxcompress.trees import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Half(Sized):
    """A tensor that is kept in float16 or bfloat16 and computed with in its own dtype.

    `dense = values.astype(dtype)`.

    Attributes:
        values: float16 or bfloat16 numbers, the shape of the tensor.
        dtype: of the dense tensor.

    Example:
        >>> import numpy as np
        >>> leaf = Half(values=np.array([0.5, 1.0], np.float16), dtype=np.dtype("float32"))
        >>> leaf.dense().dtype.name, leaf.dense().tolist()
        ('float32', [0.5, 1.0])
    """

    values: Array
    dtype: Any = field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense tensor."""
        return self.values.shape

    def dense(self) -> Array:
        """Return the tensor itself; a numpy array if the values are."""
        return self.values.astype(self.dtype)
