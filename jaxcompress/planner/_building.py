"""Trees in which each tensor is what its settings say."""

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.artifact.reader import read as read_file
from jaxcompress.artifact.writer import encoded, write
from jaxcompress.leaves import is_compressed
from jaxcompress.oneshot.outcomes import IN_HALF, Outcome
from jaxcompress.oneshot.rules import Rule, Treatments
from jaxcompress.oneshot.sources import Source, Track, TreeSource, untracked
from jaxcompress.oneshot.stream import Pruning, prune
from jaxcompress.oneshot.values import asked_rule, check_rules
from jaxcompress.oneshot.ways import Treatment
from jaxcompress.planner._record import LEAVE, Settings
from jaxcompress.trees import PyTree, some_of

MOST_ERROR = 0.9
"""Largest relative error of a tensor: beyond it little more than zeros is left."""

KEEP: Settings = {"keep": True}


class ExactRule(Rule):
    """A rule of one path."""

    __slots__ = ()

    def matches(self, path: str) -> bool:
        """Return whether the path is that of the rule."""
        return path == self.pattern


def treatments_of(settings: Mapping[str, Settings | str]) -> Treatments:
    """Return the treatment of each tensor; those without settings are kept exactly.

    Raises:
        ValueError: settings that are none, or out of range.
    """
    rules = [ExactRule(path, _rule(path, each)) for path, each in settings.items()]
    others = Rule("*", None)
    found = Treatments(Treatment(way="relative", value=0.1), (*rules, others))
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
                found.setdefault(f"the same as {first}", []).append(self.source.paths[index])
            elif why is not None:
                found.setdefault(why, []).append(self.source.paths[index])
        return found

    def check(self, settings: Mapping[str, Settings | str]) -> None:
        """Refuse settings of paths that are none, or that have no choice.

        Raises:
            ValueError: naming the first.
        """
        reasons = {path: why for why, paths in self.kept.items() for path in paths}
        for path, each in settings.items():
            if path not in self.source.paths:
                raise ValueError(
                    f"{path}: must be a tensor of the network ({some_of(self.source.paths)}); "
                    "correct its path."
                )
            if path in reasons and each not in (LEAVE, KEEP):
                raise ValueError(
                    f"{path}: {each} cannot be done, this tensor is {reasons[path]}; leave it."
                )

    def leaves(
        self,
        settings: Mapping[str, Settings | str],
        *,
        half: bool = True,
        track: Track = untracked,
    ) -> tuple[list[Any], list[Outcome]]:
        """Return the leaves for a file, and what became of each tensor."""
        treatments = treatments_of(self._with_repeats(settings))
        pruning = prune(self.source, 0.0, treatments=treatments, max_error=MOST_ERROR, halves=half)
        outcomes: list[Outcome] = []
        found = [
            jax.tree.map(np.asarray, leaf) if is_compressed(leaf) else leaf  # nothing to compile
            for _, leaf in pruning.all_leaves(treatments, outcomes, track=track)
        ]
        return found, outcomes

    def _with_repeats(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings in which tensors that equal others are treated as those are."""
        paths = self.source.paths
        same = {paths[n]: paths[first] for n, first in self.pruning.repeats.items()}
        copied = {path: settings[first] for path, first in same.items() if first in settings}
        return {**settings, **copied}


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


def built(params: PyTree, settings: Mapping[str, Settings | str], *, half: bool = True) -> PyTree:
    """Return the tree with its compressed leaves.

    Args:
        params: dense.
        settings: by path; tensors without any are kept exactly.
        half: whether vectors and small tensors have sixteen bits where that is enough.

    Raises:
        ValueError: a path of no tensor, or settings that cannot be carried out.
    """
    source = TreeSource(params)
    found = surveyed(source)
    found.check(settings)
    leaves, outcomes = found.leaves(settings, half=half)
    _check_done(settings, outcomes)
    stored = [leaves[found.pruning.repeats.get(n, n)] for n in range(len(leaves))]
    return source.named.rebuild(
        [
            leaf if is_compressed(leaf) else original
            for leaf, original in zip(stored, source.leaves, strict=True)
        ]
    )


def _check_done(settings: Mapping[str, Settings | str], outcomes: list[Outcome]) -> None:
    """Refuse tensors of which nothing is left."""
    for outcome in outcomes:
        if outcome.path in settings and not outcome.relative_error <= 1:
            raise ValueError(
                f"{outcome.path}: {settings[outcome.path]} leaves nothing of it; choose finer "
                "settings."
            )


def shares_of(source: Source, leaves: list[Any], file: Any) -> tuple[dict[str, float], float]:
    """Return the bytes of each tensor in a file of these leaves, and those of all else.

    Args:
        source: of the tensors.
        leaves: from `Surveyed.leaves`.
        file: to write.
    """
    parts = encoded(zip(source.paths, leaves, strict=True), source.leaves, "entropy")
    size = write(file, parts, source.outline)
    found = {info.path: info.stored_bytes for info in read_file(file).tensors}
    return found, size - sum(found.values())


def is_half(outcome: Outcome) -> bool:
    """Return whether a tensor has sixteen bits."""
    return outcome.kept == IN_HALF


def digest_of(source: Source) -> str:
    """Return the digest of paths, shapes, dtypes and weights."""
    found = hashlib.sha256()
    for index, (path, leaf) in enumerate(zip(source.paths, source.leaves, strict=True)):
        found.update(f"{path} {tuple(leaf.shape)} {leaf.dtype}\n".encode())
        found.update(np.ascontiguousarray(source.load(index)).tobytes())
    return found.hexdigest()[:16]


digest_of_tree = functools.partial(lambda tree: digest_of(TreeSource(tree)))
