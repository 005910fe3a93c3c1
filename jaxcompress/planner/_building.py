"""Trees in which each tensor is what its settings say."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.artifact.coding import DEFAULT_LAYOUT
from jaxcompress.artifact.stored_parts import Part
from jaxcompress.artifact.streams import Coder
from jaxcompress.artifact.writer import encoded, pieces
from jaxcompress.leaves import is_compressed
from jaxcompress.oneshot.outcomes import LOST, SAME_AS, Outcome
from jaxcompress.oneshot.rules import ByPath, Rule, Treatments
from jaxcompress.oneshot.sources import Source, TreeSource, sample_of
from jaxcompress.oneshot.stream import Pruning, prune
from jaxcompress.oneshot.survey import NO_GRID
from jaxcompress.oneshot.values import asked_rule, check_rules
from jaxcompress.oneshot.ways import Treatment
from jaxcompress.packing import block
from jaxcompress.planner._record import LEAVE, Settings
from jaxcompress.planner._refining import Refine, unrefined
from jaxcompress.planner._words import words_of
from jaxcompress.trees import PyTree, plain_bytes, some_of

MOST_ERROR = LOST
"""Largest relative error of a tensor: beyond it little more than zeros is left."""

_READ_WHOLE = 1 << 30
"""Bytes of a network up to which its digest is that of all of them."""

KEEP: Settings = {"keep": True}


def treatments_of(settings: Mapping[str, Settings | str]) -> Treatments:
    """Return the treatment of each tensor; those without settings are kept exactly.

    Raises:
        ValueError: settings that are none, or out of range.
    """
    rules = [Rule(path, _rule(path, each)) for path, each in settings.items()]
    found = ByPath(Treatment(way="relative", value=0.1), tuple(rules))
    check_rules(found)
    return found


def _rule(path: str, settings: Settings | str) -> Mapping[str, Any] | None:
    if settings == LEAVE:
        return None
    if not isinstance(settings, Mapping):
        raise ValueError(
            f'{path}: settings must be names and values, or "{LEAVE}", got {settings!r}; write '
            '{"step_size": 0.1}, say.'
        )
    return asked_rule(f"{path}: ", path, settings).settings


class Planned(NamedTuple):
    """What makes a file.

    Attributes:
        pruning: of the tensors.
        treatments: of each.
    """

    pruning: Pruning
    treatments: Treatments


class Surveyed(NamedTuple):
    """The tensors of a source, and which have a choice.

    Attributes:
        source: of the tensors.
        pruning: nothing is removed; says what is kept, and what equals what.
    """

    source: Source
    pruning: Pruning

    @property
    def paths(self) -> list[str]:
        """Paths of tensors with a choice."""
        return [self.source.paths[index] for index in self.pruning.chosen]

    @property
    def kept(self) -> dict[str, list[str]]:
        """Paths of the others, by reason."""
        found: dict[str, list[str]] = {}
        for index, why in enumerate(self.pruning.kept):
            if index in self.pruning.repeats:
                first = self.source.paths[self.pruning.repeats[index]]
                found.setdefault(f"{SAME_AS}{first}", []).append(self.source.paths[index])
            elif why is not None:
                found.setdefault(why, []).append(self.source.paths[index])
        return found

    def check(self, settings: Mapping[str, Settings | str]) -> None:
        """Refuse settings of paths that are none, or that have no choice.

        Raises:
            ValueError: naming the first.
        """
        treatments_of(settings)
        paths = set(self.source.paths)
        reasons = {path: why for why, others in self.kept.items() for path in others}
        repeats = {self.source.paths[n]: first for n, first in self.pruning.repeats.items()}
        for path, each in settings.items():
            if path not in paths:
                raise ValueError(
                    f"{path}: must be a tensor of the network ({some_of(self.source.paths)}); "
                    "correct its path."
                )
            if path in repeats:
                first = self.source.paths[repeats[path]]
                if words_of(each) != words_of(settings.get(first, LEAVE)):
                    raise ValueError(
                        f"{path}: {words_of(each)} cannot be done, this tensor is {reasons[path]} "
                        f"and stored with it; say what {first} shall be."
                    )
            elif path in reasons and each not in (LEAVE, KEEP):
                raise ValueError(
                    f"{path}: {words_of(each)} cannot be done, this tensor is kept "
                    f"({reasons[path]}); leave it."
                )

    def planned(self, settings: Mapping[str, Settings | str], *, half: bool = True) -> Planned:
        """Return what makes a file by these settings.

        A step size is the same whatever becomes of the other tensors.

        Args:
            settings: by path; tensors without any are kept exactly.
            half: whether vectors and small tensors have sixteen bits where that is enough.

        Raises:
            ValueError: settings that are none, or out of range.
        """
        treatments = treatments_of(settings)
        exact = frozenset(path for path, each in settings.items() if each == LEAVE)
        pruning = replace(self.pruning, max_error=MOST_ERROR, halves=half, exact=exact)
        if any(rule.sparsity for rule in treatments.rules):
            ranked = prune(self.source, 0.0, treatments=treatments)
            pruning = replace(pruning, thresholds=ranked.thresholds)
        return Planned(pruning, treatments)

    def leaves(
        self,
        settings: Mapping[str, Settings | str],
        *,
        half: bool = True,
        refine: Refine = unrefined,
    ) -> tuple[list[Any], list[Outcome]]:
        """Return the leaves for a file, and what became of each tensor, before it was refined."""
        outcomes: list[Outcome] = []
        made = self.made(self.planned(settings, half=half), settings, outcomes, refine)
        return [leaf for _, leaf in made], outcomes

    def made(
        self,
        planned: Planned,
        settings: Mapping[str, Settings | str],
        outcomes: list[Outcome],
        refine: Refine = unrefined,
    ) -> Iterator[tuple[str, Any]]:
        """Yield path and leaf of each tensor of a file, one at a time, on the host.

        Args:
            planned: by these settings.
            settings: by path.
            outcomes: to which is added what became of each tensor, before it was refined.
            refine: rounds the weights of a leaf anew.
        """
        pruning, treatments = planned
        for path, leaf in pruning.all_leaves(treatments, outcomes):
            own = settings.get(path, KEEP)
            is_pruned = isinstance(own, dict) and "sparsity" in own
            yield path, refine(path, on_host(leaf), is_pruned=is_pruned)

    def tree(self, leaves: Sequence[Any]) -> PyTree:
        """Return the tree with the compressed ones of its leaves in place; those of a tree only."""
        assert isinstance(self.source, TreeSource)
        stored = [leaves[self.pruning.repeats.get(n, n)] for n in range(len(leaves))]
        return self.source.named.rebuild(
            [
                leaf if is_compressed(leaf) else original
                for leaf, original in zip(stored, self.source.leaves, strict=True)
            ]
        )


def on_host(leaf: Any) -> Any:
    """Return a leaf on the host, whose parts need nothing compiled."""
    return jax.tree.map(np.asarray, leaf) if is_compressed(leaf) else leaf


def surveyed(source: Source) -> Surveyed:
    """Return which tensors of a source have a choice.

    Raises:
        ValueError: there are none.
    """
    found = Surveyed(source, prune(source, 0.0, halves=True))
    if not found.paths:
        raise ValueError(
            f"params: must hold a tensor to compress, got none of {len(source.paths)}: "
            f"{'; '.join(f'{some_of(paths)} {why}' for why, paths in found.kept.items())}; pass "
            "weights of two axes and up."
        )
    return found


def built(
    params: PyTree,
    settings: Mapping[str, Settings | str],
    *,
    half: bool = True,
    refine: Refine = unrefined,
    is_strict: bool = False,
) -> PyTree:
    """Return the tree with its compressed leaves.

    Args:
        params: dense.
        settings: by path; tensors without any are kept exactly.
        half: whether vectors and small tensors have sixteen bits where that is enough.
        refine: rounds the weights of a leaf anew.
        is_strict: whether settings so coarse that a tensor is kept instead are refused.

    Raises:
        ValueError: a path of no tensor, or settings that cannot be carried out.
    """
    found = surveyed(TreeSource(params))
    found.check(settings)
    leaves, outcomes = found.leaves(settings, half=half, refine=refine)
    _check_done(settings, outcomes, is_strict=is_strict)
    return found.tree(leaves)


def _check_done(
    settings: Mapping[str, Settings | str], outcomes: list[Outcome], *, is_strict: bool
) -> None:
    """Refuse tensors of which nothing is left, or would be."""
    for outcome in outcomes:
        if settings.get(outcome.path, KEEP) in (LEAVE, KEEP):
            continue
        if not outcome.relative_error <= 1 or (is_strict and outcome.kept == NO_GRID):
            words = words_of(settings[outcome.path])
            raise ValueError(f"{outcome.path}: {words} is {NO_GRID}; choose finer settings.")


def shares_of(
    source: Source,
    leaves: Iterable[tuple[str, Any]],
    *,
    metadata: Mapping[str, Any] | None = None,
    coder: Coder = block.encoded,
) -> tuple[dict[str, float], float]:
    """Return the bytes of each tensor in a file of these leaves, and those of all else.

    The file is made a part at a time, and not kept.

    Args:
        source: of the tensors.
        leaves: paths and leaves, in order; they may come one at a time.
        metadata: of the file.
        coder: of codes; `block.estimated` is faster.
    """
    found: dict[str, float] = {}

    def noted(parts: Iterable[Part]) -> Iterator[Part]:
        for part in parts:
            paths = [entry["path"] for entry in part.entries]
            found.update(zip(paths, part.shares, strict=True))
            yield part

    parts = noted(encoded(leaves, source.leaves, DEFAULT_LAYOUT, coder))
    size = sum(map(len, pieces(parts, source.outline, metadata=metadata)))
    return found, size - sum(found.values())


def digest_of(source: Source) -> str:
    """Return the digest of paths, shapes, dtypes and weights.

    Above a gigabyte the first bytes of each tensor stand for it: networks that were trained apart
    differ in them.
    """
    found = hashlib.sha256()
    is_large = sum(map(plain_bytes, source.leaves)) > _READ_WHOLE
    for index, (path, leaf) in enumerate(zip(source.paths, source.leaves, strict=True)):
        found.update(f"{path} {tuple(leaf.shape)} {leaf.dtype}\n".encode())
        if is_large:
            found.update(sample_of(source, index))
        else:
            found.update(np.ascontiguousarray(source.load(index)).tobytes())
    return found.hexdigest()[:16]
