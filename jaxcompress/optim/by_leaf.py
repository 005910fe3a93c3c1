"""Trees matched leaf by leaf: params, updates and masks may come in different containers."""

from collections.abc import Callable
from typing import Any

import jax

from jaxcompress.kinds import native
from jaxcompress.trees import PyTree


def flatten(
    tree: PyTree, is_leaf: Callable[[Any], bool] = lambda node: False
) -> tuple[list[Any], Any]:
    """Return leaves and structure, None (an update that is not there) counted as a leaf."""
    leaves, treedef = jax.tree.flatten(tree, is_leaf=lambda node: node is None or is_leaf(node))
    return list(map(native, leaves)), treedef


def map_leaves(function: Callable[..., Any], updates: PyTree, *others: PyTree) -> PyTree:
    """Map over updates and, by position, other trees; updates that are None stay so."""
    leaves, treedef = flatten(updates)
    rest = [flatten(other)[0] for other in others]
    mapped = [
        None if leaf is None else function(leaf, *row)
        for leaf, *row in zip(leaves, *rest, strict=True)
    ]
    return jax.tree.unflatten(treedef, mapped)


def check_params(name: str, params: PyTree | None) -> None:
    """Refuse an update without params."""
    if params is None:
        raise ValueError(f"{name}: update needs params; call tx.update(grads, state, params).")
