"""Tensors stored with sixteen bits a number."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.trees import Array, PyTree, Scope, in_scope, kernels, named_leaves


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Half:
    """A tensor that is kept in float16 or bfloat16 and computed with in its own dtype.

    `dense = values.astype(dtype)`.

    Attributes:
        values: float16 or bfloat16 numbers, the shape of the tensor.
        dtype: of the dense tensor.
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


def half(params: PyTree, dtype: Any = jnp.bfloat16, *, scope: Scope = kernels) -> PyTree:
    """Return `params` with the leaves in `scope` rounded to sixteen bits, as `Half` leaves.

    Zeros stay zeros. bfloat16 has the range of float32 and 8 bits of precision, float16 has 11
    and ends at 65504.

    Args:
        params: any pytree of arrays.
        dtype: float16 or bfloat16.
        scope: which leaves are rounded.

    Raises:
        ValueError: another dtype, weights that are not finite in it, an empty scope.

    Example:
        >>> leaf = half({"kernel": np.array([[1.0, 0.1]], np.float32)})["kernel"]
        >>> leaf.dense().dtype, leaf.dense().tolist()
        (dtype('float32'), [[1.0, 0.10009765625]])
    """
    kind = jnp.dtype(dtype)
    if kind not in (jnp.dtype(jnp.float16), jnp.dtype(jnp.bfloat16)):
        raise ValueError(f"dtype: must be float16 or bfloat16, got {kind}; use quantize for less.")
    named = named_leaves(params)

    def convert(path: str, leaf: Array) -> Half:
        with np.errstate(over="ignore"):
            values = leaf.astype(kind)
        bad = np.argwhere(~np.isfinite(np.asarray(values, np.float32)))
        if len(bad):
            first = tuple(int(i) for i in bad[0])
            raise ValueError(
                f"{path}: must be finite in {kind}, got {len(bad)} entries that are not, the first "
                f"at {first}; take bfloat16, or look for a diverged training run."
            )
        return Half(values=values, dtype=np.dtype(leaf.dtype))

    chosen = in_scope(named, scope)
    return named.rebuild(
        [
            convert(path, leaf) if pick else leaf
            for path, leaf, pick in zip(named.paths, named.leaves, chosen, strict=True)
        ]
    )
