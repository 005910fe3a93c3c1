"""Where tensors come from, one at a time: shapes are known in advance, values load on demand."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from jaxcompress.artifact.outline import Outline, outline, subset
from jaxcompress.kinds import is_key
from jaxcompress.placement import on_host
from jaxcompress.trees import PyTree, named_leaves, some_of

T = TypeVar("T")

SAMPLE_BYTES = 1 << 16
"""Bytes of a tensor that tell it from most others."""


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
        return leaf if is_key(leaf) else on_host(leaf)

    def sample(self, index: int) -> bytes:
        """Return the first bytes of a leaf."""
        return _first_bytes(self.leaves[index])


class Selection:
    """Some leaves of another source."""

    def __init__(self, source: Source, keeps: Callable[[str], bool]) -> None:
        """Take the leaves whose paths are kept.

        Raises:
            ValueError: no path is.
        """
        self.whole = source
        self._numbers = [number for number, path in enumerate(source.paths) if keeps(path)]
        if not self._numbers:
            raise ValueError(
                f"select, drop: some tensor must be left, got none of {len(source.paths)} "
                f"({some_of(source.paths)}); correct the patterns."
            )
        self.paths = [source.paths[number] for number in self._numbers]
        self.leaves = [source.leaves[number] for number in self._numbers]
        self.outline = subset(source.outline, self._numbers)

    def load(self, index: int) -> np.ndarray:
        """Return a leaf."""
        return self.whole.load(self._numbers[index])

    def sample(self, index: int) -> bytes:
        """Return some bytes of a leaf."""
        return sample_of(self.whole, self._numbers[index])

    def channel_axis(self, index: int) -> int:
        """Return the axis of the outputs of a leaf."""
        return self.whole.channel_axis(self._numbers[index])


def sample_of(source: Source, index: int) -> bytes:
    """Return some bytes of a leaf, the same ones of leaves of one shape.

    A source may have a method `sample(index)` that reads no more than these.
    """
    if (sample := getattr(source, "sample", None)) is not None:
        return sample(index)
    return _first_bytes(source.load(index))


def _first_bytes(array: Any) -> bytes:
    flat = on_host(array).reshape(-1)
    return np.ascontiguousarray(flat[:SAMPLE_BYTES]).view(np.uint8)[:SAMPLE_BYTES].tobytes()


def is_in_memory(source: Source) -> bool:
    """Return whether all tensors are in memory."""
    return isinstance(source.whole if isinstance(source, Selection) else source, TreeSource)


def untracked(items: Sequence[T], what: str, bytes_of: Callable[[T], int]) -> Iterable[T]:
    """Track nothing."""
    del what, bytes_of
    return items
