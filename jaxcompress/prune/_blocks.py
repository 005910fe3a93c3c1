"""Dropping whole blocks of layers, wherever a tree keeps them."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.bounds import is_integer
from jaxcompress.leaves import is_compressed
from jaxcompress.prune._shrink import cut_out
from jaxcompress.trees import PyTree, named_leaves, path_text, some_of


def drop_blocks(tree: PyTree, at: str, *, keep: Sequence[int]) -> PyTree:
    """Keep some blocks of a network; they become blocks 0, 1, 2, ... of a shallower one.

    Blocks are listed (a list, a dict with numbers for keys, keys that end in a number: `block1`,
    `block2`) or stacked (arrays whose first axis is that of the blocks, as `lax.scan` takes
    them). Listed ones take the names of the first, so that the code that made them for a smaller
    depth runs on them; other keys beside them are kept. Blocks are removed wherever a path ends in
    `at`: trees that mirror the parameters shrink alike, such as statistics, masks and optimizer
    states.

    Gathered to the host: nothing.

    Args:
        tree: parameters, or a tree that mirrors them.
        at: path of what holds the blocks (`"encoder/blocks"`), or of what their names begin with
            (`"encoder/block"` for `encoder/block1`).
        keep: positions of the blocks that are kept, from 0, ascending; from `choose_blocks`.

    Returns:
        The tree with fewer blocks; nothing else changes.

    Raises:
        ValueError: nothing at `at`, places with other numbers of blocks, stacked arrays of other
            lengths, no block kept, or positions out of range, repeated or not ascending.
        TypeError: positions that are not integers, stacked leaves that are compressed.

    Example:
        >>> params = {"blocks": {k: np.full(2, k) for k in range(4)}, "head": np.ones(2)}
        >>> small = drop_blocks(params, "blocks", keep=[0, 3])
        >>> {k: block.tolist() for k, block in small["blocks"].items()}
        {0: [0, 0], 1: [3, 3]}

    Source: Sajjad et al. 2020, arXiv:2004.03844.
    """
    kept = _check_keep(at, keep, count_blocks(tree, at))

    def rebuilt(path: str, node: Any) -> Any:
        if found := _blocks(path, node, at):
            return found.cut(kept)
        children, treedef = _children(path, node)
        return treedef.unflatten(
            [child if child is node else rebuilt(p, child) for p, child in children]
        )

    return rebuilt("", tree)


def count_blocks(tree: PyTree, at: str) -> int:
    """Return how many blocks a tree has.

    Args:
        tree: parameters, or a tree that mirrors them.
        at: as in `drop_blocks`.

    Raises:
        ValueError: nothing at `at`, places with other numbers of blocks, stacked arrays of other
            lengths.
        TypeError: stacked leaves that are compressed.

    Example:
        >>> count_blocks({"block1": np.ones(2), "block2": np.ones(2), "head": np.ones(2)}, "block")
        2
    """
    depths = dict(_depths("", tree, at))
    if not depths:
        raise ValueError(
            f"{at}: must be where the tree has blocks, got no such place among "
            f"{some_of(named_leaves(tree, is_leaf=is_compressed).paths)}; pass the path of what "
            "holds them, or of what their names begin with."
        )
    if len(set(depths.values())) > 1:
        found = ", ".join(f"{path} ({depth})" for path, depth in depths.items())
        raise ValueError(
            f"{at}: must be places with one number of blocks, got {found}; pass a longer path."
        )
    return next(iter(depths.values()))


class _Blocks(NamedTuple):
    """Blocks in one place: how many, and from positions to what holds these alone."""

    depth: int
    cut: Callable[[Sequence[int]], Any]


def _blocks(path: str, node: Any, at: str) -> _Blocks | None:
    if _ends_in(path, at):
        if isinstance(node, list | tuple) and node and not hasattr(node, "_fields"):
            return _Blocks(len(node), lambda keep: type(node)(node[k] for k in keep))
        if isinstance(node, Mapping) and (names := _numbered(node, "")):
            return _named(node, names)
        return _stacked(path, node) if jax.tree.leaves(node) else None
    prefix = at.rpartition("/")[2]
    if isinstance(node, Mapping) and _ends_in(_join(path, prefix), at):
        names = _numbered(node, prefix)
        return _named(node, names) if names else None
    return None


def _ends_in(path: str, at: str) -> bool:
    return path == at or path.endswith(f"/{at}")


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _numbered(node: Mapping[Any, Any], prefix: str) -> list[Any]:
    """Return the keys that are a prefix and a number, by their numbers."""
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)", re.ASCII)
    found = [(match, key) for key in node if (match := pattern.fullmatch(str(key)))]
    return [key for _, key in sorted(found, key=lambda pair: int(pair[0][1]))]


def _named(node: Mapping[Any, Any], names: Sequence[Any]) -> _Blocks:
    def cut(keep: Sequence[int]) -> Any:
        blocks = {name: node[names[k]] for name, k in zip(names, keep, strict=False)}
        gone = {*names} - {*blocks}
        rest = {name: blocks.get(name, child) for name, child in node.items() if name not in gone}
        if isinstance(node, defaultdict):
            return defaultdict(node.default_factory, rest)
        return type(node)(rest)  # type: ignore[call-arg]

    return _Blocks(len(names), cut)


def _stacked(path: str, node: Any) -> _Blocks:
    named = named_leaves(node, is_leaf=is_compressed)
    depths: dict[int, str] = {}
    for tail, leaf in zip(named.paths, named.leaves, strict=True):
        if is_compressed(leaf):
            raise TypeError(
                f"{_join(path, tail)}: stacked blocks must be arrays, got "
                f"{type(leaf).__name__}; drop them before the tree is compressed."
            )
        depths.setdefault(leaf.shape[0] if leaf.shape else -1, _join(path, tail))
    if len(depths) != 1 or -1 in depths:
        found = some_of([f"{name} {n if n >= 0 else 'no axis'}" for n, name in depths.items()])
        raise ValueError(
            f"{path}: stacked arrays must have one axis of the same length in front, got {found}; "
            "pass the path of what holds the blocks and nothing else."
        )
    ((depth, _),) = depths.items()
    return _Blocks(
        depth,
        lambda keep: named.rebuild([cut_out(leaf, {0: np.array(keep)}) for leaf in named.leaves]),
    )


def _depths(path: str, node: Any, at: str) -> Iterator[tuple[str, int]]:
    if found := _blocks(path, node, at):
        yield path, found.depth
        return
    for below, child in _children(path, node)[0]:
        if child is not node:
            yield from _depths(below, child, at)


def _children(path: str, node: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Return the children of a node with their paths, and its structure."""
    flat, treedef = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    names = [path_text(keys) for keys, _ in flat]
    pairs = zip(names, (child for _, child in flat), strict=True)
    return [(_join(path, name), child) for name, child in pairs], treedef


def _check_keep(at: str, keep: Sequence[int], depth: int) -> list[int]:
    if not isinstance(keep, Iterable):
        raise TypeError(
            f"{at}: keep must be positions of blocks, got {keep!r}; choose_blocks takes how many."
        )
    kept = list(keep)
    wrong = [k for k in kept if not is_integer(k)]
    if wrong:
        raise TypeError(
            f"{at}: keep must be positions of blocks, integers from 0, got {wrong[0]!r}; use "
            "choose_blocks."
        )
    if not kept or kept != sorted(set(kept)) or not 0 <= kept[0] <= kept[-1] < depth:
        raise ValueError(
            f"{at}: keep must be at least one of 0 to {depth - 1}, ascending and each once, got "
            f"{kept}; use choose_blocks."
        )
    return [int(k) for k in kept]
