"""Trying out whether the code of a function follows when units go."""

from collections.abc import Callable, Iterator, Sequence
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.prune.patterns import Found
from jaxcompress.trace.cut import Cut, mismatch
from jaxcompress.trace.program import abstract, retrace
from jaxcompress.trace.walk import Units
from jaxcompress.trees import PyTree

_MOST_COUNTS = 64


class Trial(NamedTuple):
    """Traces a function with fewer units of some groups.

    Attributes:
        apply: the function.
        params: its parameters.
        inputs: its inputs.
        units: what walking it found.
        paths: of the leaves of `params`.
    """

    apply: Callable[..., PyTree]
    params: PyTree
    inputs: Sequence[PyTree]
    units: Units
    paths: list[str]

    def run(self, found: list[Found]) -> tuple[list[Found], str]:
        """Return the groups that the code follows, and what went wrong with all at once.

        Plain groups first, all at once, then kind by kind; of a kind that fails, one by one,
        unless the first fails alone.
        """
        complaint = self.complaint(found)
        if complaint is None:
            return found, ""
        plain = [group for group in found if not group.layered]
        if plain and self._trial(next(self._removals(plain))) is None:
            good = self._kind_by_kind(plain, [group for group in found if group.layered])
            # What was tried out with more has been tried out itself.
            if len(good) > len(plain) or self.complaint(plain) is None:
                return _in_order(good, found), complaint
        return _in_order(self._kind_by_kind([], found), found), complaint

    def _kind_by_kind(self, good: list[Found], groups: Sequence[Found]) -> list[Found]:
        kinds: dict[Any, list[Found]] = {}
        for group in groups:
            kinds.setdefault(group.kind, []).append(group)
        for _, alike in sorted(kinds.items()):
            good = good + self._followed(good, alike)
        return good

    def _followed(self, good: list[Found], groups: list[Found]) -> list[Found]:
        if self.complaint([*good, *groups]) is None:
            return groups
        more: list[Found] = []
        for group in groups if len(groups) > 1 else []:
            if self.complaint([*good, *more, group]) is None:
                more.append(group)
            elif group is groups[0]:
                break
        return more

    def complaint(self, groups: Sequence[Found]) -> str | None:
        """Return what goes wrong when units of each group go, or None.

        The first unit of all groups, then the last: where a unit stands must not matter. Then any
        of them, another number and another share of each group: groups that must lose equally
        many, or equally much, are found out.
        """
        for components in self._removals(groups) if groups else ():
            if found := self._trial(components):
                return found
        return None

    def _removals(self, groups: Sequence[Found]) -> Iterator[np.ndarray]:
        yield np.concatenate([group.components[:1] for group in groups])
        yield np.concatenate([group.components[-1:] for group in groups])
        rng = np.random.default_rng(0)
        for counts in counts_apart([len(group.components) for group in groups], rng):
            pairs = zip(groups, counts, strict=True)
            yield np.concatenate([rng.permutation(g.components)[:count] for g, count in pairs])

    def _trial(self, components: np.ndarray) -> str | None:
        units = self.units
        out = np.zeros(units.solution.components, bool)
        out[components] = True
        cut = Cut(out[units.solution.component])
        shapes = {
            path: cut.shape(units.walk.values[units.program.inputs[k]])
            for k, path in enumerate(self.paths)
        }
        try:
            small = retrace(self.apply, abstract(self.params, shapes), *self.inputs)
        except Exception as error:  # whatever the code raises, it does not follow
            lines = str(error).strip().splitlines() or [""]
            return f"{type(error).__name__}: {shorten(lines[0], 100)}"
        return mismatch(units.program, units.walk, small, cut)


def _in_order(groups: Sequence[Found], order: Sequence[Found]) -> list[Found]:
    chosen = {id(group) for group in groups}
    return [group for group in order if id(group) in chosen]


def counts_apart(sizes: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """Return for a few trials how many units each group loses, half at the most.

    For any two groups there is a trial in which they lose different numbers, and one in which they
    lose different shares: as few trials as sizes allow, as each takes a trace of the function.

    Args:
        sizes: of the groups, two at least.
        rng: draws the counts.
    """
    units = np.array(sizes, np.int64)
    same_count = ~np.eye(len(units), dtype=bool)
    same_share = same_count.copy()
    trials: list[list[int]] = []
    while not trials or same_count.any() or same_share.any():
        lost = np.full(len(units), -1)
        for k in sorted(range(len(sizes)), key=sizes.__getitem__):  # who has least choice, first
            size, chosen = sizes[k], lost >= 0
            some = np.arange(int(size > 3), size // 2 + 1)
            choice = rng.permutation(some)[:_MOST_COUNTS, None]
            clashes = (choice == lost) & chosen & same_count[k]
            clashes = clashes + ((choice * units == lost * size) & chosen & same_share[k])
            lost[k] = choice[np.argmin(clashes.sum(axis=1)), 0]
        same_count &= lost[:, None] == lost
        same_share &= lost[:, None] * units == lost * units[:, None]
        trials.append(lost.tolist())
    return trials
