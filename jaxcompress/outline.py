"""The structure of a tree as plain JSON: containers and keys, no class names.

`{"dict": [[key, child], ...]}`, `{"list": [child, ...]}`, `{"tuple": [child, ...]}`, `null` for
None, and an integer for a leaf: its number. Containers of other kinds (named tuples, modules,
states) become dicts of their fields.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from jaxcompress.trees import PyTree

Outline = dict[str, Any] | int | None


def outline(tree: PyTree, is_leaf: Callable[[Any], bool]) -> Outline:
    """Return the structure of `tree`, its leaves numbered in the order of `jax.tree.leaves`.

    Raises:
        TypeError: a key is neither a string nor an integer.
    """
    return _outline(tree, is_leaf, iter(range(2**62)))


def _outline(node: PyTree, is_leaf: Callable[[Any], bool], numbers: Iterator[int]) -> Outline:
    if node is None:
        return None
    if is_leaf(node) or jax.tree_util.all_leaves([node]):
        return next(numbers)
    children, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    outlines = [_outline(child, is_leaf, numbers) for _, child in children]
    if type(node) in (list, tuple):
        return {type(node).__name__: outlines}
    keys = [_key(path[0]) for path, _ in children]
    return {"dict": [[key, child] for key, child in zip(keys, outlines, strict=True)]}


def _key(entry: Any) -> str | int:
    """Return the key of one step of a JAX key path."""
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            key = getattr(entry, attribute)
            if isinstance(key, str | int) and not isinstance(key, bool):
                return key
    raise TypeError(
        f"{entry}: keys must be strings or integers to be stored, got another kind; rename it "
        "before saving."
    )


def fill(structure: Any, leaves: Sequence[Any]) -> PyTree:
    """Return the tree of that structure with the given leaves.

    Raises:
        ValueError: the structure is not an outline, or does not number each leaf once.
    """
    seen: list[int] = []
    tree = _fill(structure, leaves, seen)
    if sorted(seen) != list(range(len(leaves))):
        raise ValueError(f"{len(seen)} numbered leaves for {len(leaves)} tensors")
    return tree


def _fill(node: Any, leaves: Sequence[Any], seen: list[int]) -> PyTree:
    if node is None:
        return None
    if isinstance(node, int) and not isinstance(node, bool):
        if not 0 <= node < len(leaves):
            raise ValueError(f"leaf number {node} of {len(leaves)}")
        seen.append(node)
        return leaves[node]
    if isinstance(node, dict) and len(node) == 1:
        ((kind, children),) = node.items()
        if kind == "dict" and isinstance(children, list) and all(map(_is_pair, children)):
            return {key: _fill(child, leaves, seen) for key, child in children}
        if kind in ("list", "tuple") and isinstance(children, list):
            filled = [_fill(child, leaves, seen) for child in children]
            return filled if kind == "list" else tuple(filled)
    raise ValueError(f"no container: {str(node)[:40]}")


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str | int)
