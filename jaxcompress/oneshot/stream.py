"""Compression without training, a leaf at a time: prune by magnitude, then compress what is left.

Memory is about that of one tensor: the threshold of all layers is found by counting.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact.repeats import repeat_of
from jaxcompress.bounds import check_sparsity
from jaxcompress.checks import is_finite
from jaxcompress.oneshot._exact import MOST_VALUES, of_few_values
from jaxcompress.oneshot._halves import HALVED, in_half
from jaxcompress.oneshot._repeats import repeated_tensors
from jaxcompress.oneshot._thresholds import Threshold, find_thresholds, remove_smallest
from jaxcompress.oneshot.outcomes import SAME_AS, Outcome, Treated, kept_of, treated
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.sizes import stored_bytes
from jaxcompress.oneshot.sources import Source, Track, untracked
from jaxcompress.oneshot.survey import (
    FEW_VALUES,
    LOSSLESS,
    NO_GRID,
    NOT_FINITE,
    RULE,
    SMALL_FLOAT,
    SMALLER,
    survey,
)
from jaxcompress.oneshot.ways import Treatment
from jaxcompress.prune.masks import removed_count
from jaxcompress.trees import Scope, kernels, plain_bytes

_FINER_POWER = 0.3
"""On sixteen real checkpoints 0.25 and 0.5 lost less than 0, and neither less than the other."""

_COARSEST, _FINEST = 0.5, 8.0
_MOST_TRIALS = 12
_MARGIN = 0.98
_WORTH_A_LOOK = 1 << 18  # numbers up to which the bytes of a tensor are compared


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Which weights of a source are kept: decided once, applied any number of times.

    Attributes:
        source: where the tensors come from.
        kept: for each leaf why it is kept exactly, None if it is compressed.
        thresholds: of the leaves of which weights are removed.
        max_error: largest relative error that steps may leave in a tensor.
        halves: whether vectors and small leaves have sixteen bits where that is enough.
        exact: paths of those that have not.
        repeats: leaves that equal earlier ones, and the first such of each: they are that leaf.
    """

    source: Source
    kept: list[str | None]
    max_error: float
    thresholds: Mapping[int, Threshold] = field(default_factory=dict)
    halves: bool = False
    exact: frozenset[str] = frozenset()
    repeats: Mapping[int, int] = field(default_factory=dict)

    @functools.cached_property
    def usual_size(self) -> float:
        """Numbers of the leaf in which a weight is, on average over all that are compressed."""
        sizes = np.array([self.numbers(index) for index in self.chosen], np.float64)
        return float(np.square(sizes).sum() / max(sizes.sum(), 1))

    @property
    def chosen(self) -> list[int]:
        """Numbers of the leaves that are compressed; of equal ones the first."""
        return [n for n, why in enumerate(self.kept) if why is None and n not in self.repeats]

    def numbers(self, index: int) -> int:
        """Return how many numbers a leaf has."""
        return int(np.prod(self.source.leaves[index].shape))

    def bytes_of(self, index: int) -> int:
        """Return how many bytes of where it comes from a leaf stands for."""
        return 0 if index in self.repeats else plain_bytes(self.source.leaves[index])

    def finer(self, index: int) -> float:
        """Return by how much steps of a leaf are finer than those of a leaf of the usual size.

        Weights of small tensors are used more often, or fewer others make up for their errors, and
        they take few bytes.
        """
        factor = (self.usual_size / max(self.numbers(index), 1)) ** _FINER_POWER
        return min(max(factor, _COARSEST), _FINEST)

    def sizes_kept(self, reason: str) -> list[int]:
        """Return the bytes of each leaf that is kept exactly for a reason."""
        pairs = zip(self.source.leaves, self.kept, strict=True)
        return [plain_bytes(leaf) for leaf, why in pairs if why == reason]

    def all_leaves(
        self, treatments: Treatments, outcomes: list[Outcome], *, track: Track = untracked
    ) -> Iterator[tuple[str, Any]]:
        """Give path and leaf of the whole tree in order, and append what became of each."""
        numbers = range(len(self.kept))
        yield from self.leaves(track(numbers, "packing", self.bytes_of), treatments, outcomes)

    def leaves(
        self, numbers: Iterable[int], treatments: Treatments, outcomes: list[Outcome]
    ) -> Iterator[tuple[str, Any]]:
        """Give path and leaf of some leaves, one at a time, and append what became of each."""
        for index in numbers:
            leaf, outcome = self.treat(index, treatments)
            outcomes.append(outcome)
            yield self.source.paths[index], leaf
            del leaf  # before the next one is made

    def treat(self, index: int, treatments: Treatments, fitted: Any = None) -> Treated:
        """Return a leaf, pruned and compressed unless it is kept. They may be asked in any order.

        If it is not kept, `fitted` takes the place of what the treatment would make.

        Raises:
            ValueError: nothing would be left of a tensor.
        """
        path = self.source.paths[index]
        if (first := self.repeats.get(index)) is not None:
            outcome = Outcome(path, self.numbers(index), f"{SAME_AS}{self.source.paths[first]}")
            return Treated(repeat_of(first, self.source.leaves[index]), outcome)
        tensor = self.source.load(index)
        if why := self.kept[index]:
            is_halved = self.halves and path not in self.exact
            half = in_half(path, tensor, why, self.max_error) if is_halved else None
            return half or _exactly(path, tensor, why)
        if not is_finite(tensor):
            return _exactly(path, tensor, NOT_FINITE)
        treatment = treatments.of(path)
        if treatments.is_exact or treatment is None:
            return _exactly(path, tensor, LOSSLESS if treatments.is_exact else RULE)
        pruned = self._pruned(index, tensor)
        is_small = pruned.dtype.itemsize == 1 and treatment.way != "kmeans"
        most = MOST_VALUES if is_small else treatment.exact_values
        exact = of_few_values(pruned, most)
        if exact is not None and (is_small or not treatment.is_coarse):
            return kept_of(path, tensor, pruned, exact, FEW_VALUES)
        if is_small:
            return _exactly(path, tensor, SMALL_FLOAT)
        treatment = treatment.finer(self.finer(index))
        try:
            leaf, outcome = (
                self._within_error(path, tensor, pruned, treatment, index)
                if fitted is None
                else treated(path, tensor, fitted)
            )
        except (ValueError, OverflowError, FloatingPointError):  # numbers that no grid can hold
            return kept_of(path, tensor, pruned, pruned, NO_GRID)
        if exact is not None and stored_bytes(exact) <= stored_bytes(leaf):
            return kept_of(path, tensor, pruned, exact, FEW_VALUES)
        if tensor.size <= _WORTH_A_LOOK and stored_bytes(leaf) >= tensor.nbytes:
            return kept_of(path, tensor, pruned, pruned, SMALLER)
        return Treated(leaf, outcome)

    def _within_error(
        self, path: str, tensor: np.ndarray, pruned: np.ndarray, treatment: Treatment, index: int
    ) -> Treated:
        """Return the leaf whose error is small enough, with finer steps where they are needed."""
        axis = self.source.channel_axis(index)
        leaf, added = treatment.treat(path, pruned, axis)
        for _ in range(_MOST_TRIALS if treatment.can_be_finer else 0):
            excess = added.relative_error / self.max_error
            if excess <= 1:
                break
            treatment = treatment.finer(min(excess / _MARGIN, 2))
            leaf, added = treatment.treat(path, pruned, axis)
        if treatment.can_be_finer and not added.relative_error <= self.max_error:
            raise ValueError(f"{path}: no steps are fine enough")
        return Treated(leaf, added) if pruned is tensor else treated(path, tensor, leaf)

    def pruned(self, index: int) -> np.ndarray:
        """Return the pruned tensor of a leaf."""
        return self._pruned(index, self.source.load(index))

    def _pruned(self, index: int, tensor: np.ndarray) -> np.ndarray:
        if (threshold := self.thresholds.get(index)) is None:
            return tensor
        left = remove_smallest(tensor, threshold)
        if not left.any() and tensor.any():
            raise ValueError(
                f"{self.source.paths[index]}: pruning must leave something of each tensor, got none"
                f" of its {tensor.size:,} weights, which are smaller than those of the others; "
                "lower the sparsity, or leave the tensor out."
            )
        return left


