"""The structure of a tree as plain JSON: containers and keys, no class names.

`{"dict": [[key, child], ...]}`, `{"list": [child, ...]}`, `{"tuple": [child, ...]}`, `null` for
None, and an integer for a leaf: its number. Containers of other kinds (named tuples, modules,
states) become dicts of their fields.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax

from jaxcompress.trees import PyTree, nested

Outline = dict[str, Any] | int | None

MOST_DEPTH = 64
"""Deepest nesting of containers, well below the recursion limit of Python."""


def outline(tree: PyTree, is_leaf: Callable[[Any], bool]) -> Outline:
    """Return the structure of `tree`, its leaves numbered in the order of `jax.tree.leaves`.

    Raises:
        TypeError: a key is neither a string nor an integer.
        ValueError: containers nested too deep.
    """
    return _outline(tree, is_leaf, iter(range(2**62)), 0)


def _outline(
    node: PyTree, is_leaf: Callable[[Any], bool], numbers: Iterator[int], depth: int
) -> Outline:
    if node is None:
        return None
    if depth > MOST_DEPTH:
        raise ValueError(
            f"tree: containers must be nested at most {MOST_DEPTH} deep, got more; flatten it."
        )
    if is_leaf(node) or jax.tree_util.all_leaves([node]):
        return next(numbers)
    children, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    outlines = [_outline(child, is_leaf, numbers, depth + 1) for _, child in children]
    if type(node) in (list, tuple):
        return {type(node).__name__: outlines}
    keys = [_key(path[0]) for path, _ in children]
    return {"dict": [[key, child] for key, child in zip(keys, outlines, strict=True)]}


def _key(entry: Any) -> str | int:
    """Return the key of one entry of a JAX key path."""
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            key = getattr(entry, attribute)
            if type(key) in (str, int):
                return key
    raise TypeError(
        f"{entry}: keys must be strings or integers to be stored, got another kind; rename it "
        "before saving."
    )


def paths(structure: Outline, *, most_letters: int | None = None) -> list[str]:
    """Return the path of each leaf, in the order of their numbers: keys joined by slashes.

    Args:
        structure: from `outline`, or any value.
        most_letters: of all paths together; a long key above many leaves makes the paths far longer
            than the structure.

    Raises:
        ValueError: the structure is not an outline, or does not number its leaves 0, 1, ...
    """
    found: list[str] = []
    letters = 0
    for number, keys in _leaves(structure, ()):
        letters += sum(map(len, keys)) + max(len(keys) - 1, 0)
        if number != len(found) or (most_letters is not None and letters > most_letters):
            raise ValueError("leaves must be numbered in order, and have paths of such a length")
        found.append("/".join(keys))
    return found


def _leaves(node: Any, keys: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    if type(node) is int:
        yield node, keys
    elif node is not None:
        if len(keys) > MOST_DEPTH:
            raise ValueError(f"containers are nested more than {MOST_DEPTH} deep")
        for key, child in _children(node)[1]:
            yield from _leaves(child, (*keys, str(key)))


def subset(structure: Outline, numbers: Iterable[int]) -> Outline:
    """Return the structure of some leaves, numbered anew in their order.

    Containers without any of them are left out. A list that loses some becomes a dict of the
    indices, so that paths stay as they are.

    Args:
        structure: from `outline`.
        numbers: of the leaves to keep.

    Example:
        >>> subset({"dict": [["a", {"list": [0, 1]}], ["b", 2]]}, [1])
        {'dict': [['a', {'dict': [[1, 0]]}]]}
    """
    places = {number: place for place, number in enumerate(sorted(numbers))}
    return _subset(structure, places)


def _subset(node: Any, places: Mapping[int, int]) -> Outline:
    if type(node) is int:
        return places.get(node)
    if node is None:
        return None
    (kind,) = node
    found = [(key, child, _subset(child, places)) for key, child in _children(node)[1]]
    kept = [[key, new] for key, old, new in found if new is not None or old is None]
    if all(new is None for _, new in kept):
        return None
    if kind != "dict" and len(kept) == len(found):
        return {kind: [new for _, new in kept]}
    return {"dict": kept}


def from_paths(names: Sequence[str]) -> Outline:
    """Return the structure of nested dicts with these paths: slashes separate keys.

    Raises:
        ValueError: they are not the paths of such a tree, in the order of `jax.tree.leaves`.

    Example:
        >>> from_paths(["a/b", "a/c", "d"])
        {'dict': [['a', {'dict': [['b', 0], ['c', 1]]}], ['d', 2]]}
    """
    structure = _from_dict(nested(_numbered(names)))
    if paths(structure) != list(names):
        raise ValueError("paths are not in the order of a tree")
    return structure


def _numbered(names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each path and its number, after the check that it is not too deep."""
    for number, name in enumerate(names):
        if name.count("/") > MOST_DEPTH:
            raise ValueError(f"containers are nested more than {MOST_DEPTH} deep")
        yield name, number


def _from_dict(node: dict[str, Any] | int) -> Outline:
    if isinstance(node, int):
        return node
    return {"dict": [[key, _from_dict(node[key])] for key in sorted(node)]}


def fill(structure: Outline, leaves: Sequence[Any]) -> PyTree:
    """Return the tree of a structure, which `paths` has checked, with the given leaves."""
    if structure is None:
        return None
    if isinstance(structure, int):
        return leaves[structure]
    kind, children = _children(structure)
    return kind((key, fill(child, leaves)) for key, child in children)


def fill_some(structure: Outline, leaves: Mapping[int, Any]) -> PyTree:
    """Return the tree of a structure with some of its leaves.

    Keys of dicts without a leaf are left out; in lists and tuples None takes their places.

    Example:
        >>> structure = {"dict": [["a", {"list": [0, 1]}], ["b", 2], ["c", None]]}
        >>> fill_some(structure, {1: 0.5})
        {'a': [None, 0.5]}
    """
    found = _some(structure, leaves)
    return None if found is _NOTHING else found


_NOTHING = object()


def _some(node: Outline, leaves: Mapping[int, Any]) -> PyTree:
    if node is None:
        return _NOTHING
    if isinstance(node, int):
        return leaves.get(node, _NOTHING)
    kind, children = _children(node)
    found = [(key, _some(child, leaves)) for key, child in children]
    if all(child is _NOTHING for _, child in found):
        return _NOTHING
    if kind is dict:
        return {key: child for key, child in found if child is not _NOTHING}
    return kind((key, None if child is _NOTHING else child) for key, child in found)


_KINDS: dict[str, Callable[[Iterable[tuple[Any, PyTree]]], PyTree]] = {
    "dict": dict,
    "list": lambda pairs: [child for _, child in pairs],
    "tuple": lambda pairs: tuple(child for _, child in pairs),
}


def _children(node: Any) -> tuple[Callable[..., PyTree], list[tuple[Any, Any]]]:
    """Return the function that makes a container, and its keys and children.

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
