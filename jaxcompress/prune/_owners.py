"""Which parameters the paths of a tree mean, such as those of an optimizer state."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxcompress.trees import PyTree, named_leaves
from jaxcompress.units.groups import UnitGroups

KeptIndices: TypeAlias = Mapping[str, Mapping[int, np.ndarray]]
"""The indices that are kept, by path and axis, of all axes that lose any."""

Shape: TypeAlias = tuple[int, ...]

RESTART = "pass restart=tx.init(small_params) to start its state anew"


class Part(NamedTuple):
    """What a new leaf is made of.

    Attributes:
        source: number of the leaf that it is cut from.
        path: the parameter that the leaf belongs to, None if it belongs to none and is kept.
        axes: for each axis of the leaf that of the parameter, None for one that was reduced to 1.
    """

    source: int
    path: str | None = None
    axes: tuple[int | None, ...] = ()

    def kept(self, kept: KeptIndices) -> dict[int, np.ndarray]:
        """Return the indices that are kept, by axis of the leaf."""
        own = kept.get(self.path or "", {})
        return {
            k: own[axis] for k, axis in enumerate(self.axes) if axis is not None and axis in own
        }


class Unclear(Exception):
    """Why a leaf cannot be cut."""


class Leaf(NamedTuple):
    """A leaf, its number, and its path as keys and as text."""

    number: int
    keys: tuple[Any, ...]
    path: str
    shape: Shape


class Owner(NamedTuple):
    """A parameter that the end of a path may mean, and the index that follows in the path."""

    path: str
    tail: str
    place: int | None


class Leaves:
    """The leaves of a tree, beside the shapes of parameters and their indices that are kept."""

    def __init__(self, tree: PyTree, groups: UnitGroups, kept: KeptIndices) -> None:
        """Note paths and shapes."""
        self.shapes, self.kept_indices = groups.shapes, kept
        named = named_leaves(tree)
        keys = [keys for keys, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
        shapes = [tuple(leaf.shape) for leaf in named.leaves]
        self.leaves = list(map(Leaf, range(len(keys)), keys, named.paths, shapes))
        self.structure = named.treedef
        self.by_path = {leaf.path: leaf for leaf in self.leaves}
        self.tails: dict[str, list[str]] = {}
        for path in self.shapes:
            for tail in dict.fromkeys((path, path.partition("/")[2])):
                if tail:
                    self.tails.setdefault(tail, []).append(path)

    def owners(self, path: str) -> list[Owner]:
        """Return the parameters that the longest known end of a path may mean.

        It is looked up with and without an index behind it.

        Code that keeps a list for each parameter writes an index after its path.
        """
        keys = path.split("/")
        result = []
        for end in (len(keys), len(keys) - 1):
            index = None if end == len(keys) else keys[end]
            if index is None or index.isdigit():
                tails = ("/".join(keys[k:end]) for k in range(end))
                tail = next((tail for tail in tails if tail in self.tails), "")
                whole = tail if index is None else f"{tail}/{index}"
                number = None if index is None else int(index)
                result += [Owner(name, whole, number) for name in self.tails.get(tail, ())]
        return result

    def small(self, path: str) -> Shape:
        """Return the shape of a parameter after the cut."""
        own = self.kept_indices.get(path, {})
        return tuple(len(own[k]) if k in own else size for k, size in enumerate(self.shapes[path]))
