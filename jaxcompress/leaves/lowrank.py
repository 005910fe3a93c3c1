"""Tensors that are products of smaller ones."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves.namespace import namespace
from jaxcompress.trees import Array

MOST_FACTORS = 8
"""Factors that a tensor may have: the order of their products is searched for."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class LowRank:
    """A tensor that is a product of smaller ones.

    `dense = einsum(equation, *factors)`. `"ir,ro->io"` is the product of two matrices of rank `r`;
    `"hwir,ro->hwio"` a convolution to `r` channels, followed by one of 1x1; `"ir,hwrs,so->hwio"`
    is Tucker-2, `"hr,wr,ir,or->hwio"` CP. Axes of the factors before those that the equation
    names are the same in all, and the first ones of the tensor: `[layers, i, r]` and
    `[layers, r, o]` are stacked layers, which `jax.lax.scan`, `jax.vmap` and
    `jax.tree.map(lambda factor: factor[k], leaf)` take apart.

    The factors are the leaf's children: they get gradients, and are pruned, shared or rounded as
    other arrays are.

    Attributes:
        factors: arrays of one dtype, or compressed leaves that stand for such.
        equation: letters for the axes of each factor and of the tensor, each of which one factor
            has.

    Example:
        >>> column, row = np.array([[1.0], [2.0]]), np.array([[3.0, 4.0]])
        >>> LowRank(factors=(column, row), equation="ir,ro->io").dense().tolist()
        [[3.0, 4.0], [6.0, 8.0]]
    """

    factors: tuple[Any, ...]
    equation: str = field(metadata={"static": True})

    @property
    def terms(self) -> list[str]:
        """Letters of the axes of each factor."""
        return self.equation.split("->")[0].split(",")

    @property
    def axes(self) -> str:
        """Letters of the axes of the tensor, but for the first ones, which all factors share."""
        return self.equation.split("->")[1]

    @property
    def stack(self) -> tuple[int, ...]:
        """Sizes of the axes that all factors share."""
        shape = self.factors[0].shape
        return tuple(shape[: len(shape) - len(self.terms[0])])

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each axis by its letter."""
        pairs = zip(self.terms, self.factors, strict=True)
        return {n: s for t, f in pairs for n, s in zip(t, f.shape[len(self.stack) :], strict=True)}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense tensor."""
        sizes = self.sizes
        return (*self.stack, *(sizes[name] for name in self.axes))

    @property
    def dtype(self) -> Any:
        """Dtype of the dense tensor."""
        return self.factors[0].dtype

    def arrays(self) -> list[Array]:
        """Return the factors themselves."""
        return [f.dense() if hasattr(f, "dense") else f for f in self.factors]

    def dense(self) -> Array:
        """Return the tensor itself; a numpy array if all factors are."""
        factors = self.arrays()
        if namespace(*factors) is np:
            return _dense(factors, self.equation, len(self.stack))
        wide = jnp.promote_types(self.dtype, jnp.float32)
        product = jnp.einsum(
            "..." + self.equation.replace(",", ",...").replace("->", "->..."),
            *factors,
            precision=jax.lax.Precision.HIGHEST,
            preferred_element_type=wide,
        )
        return product.astype(self.dtype)


def _dense(factors: list[Any], equation: str, stacked: int) -> np.ndarray:
    """Return the product, one layer of a stack after the other: numpy is slow with all at once."""
    dtype = factors[0].dtype
    wide = dtype if dtype.itemsize >= 4 else np.dtype(np.float32)
    stack = factors[0].shape[:stacked]
    flat = [np.asarray(f, wide).reshape(-1, *f.shape[stacked:]) for f in factors]
    parts = [
        np.einsum(equation, *(f[k] for f in flat), optimize=True) for k in range(math.prod(stack))
    ]
    if not parts:
        parts = [np.einsum(equation, *(np.zeros(f.shape[1:], wide) for f in flat))]
        return np.empty((*stack, *parts[0].shape), dtype)
    with np.errstate(over="ignore"):
        return np.stack(parts).reshape(*stack, *parts[0].shape).astype(dtype, copy=False)


def broken_rule(equation: Any, shapes: list[tuple[int, ...]]) -> str | None:
    """Return why factors of these shapes are no leaf with this equation, None if they are.

    Example:
        >>> broken_rule("ir,ro->io", [(4, 2), (2, 3)])
        >>> broken_rule("ir,ro->io", [(4, 2), (3, 3)])
        'axis r must have one size, got 2 and 3'
    """
    if not isinstance(equation, str) or not re.fullmatch("[a-z]+(,[a-z]+)+->[a-z]+", equation):
        return f"equation must be of the form ir,ro->io, got {str(equation)[:40]!r}"
    terms, axes = equation.split("->")[0].split(","), equation.split("->")[1]
    every = "".join(terms)
    if any(len(set(word)) < len(word) for word in (axes, *terms)):
        return f"a factor must have each axis once, got {equation}"
    for name in sorted(set(every + axes)):
        if (every.count(name) != 1) if name in axes else (every.count(name) < 2):
            return f"axis {name} must be in one factor, or summed over several, got {equation}"
    if len(shapes) != len(terms) or len(terms) > MOST_FACTORS:
        return f"factors must be {len(terms)}, and at most {MOST_FACTORS}, got {len(shapes)}"
    stacked = len(shapes[0]) - len(terms[0])
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if stacked < 0 or len(shape) != stacked + len(term) or shape[:stacked] != shapes[0][:stacked]:
            return f"factors must have the axes of {equation} after shared ones, got {shapes}"
        for name, size in zip(term, shape[stacked:], strict=True):
            if sizes.setdefault(name, size) != size:
                return f"axis {name} must have one size, got {sizes[name]} and {size}"
    return None
