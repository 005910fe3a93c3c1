"""Where tensors come from, one at a time: shapes are known in advance, values load on demand."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from jaxcompress.artifact.outline import Outline, outline
from jaxcompress.kinds import is_key
from jaxcompress.trees import PyTree, named_leaves

T = TypeVar("T")


class Track(Protocol):
    """Shows progress."""

    def __call__(
        self, items: Sequence[T], what: str, bytes_of: Callable[[T], int], /
    ) -> Iterable[T]:
        """Give the items unchanged; `bytes_of` says how much work each is."""
        ...


class Source(Protocol):
    """A tree with one tensor at a time in memory.

    Attributes:
        paths: path of each leaf, in the order of `jax.tree.leaves`.
        leaves: shape and dtype of each leaf (`jax.ShapeDtypeStruct`, or the array).
        outline: structure of the tree, as `jaxcompress.artifact.outline.outline` gives it.
    """

    paths: list[str]
    leaves: list[Any]
    outline: Outline

    def load(self, index: int) -> np.ndarray:
        """Return a leaf. By number, not by path: two leaves may have one path."""
        ...

    def channel_axis(self, index: int) -> int:
        """Return the axis of the outputs of a leaf, by the convention of where it comes from."""
        ...


class TreeSource:
    """A tree that is in memory already."""

    def __init__(self, tree: PyTree) -> None:
        """Take any pytree of arrays."""
        self.named = named_leaves(tree)
        self.paths, self.leaves = self.named.paths, self.named.leaves
        self.outline = outline(tree, lambda node: False)

    def channel_axis(self, index: int) -> int:
        """Return the last axis, as of the kernels of JAX's libraries."""
        del index
        return -1

    def load(self, index: int) -> np.ndarray:
        """Return a leaf as it is."""
        leaf = self.leaves[index]
        return leaf if is_key(leaf) else np.asarray(leaf)


def untracked(items: Sequence[T], what: str, bytes_of: Callable[[T], int]) -> Iterable[T]:
    """Track nothing."""
    del what, bytes_of
    return items
