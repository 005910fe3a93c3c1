"""Trees matched leaf by leaf: params, updates and masks may come in different containers."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxcompress.kinds import native
from jaxcompress.trees import PyTree, path_text


def flatten(
    tree: PyTree, is_leaf: Callable[[Any], bool] = lambda node: False
) -> tuple[list[Any], Any]:
    """Return leaves and structure, None (a missing update) counted as a leaf."""
    leaves, treedef = jax.tree.flatten(tree, is_leaf=lambda node: node is None or is_leaf(node))
    return list(map(native, leaves)), treedef


def map_leaves(function: Callable[..., Any], updates: PyTree, *others: PyTree) -> PyTree:
    """Map over updates and, by position, other trees; updates that are None remain None."""
    leaves, treedef = flatten(updates)
    rest = [flatten(other)[0] for other in others]
    mapped = [
        None if leaf is None else function(leaf, *row)
        for leaf, *row in zip(leaves, *rest, strict=True)
    ]
    return jax.tree.unflatten(treedef, mapped)


def is_hidden(node: Any) -> bool:
    """Return whether a wrapper, `optax.masked` or `multi_transform`, hides the leaf here."""
    return isinstance(node, optax.MaskedNode)


def seen(
    tree: PyTree, params: PyTree, is_leaf: Callable[[Any], bool] = lambda node: False
) -> PyTree:
    """Return a tree of the whole network without what is hidden in the params of a transform.

    Args:
        tree: like the whole network, or like `params`.
        params: as the transform gets them, with a `MaskedNode` for each leaf or subtree of another
            transform.
        is_leaf: as in `jax.tree.flatten`, of `tree`.

    Returns:
        `tree` in the containers of `params`, or unchanged if nothing is hidden or it does not fit.
    """
    spots, treedef = jax.tree_util.tree_flatten_with_path(params, is_leaf=is_hidden)
    if not any(is_hidden(spot) for _, spot in spots):
        return tree
    flat = jax.tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda node: is_hidden(node) or is_leaf(node)
    )[0]
    given = [(_text(path), leaf) for path, leaf in reversed(flat)]
    kept = []
    for path, spot in spots:
        if is_hidden(spot):
            while given and _same_place(given[-1][0], _text(path)):
                given.pop()
            kept.append(spot)
        elif given:
            kept.append(given.pop()[1])
    return jax.tree.unflatten(treedef, kept) if len(kept) == len(spots) and not given else tree


def _text(path: Any) -> str:
    return path_text(path) + "/"


def _same_place(one: str, other: str) -> bool:
    """Return whether one path leads to the other; some libraries wrap each leaf once more."""
    return one.startswith(other) or other.startswith(one)


def check_params(name: str, params: PyTree | None) -> None:
    """Refuse an update without params."""
    if params is None:
        raise ValueError(f"{name}: update needs params; call tx.update(grads, state, params).")
