"""Trees matched leaf by leaf, for transforms that meet params in several guises."""

from collections.abc import Callable

import jax

from jaxcompress.leaves import is_compressed
from jaxcompress.trees import PyTree, named_leaves


def map_leaves(function: Callable[..., jax.Array], tree: PyTree, *others: PyTree) -> PyTree:
    """Map over leaves by position: some libraries wrap the same leaves in other containers."""
    leaves, treedef = jax.tree.flatten(tree)
    return jax.tree.unflatten(
        treedef, list(map(function, leaves, *(jax.tree.leaves(other) for other in others)))
    )


def check_leaves(name: str, tree: PyTree, params: PyTree) -> None:
    """Refuse a tree that has not the leaves of params, of the same shapes."""
    named = named_leaves(params)
    leaves = jax.tree.leaves(tree, is_leaf=is_compressed)
    if len(leaves) != len(named.leaves):
        raise ValueError(
            f"{name}: must have a leaf for each of the {len(named.leaves)} of params, got "
            f"{len(leaves)}; build it from the same tree."
        )
    for path, leaf, param in zip(named.paths, leaves, named.leaves, strict=True):
        if tuple(leaf.shape) != tuple(param.shape):
            raise ValueError(
                f"{path}: {name} must have the shape of the params, {tuple(param.shape)}, got "
                f"{tuple(leaf.shape)}; build it from the same tree."
            )


def check_params(name: str, params: PyTree | None) -> None:
    """Refuse an update without params."""
    if params is None:
        raise ValueError(f"{name}: update needs params; call tx.update(grads, state, params).")
