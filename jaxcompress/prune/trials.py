"""Trying out whether the code of a function follows when units go."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.prune.patterns import Found
from jaxcompress.trace.cut import Cut, mismatch
from jaxcompress.trace.program import Program, abstract, first_line, retrace
from jaxcompress.trace.walk import Units
from jaxcompress.trees import PyTree

_FEW = 4  # units of which all but one are tried out too


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

        Units at the end of all groups, then at the beginning, then any: where a unit stands must
        not matter. Of two groups of one size now the one and now the other loses more: those that
        must lose equally many are found out.
        """
        for components in self._removals(groups) if groups else ():
            if found := self._trial(components):
                return found
        few = [group.components[1:] for group in groups if 2 < len(group.components) <= _FEW]
        if few and isinstance(found := self._trace(np.concatenate(few)), str):
            return found  # that equations differ is no complaint: an axis of one may be dropped
        return None

    def _removals(self, groups: Sequence[Found]) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        orders = chain([_last, _first], repeat(rng.permutation))
        for counts in counts_apart([len(group.components) for group in groups], rng):
            order = next(orders)
            pairs = zip(groups, counts, strict=True)
            yield np.concatenate([order(g.components)[:count] for g, count in pairs])

    def _trial(self, components: np.ndarray) -> str | None:
        small = self._trace(components)
        if isinstance(small, str):
            return small
        return mismatch(self.units.program, self.units.walk, small, self._cut(components))

    def _trace(self, components: np.ndarray) -> Program | str:
        """Return the function without these components, or what its code raises."""
        cut, units = self._cut(components), self.units
        shapes = {
            path: cut.shape(units.walk.values[units.program.inputs[k]])
            for k, path in enumerate(self.paths)
        }
        try:
            return retrace(self.apply, abstract(self.params, shapes), *self.inputs)
        except Exception as error:  # whatever the code raises, it does not follow
            return first_line(error, 100)

    def _cut(self, components: np.ndarray) -> Cut:
        out = np.zeros(self.units.solution.components, bool)
        out[components] = True
        return Cut(out[self.units.solution.component])


def _first(components: np.ndarray) -> np.ndarray:
    return components


def _last(components: np.ndarray) -> np.ndarray:
    return components[::-1]


def _in_order(groups: Sequence[Found], order: Sequence[Found]) -> list[Found]:
    chosen = {id(group) for group in groups}
    return [group for group in order if id(group) in chosen]


def counts_apart(sizes: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """Return for a few trials how many units each group loses; two stay where there are three.

    In the first trial each group loses as many as it can. Of any two groups of one size each loses
    more than the other in some trial: code that divides widths and rounds (`width // 3`) hides a
    difference to one side. Groups of two sizes lose different shares in some trial. As few trials
    as that takes, since each is a trace.

    Args:
        sizes: of the groups.
        rng: draws what tells groups of two sizes apart where nothing else does.
    """
    units = np.array(sizes, np.int64)
    most = np.maximum(units - 2, 1)
    trials = [most]
    # Numbers of groups among those of their size, digit by digit, up and down.
    number = np.array([sizes[:k].count(size) for k, size in enumerate(sizes)])
    while len(trials) == 1 or number.any():
        digit, number = number % (most + 1), number // (most + 1)
        trials += [digit, most - digit]
    shares = np.array(trials) / units
    alike = units[:, None] != units
    alike &= (shares[:, :, None] == shares[:, None]).all(axis=0)
    while alike.any():
        lost = rng.integers(0, most + 1)
        alike &= lost[:, None] * units == lost * units[:, None]
        trials.append(lost)
    return [lost.tolist() for lost in trials if lost.any()]
