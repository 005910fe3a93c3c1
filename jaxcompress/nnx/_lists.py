"""Lists of modules, of which some may have been dropped."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

Path = tuple[Any, ...]
"""Keys on the way to a part of a module."""


class Entries(NamedTuple):
    """Entries of a list that hold arrays.

    Attributes:
        own: those whose arrays are said to be theirs.
        shared: those that are a module of an earlier place, where its arrays are.
    """

    own: Sequence[int]
    shared: Sequence[int]


def held_in(params: Mapping[str, Any], path: Path) -> int:
    """Return the number of modules that `params` holds of the list at a path."""
    return len(_part(params, path))


def _part(params: Mapping[str, Any], path: Path) -> Any:
    held: Any = params
    for key in path:
        held = held.get(key, {}) if isinstance(held, Mapping) else {}
    return held


def lists_of(nnx: Any, module: Any, kind: Any) -> dict[Path, Entries]:
    """Return the lists of a module, and which of their entries hold arrays of a kind."""
    held, found = nnx.to_pure_dict(nnx.state(module, kind)), {}
    for path, node in nnx.iter_graph(module):
        if isinstance(node, nnx.List):
            own = sorted(_part(held, path))
            others = [n for n, each in enumerate(node) if n not in own and _is_node(nnx, each)]
            shared = [n for n in others if jax.tree.leaves(nnx.state(node[n], kind))]
            found[path] = Entries(own, shared)
    return found


def _is_node(nnx: Any, value: Any) -> bool:
    return isinstance(value, (nnx.Module, nnx.Variable, list, dict)) or hasattr(value, "shape")


def shorten(
    nnx: Any,
    module: Any,
    lists: Mapping[Path, Entries],
    counts: Mapping[Path, int],
) -> None:
    """Drop entries with arrays from the end of each list, until as many as given are left.

    Entries without arrays, activations say, stay; so does a list of which there is no array.

    Raises:
        ValueError: a list has fewer, and one module in several places: it is not known which went.
    """
    for path, node in list(nnx.iter_graph(module)):
        own, shared = lists.get(path, _NONE)
        count = counts.get(path, 0)
        dropped = own[count:] if count else ()
        if dropped and shared:
            raise ValueError(
                f"{'/'.join(map(str, path))}: must have arrays for all {len(own)} of its modules, "
                f"as entry {shared[0]} is a module of another place, got {count}; build the module "
                "that the tree is of."
            )
        for place in reversed(dropped):
            del node[place]


_NONE = Entries((), ())
