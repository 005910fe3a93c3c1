"""The structure of a tree as plain JSON: containers and keys, no class names.

`{"dict": [[key, child], ...]}`, `{"list": [child, ...]}`, `{"tuple": [child, ...]}`, `null` for
None, and an integer for a leaf: its number. Containers of other kinds (named tuples, modules,
states) become dicts of their fields.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


def paths(structure: Outline) -> list[str]:
    """Return the path of each leaf, in the order of their numbers: keys joined by slashes.

    Raises:
        ValueError: the structure is not an outline, or does not number its leaves 0, 1, ...
    """
    found: dict[int, str] = {}
    _collect(structure, (), found)
    if list(found) != sorted(found) or any(n != i for i, n in enumerate(found)):
        raise ValueError("leaves must be numbered in order, each once")
    return list(found.values())


def _collect(node: Any, keys: tuple[str, ...], found: dict[int, str]) -> None:
    if node is None:
        return
    if type(node) is int:
        if node in found:
            raise ValueError(f"leaf number {node} is there twice")
        found[node] = "/".join(keys)
        return
    for key, child in _children(node)[1]:
        _collect(child, (*keys, str(key)), found)


def fill(structure: Outline, leaves: Sequence[Any]) -> PyTree:
    """Return the tree of that structure with the given leaves; `paths` has checked it."""
    if structure is None:
        return None
    if isinstance(structure, int):
        return leaves[structure]
    kind, children = _children(structure)
    return kind((key, fill(child, leaves)) for key, child in children)


_KINDS: dict[str, Callable[[Iterable[tuple[Any, PyTree]]], PyTree]] = {
    "dict": dict,
    "list": lambda pairs: [child for _, child in pairs],
    "tuple": lambda pairs: tuple(child for _, child in pairs),
}


def _children(node: Any) -> tuple[Callable[..., PyTree], list[tuple[Any, Any]]]:
    """Return how a container is made, and its keys and children.

    Raises:
        ValueError: it is not a container.
    """
    if isinstance(node, dict) and len(node) == 1:
        ((kind, children),) = node.items()
        if kind == "dict" and isinstance(children, list) and all(map(_is_pair, children)):
            keys = [key for key, _ in children]
            if len(set(keys)) != len(keys) or len({type(key) for key in keys}) > 1:
                raise ValueError(f"keys must differ and be of one kind: {str(keys)[:60]}")
            return _KINDS[kind], [(key, child) for key, child in children]
        if kind in ("list", "tuple") and isinstance(children, list):
            return _KINDS[kind], list(enumerate(children))
    raise ValueError(f"no container: {str(node)[:40]}")


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and type(item[0]) in (str, int)