def exactly(source: Source) -> Pruning:
    """Return the pruning that removes nothing and keeps every leaf exactly, outside any scope.

    Args:
        source: where the tensors come from.
    """
    kept: list[str | None] = [LOSSLESS] * len(source.paths)
    return Pruning(
        source=source,
        kept=kept,
        max_error=0.0,
        repeats=repeated_tensors(source, kept),
    )


def prune(
    source: Source,
    sparsity: float,
    *,
    scope: Scope = kernels,
    treatments: Treatments | None = None,
    max_error: float = 1.0,
    halves: bool = False,
    track: Track = untracked,
) -> Pruning:
    """Decide which weights are kept: those of the largest `|w|` over all leaves in the scope.

    The leaves of a rule with a sparsity of its own are ranked by themselves. Leaves that are equal
    to the bit, and compressed in one way, are one leaf and count once. `magnitude_mask` keeps the
    same weights; here they are not in memory together. States of optimizers are left out of any
    scope, and so are tensors with NaN or infinity.

    Args:
        source: where the tensors come from.
        sparsity: fraction of the weights in the scope to remove, in [0, 1).
        scope: which leaves are compressed.
        treatments: whose rules may keep leaves.
        max_error: largest relative error that steps may leave in a tensor.
        halves: whether vectors and small leaves have sixteen bits where that is enough.
        track: shows progress.

    Raises:
        ValueError: a sparsity outside [0, 1), an empty scope.
        TypeError: the scope chooses a leaf that is not of floating-point numbers.
    """
    asked = Treatments(Treatment(way="relative", value=0)) if treatments is None else treatments
    kept = survey(source, scope, keeps=lambda path: asked.of(path) is None)
    ways = [
        (asked.of(path), asked.ranked_apart(path)) if why is None else halves and why in HALVED
        for path, why in zip(source.paths, kept, strict=True)
    ]
    found = Pruning(
        source=source,
        kept=kept,
        max_error=max_error,
        halves=halves,
        repeats=repeated_tensors(source, ways),
    )
    check_sparsity("params", sparsity)
    rankings: dict[str | None, _Ranking] = {}
    for index in found.chosen:
        rule = asked.ranked_apart(source.paths[index])
        pattern, part = (None, sparsity) if rule is None else rule
        if part:
            rankings.setdefault(pattern, _Ranking(part, [])).numbers.append(index)
    thresholds: dict[int, Threshold] = {}
    for ranking in rankings.values():
        thresholds |= _thresholds(found, ranking, track)
    return replace(found, thresholds=thresholds)


