"""Tensors that are products of smaller ones."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves._namespace import namespace
from jaxcompress.leaves._sized import Sized
from jaxcompress.placement import along
from jaxcompress.trees import Array

MOST_FACTORS = 8
"""Most factors of a tensor: the order of their products is searched for."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class LowRank(Sized):
    """A tensor that is a product of smaller ones.

    `dense = einsum(equation, *factors)`. `"ir,ro->io"` is the product of two matrices of rank `r`;
    `"hwir,ro->hwio"` a convolution to `r` channels, followed by one of 1x1; `"ir,hwrs,so->hwio"`
    is Tucker-2, `"hr,wr,ir,or->hwio"` CP. Factors may have further axes before those that the
    equation names, the same in all factors; they are the first axes of the tensor. `[layers, i, r]`
    and `[layers, r, o]` are stacked layers, which `jax.lax.scan`, `jax.vmap` and
    `jax.tree.map(lambda factor: factor[k], leaf)` separate.

    The factors are the leaf's children: they get gradients, and can be pruned, shared or rounded as
    other arrays.

    Attributes:
        factors: arrays of one dtype, or compressed leaves of one.
        equation: letters for the axes of each factor and of the tensor; each axis of the tensor is
            in one factor.

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
        return _parts(self.equation)[0]

    @property
    def axes(self) -> str:
        """Letters of the axes of the tensor, without the first axes, which all factors have."""
        return _parts(self.equation)[1]

    @property
    def stack(self) -> tuple[int, ...]:
        """Sizes of the first axes, which all factors have."""
        shape = self.factors[0].shape
        return tuple(shape[: len(shape) - len(self.terms[0])])

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each axis by its letter."""
        return axis_sizes(self.equation, [factor.shape for factor in self.factors])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense tensor."""
        sizes = self.sizes
        return (*self.stack, *(sizes.get(name, 0) for name in self.axes))

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
            return _dense(factors, self.equation, self.stack, self.shape)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        product = jnp.einsum(
            "..." + self.equation.replace(",", ",...").replace("->", "->..."),
            *factors,
            precision=jax.lax.Precision.HIGHEST,
            preferred_element_type=wide,
        )
        return product.astype(self.dtype)


def factors_along(product: LowRank, tensor: Any) -> LowRank:
    """Return a product whose factors have the axes of a tensor split as these are.

    The axes that are summed are not split.
    """
    terms, axes = _parts(product.equation)
    stacked = len(product.stack)
    place = {name: stacked + number for number, name in enumerate(axes)}
    factors = (
        along(factor, tensor, (*range(stacked), *map(place.get, term)))
        for term, factor in zip(terms, product.factors, strict=True)
    )
    return replace(product, factors=tuple(factors))


def _parts(equation: str) -> tuple[list[str], str]:
    """Return the letters of each factor and of the tensor."""
    terms, _, axes = equation.partition("->")
    return terms.split(","), axes


def axis_sizes(equation: str, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    """Return the size of each axis of factors of these shapes, by its letter.

    Example:
        >>> axis_sizes("ir,ro->io", [(9, 4, 2), (9, 2, 3)])
        {'i': 4, 'r': 2, 'o': 3}
    """
    # Not strict: leaves that are not products need a shape too, for the error that refuses them.
    pairs = zip(_parts(equation)[0], shapes, strict=False)
    return {
        name: size
        for term, shape in pairs
        for name, size in zip(term, shape[-len(term) :], strict=False)
    }


def largest_product(equation: str, sizes: dict[str, int]) -> int:
    """Return the size of the largest array in the computation of the tensor from its factors.

    Example:
        >>> largest_product("hr,wr,ir,or->hwio", {"h": 3, "w": 3, "i": 2, "o": 4, "r": 8})
        144
    """
    return max(math.prod(sizes[name] for name in result) for _, result in _pairwise(equation))


def _pairwise(equation: str) -> list[tuple[str, str]]:
    """Return the equations that multiply factor by factor, and the axes of each result."""
    terms, axes = _parts(equation)
    left, products = terms[0], []
    for k, term in enumerate(terms[1:], 2):
        later = axes + "".join(terms[k:])
        result = "".join(sorted({*left, *term} & {*later}, key=later.index))
        products.append((f"{left},{term}->{result}", result))
        left = result
    return products


def _dense(factors: list[Any], equation: str, stack: tuple[int, ...], shape: Any) -> np.ndarray:
    """Return the product, one layer of a stack after another."""
    dtype = factors[0].dtype
    wide = dtype if dtype.itemsize >= 4 else np.dtype(np.float32)
    result = np.empty(shape, dtype)
    for layer in np.ndindex(stack):
        # In one layout, so that factors have the same product before and after a file.
        product, *others = (np.asarray(factor[layer], wide, order="C") for factor in factors)
        for (pair, _), factor in zip(_pairwise(equation), others, strict=True):
            product = np.einsum(pair, product, factor, optimize=True)
        with np.errstate(over="ignore"):
            result[layer] = product
    return result


def broken_rule(equation: Any, shapes: list[tuple[int, ...]]) -> str | None:
    """Return the rule that factors of these shapes break with this equation, None if they fit.

    Example:
        >>> broken_rule("ir,ro->io", [(4, 2), (2, 3)])
        >>> broken_rule("ir,ro->io", [(4, 2), (3, 3)])
        'axis r must have one size, got 2 and 3'
    """
    if not isinstance(equation, str) or not re.fullmatch("[a-z]+(,[a-z]+)+->[a-z]+", equation):
        return f"equation must be of the form ir,ro->io, got {str(equation)[:40]!r}"
    terms, axes = _parts(equation)
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
        if (
            stacked < 0
            or len(shape) != stacked + len(term)
            or shape[:stacked] != shapes[0][:stacked]
        ):
            return f"factors must have the axes of {equation} after shared ones, got {shapes}"
        for name, size in zip(term, shape[stacked:], strict=True):
            if sizes.setdefault(name, size) != size:
                return f"axis {name} must have one size, got {sizes[name]} and {size}"
    return None
