"""Training with rounded weights: gradients pass the rounding as if it were not there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves import Clustered, Half, Quantized, dense, is_compressed
from jaxcompress.leaves.quantized import spread
from jaxcompress.quantization.grids import QParams, make_grid, to_integers
from jaxcompress.trees import NamedLeaves, PyTree, named_leaves


def rounded(compressed: PyTree) -> Callable[[PyTree], PyTree]:
    """Return a function from parameters to those that a compressed tree can hold.

    Weights are rounded to the grids and codebooks of the tree; those that are zero in it stay zero,
    so that training does not make the file larger. The derivative is that of the identity (the
    straight-through estimator). Leaves of 16 bits are trained as they are, factors not at all.

    Args:
        compressed: a tree with compressed leaves.

    Example:
        >>> leaf = Quantized(values=np.int8([[1, 0]]), scale=np.float32([[0.5]]), bits=4)
        >>> view = rounded({"w": leaf})
        >>> view({"w": jnp.array([[0.9, 0.7]])})["w"].tolist()
        [[1.0, 0.0]]

    Source: Bengio et al. 2013, arXiv:1308.3432.
    """
    held = named_leaves(compressed, is_leaf=is_compressed).leaves
    grids = [None if _is_free(leaf) else _placed(leaf) for leaf in held]

    def view(params: PyTree) -> PyTree:
        named = named_leaves(params)
        pairs = zip(named.leaves, grids, strict=True)
        return named.rebuild([w if grid is None else _seen(w, grid) for w, grid in pairs])

    return view


def on_same_grids(params: PyTree, compressed: PyTree) -> PyTree:
    """Return a compressed tree with the weights of trained parameters on its grids and codebooks.

    Args:
        params: after training with `rounded(compressed)`.
        compressed: a tree with compressed leaves.

    Example:
        >>> leaf = Quantized(values=np.int8([[1, 0]]), scale=np.float32([[0.5]]), bits=4)
        >>> on_same_grids({"w": jnp.array([[0.9, 0.7]])}, {"w": leaf})["w"].values.tolist()
        [[2, 0]]
    """
    named: NamedLeaves = named_leaves(compressed, is_leaf=is_compressed)
    trained = named_leaves(params).leaves
    pairs = zip(named.leaves, trained, strict=True)
    return named.rebuild([_encoded(old, np.asarray(new)) for old, new in pairs])


def _is_free(leaf: Any) -> bool:
    """Return whether a leaf is trained without rounding: those of 16 bits too."""
    return not is_compressed(leaf) or isinstance(leaf, Half)


def _placed(leaf: Any) -> Any:
    return jax.tree.map(jnp.asarray, leaf)


def _seen(weight: Any, leaf: Any) -> Any:
    exact = leaf.dense()
    if not isinstance(leaf, (Quantized, Clustered)):
        return jax.lax.stop_gradient(exact)
    if isinstance(leaf, Quantized):
        near = replace(leaf, values=_levels(weight, leaf)).dense()
    else:
        near = _values(leaf)[_nearest(weight, leaf)]
    through = weight + jax.lax.stop_gradient(near - weight)
    return jnp.where(exact != 0, through, 0)


def _levels(weight: Any, leaf: Quantized) -> Any:
    zero = None if leaf.zero_point is None else spread(leaf.zero_point, leaf.shape)
    grid = make_grid(leaf.bits, symmetric=zero is None)
    return to_integers(weight, QParams(spread(leaf.scale, leaf.shape), zero), grid)


def _values(leaf: Clustered) -> Any:
    zero = jnp.zeros(1, leaf.codebook.dtype)
    return jnp.concatenate([zero, jnp.asarray(leaf.codebook)])


def _nearest(weight: Any, leaf: Clustered) -> Any:
    """Return the code of the nearest value of the codebook."""
    order = jnp.argsort(leaf.codebook)
    ascending = leaf.codebook[order]
    between = (ascending[1:] + ascending[:-1]) / 2
    return order[jnp.searchsorted(between, weight)] + 1


def _encoded(leaf: Any, weight: np.ndarray) -> Any:
    if _is_free(leaf):
        return weight
    if not isinstance(leaf, (Quantized, Clustered)):
        return leaf
    held = _placed(leaf)
    is_kept = np.asarray(dense({"": leaf})[""]) != 0
    if isinstance(leaf, Quantized):
        zero = 0 if leaf.zero_point is None else np.asarray(spread(leaf.zero_point, leaf.shape))
        found = np.where(is_kept, np.asarray(_levels(weight, held)), zero).astype(np.int8)
        return replace(leaf, values=found)
    codes = np.where(is_kept, np.asarray(_nearest(weight, held)), 0)
    return replace(leaf, codes=codes.astype(np.asarray(leaf.codes).dtype))
