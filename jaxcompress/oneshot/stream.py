"""Compression without training, a leaf at a time: prune by magnitude, then share the kept weights.

Memory is about that of one tensor: the threshold of all layers is found by counting.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxcompress.checks import check_finite
from jaxcompress.kinds import REALS
from jaxcompress.oneshot._thresholds import Threshold, find_threshold, remove_smallest
from jaxcompress.oneshot.sources import Source, Track, untracked
from jaxcompress.prune.masks import removed_count
from jaxcompress.states import optimizer_states, without
from jaxcompress.trees import NamedLeaves, Scope, check_scope, in_scope, kernels, plain_bytes

Quantizer = Callable[[str, np.ndarray], Any]
"""From a path and its tensor to a compressed leaf; exact zeros remain zeros."""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Which weights of a source are kept: decided once, applied any number of times.

    Attributes:
        source: where the tensors come from.
        chosen: for each leaf whether it is in the scope.
        states: for each leaf whether it belongs to an optimizer's state, which is kept exactly.
        threshold: None if nothing is removed.
        ties_kept: for each leaf how many of its weights at the threshold are kept.
    """

    source: Source
    chosen: list[bool]
    states: list[bool]
    threshold: Threshold | None
    ties_kept: list[int]

    def leaves(self, *, track: Track = untracked) -> Iterator[tuple[int, np.ndarray]]:
        """Give the number and the pruned tensor of each leaf in the scope, one at a time.

        Raises:
            ValueError: NaN or infinite weights, naming the tensor.
        """
        chosen = [index for index, pick in enumerate(self.chosen) if pick]
        for index in track(chosen, "sampling", self.bytes_of):
            yield index, self.pruned(index)

    def share(self, quantizer: Quantizer, *, track: Track = untracked) -> Iterator[tuple[str, Any]]:
        """Give path and leaf of the whole tree in order, those in the scope pruned and shared.

        Raises:
            ValueError: NaN or infinite weights, naming the tensor.
        """
        for index in track(range(len(self.chosen)), "packing", self.bytes_of):
            yield self.source.paths[index], self.shared(index, quantizer)

    def bytes_of(self, index: int) -> int:
        """Return how many bytes a leaf takes where it comes from."""
        return plain_bytes(self.source.leaves[index])

    def shared(self, index: int, quantizer: Quantizer) -> Any:
        """Return a leaf, pruned and shared if it is in the scope. Leaves may be asked in any order.

        Raises:
            ValueError: NaN or infinite weights, naming the tensor.
        """
        if not self.chosen[index]:
            return self.source.load(index)
        return quantizer(self.source.paths[index], self.pruned(index))

    def pruned(self, index: int) -> np.ndarray:
        """Return the pruned tensor of a leaf in the scope.

        Raises:
            ValueError: NaN or infinite weights, naming the tensor.
        """
        tensor = _finite(self.source, index)
        if self.threshold is None:
            return tensor
        return remove_smallest(tensor, self.threshold, self.ties_kept[index])


def exactly(source: Source) -> Pruning:
    """Return the pruning that removes nothing and keeps every leaf exactly, outside any scope.

    Args:
        source: where the tensors come from.
    """
    states = optimizer_states(source.paths, [leaf.shape for leaf in source.leaves])
    none = [False] * len(states)
    return Pruning(source=source, chosen=none, states=states, threshold=None, ties_kept=[])


def prune(
    source: Source, sparsity: float, *, scope: Scope = kernels, track: Track = untracked
) -> Pruning:
    """Decide which weights are kept: those of the largest `|w|` over all leaves in the scope.

    `magnitude_mask` keeps the same weights; here they are not in memory together. States of
    optimizers are left out of any scope.

    Args:
        source: where the tensors come from.
        sparsity: fraction of the weights in the scope to remove, in [0, 1).
        scope: which leaves are compressed.
        track: shows progress.

    Raises:
        ValueError: a sparsity outside [0, 1), NaN or infinite weights, an empty scope.
        TypeError: the scope chooses a leaf that is not of floating-point numbers.
    """
    named = NamedLeaves(source.paths, source.leaves, None)
    states = optimizer_states(source.paths, [leaf.shape for leaf in source.leaves])
    chosen = _in_scope(named, scope, states)
    picked = [index for index, pick in enumerate(chosen) if pick]
    sizes = [int(np.prod(source.leaves[index].shape)) for index in picked]
    removed = removed_count("params", sparsity, sum(sizes))
    if not removed:
        return Pruning(
            source=source,
            chosen=chosen,
            states=states,
            threshold=None,
            ties_kept=[0] * len(chosen),
        )

    def tensors() -> Iterator[np.ndarray]:
        for index in track(picked, "ranking", lambda index: plain_bytes(source.leaves[index])):
            yield _finite(source, index)

    width = max(32, *(8 * np.dtype(source.leaves[index].dtype).itemsize for index in picked))
    threshold = find_threshold(tensors, removed, width=width)
    ties_kept = [0] * len(chosen)
    for index, count in zip(picked, threshold.ties_kept, strict=True):
        ties_kept[index] = count
    return Pruning(
        source=source,
        chosen=chosen,
        states=states,
        threshold=threshold,
        ties_kept=ties_kept,
    )


def _finite(source: Source, index: int) -> np.ndarray:
    """Load a tensor. It is freed by whoever is given it: no name of this file holds it longer."""
    tensor = source.load(index)
    check_finite(source.paths[index], tensor)
    return tensor


def _in_scope(named: NamedLeaves, scope: Scope, states: list[bool]) -> list[bool]:
    """Return for each leaf whether it is in the scope and outside of optimizer states."""
    check_scope(scope)
    owned = {path for path, state in zip(named.paths, states, strict=True) if state}
    picked = [
        path for path, leaf in zip(named.paths, named.leaves, strict=True) if scope(path, leaf)
    ]
    if picked and owned.issuperset(picked):
        raise ValueError(
            f"{picked[0]}: the scope must hold weights, got the state of an optimizer alone, which "
            "is kept exactly; pass the network, or rename what is none."
        )
    return in_scope(named, without(owned, scope), kinds=REALS, shapes=True)


def unchanged(path: str, tensor: np.ndarray) -> np.ndarray:
    """Return a tensor as it is: a quantizer that keeps everything exactly."""
    del path
    return tensor


def by_technique(technique: Callable[..., Any]) -> Quantizer:
    """Return the quantizer that compresses one tensor by a technique for trees.

    It can be pickled if the technique can, so that another process may apply it. A tensor of fewer
    distinct weights than clusters keeps them all, without a warning.

    Args:
        technique: from a tree and a `scope` to the tree with compressed leaves, such as
            `functools.partial(kmeans, k=16)`.
    """
    return functools.partial(_alone, technique)


def _alone(technique: Callable[..., Any], path: str, tensor: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fewer than the .* clusters")
        return technique({path: tensor}, scope=lambda path, leaf: True)[path]