class _Ranking(NamedTuple):
    """Leaves whose weights are ranked together, by number, and what is removed of them."""

    sparsity: float
    numbers: list[int]


def _thresholds(found: Pruning, ranking: _Ranking, track: Track) -> dict[int, Threshold]:
    """Return the threshold of each leaf of a ranking; leaves with NaN or infinity are kept."""

    def tensors() -> Iterator[np.ndarray]:
        for index in track(numbers, "ranking", found.bytes_of):
            yield found.source.load(index)

    numbers = ranking.numbers
    whole = list(map(is_finite, tensors()))
    for index, is_whole in zip(numbers, whole, strict=True):
        if not is_whole:
            found.kept[index] = NOT_FINITE
    numbers = [index for index, is_whole in zip(numbers, whole, strict=True) if is_whole]
    removed = removed_count("params", ranking.sparsity, sum(map(found.numbers, numbers)))
    if not removed:
        return {}
    bits = (8 * np.dtype(found.source.leaves[index].dtype).itemsize for index in numbers)
    thresholds = find_thresholds(tensors, removed, width=max(32, *bits))
    return dict(zip(numbers, thresholds, strict=True))


def _exactly(path: str, tensor: Any, why: str) -> Treated:
    nans = int(np.isnan(tensor).sum()) if why == NOT_FINITE else 0
    return Treated(tensor, Outcome(path, tensor.size, why, nans=nans))
