"""Lists of modules, of which some may have been dropped."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

Path = tuple[Any, ...]
"""Keys on the way to a part of a module."""


def held_in(params: Mapping[str, Any], path: Path) -> int:
    """Return the number of modules that `params` holds of the list at a path."""
    held: Any = params
    for key in path:
        held = held.get(key, {}) if isinstance(held, Mapping) else {}
    return len(held)


def lists_of(nnx: Any, module: Any, kind: Any) -> dict[Path, list[int]]:
    """Return the lists of a module, and which of their entries hold arrays of a kind."""
    found = {}
    for path, node in nnx.iter_graph(module):
        if isinstance(node, nnx.List):
            states = (nnx.state(each, kind) if _is_node(nnx, each) else {} for each in node)
            found[path] = [n for n, state in enumerate(states) if jax.tree.leaves(state)]
    return found


def _is_node(nnx: Any, value: Any) -> bool:
    return isinstance(value, (nnx.Module, nnx.Variable, list, dict)) or hasattr(value, "shape")


def shorten(
    nnx: Any,
    module: Any,
    lists: Mapping[Path, Sequence[int]],
    counts: Mapping[Path, int],
) -> None:
    """Drop entries with arrays from the end of each list, until as many as given are left.

    Entries without arrays, activations say, stay; so does a list of which there is no array.
    """
    for path, node in list(nnx.iter_graph(module)):
        count = counts.get(path, 0)
        for place in reversed(lists.get(path, ())[count:] if count else ()):
            del node[place]
