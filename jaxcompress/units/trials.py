"""Trying whether the code of a function follows when units are removed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.trace.program import Program, abstract, retrace
from jaxcompress.trees import PyTree
from jaxcompress.units._failures import Failure, all_frames, failure_of
from jaxcompress.units.cut import Cut, mismatch
from jaxcompress.units.patterns import Found
from jaxcompress.units.walk import Units

Sizes = Mapping[str, tuple[int, ...]]
"""The shape of every leaf, by path."""

Rebuild = Callable[[Sizes], Callable[..., PyTree]]
"""From the shapes of smaller parameters to the `apply` that is built for them."""

_FEW = 4  # most units of a group of which all but one are also tried


class Trial(NamedTuple):
    """Traces a function with fewer units of some groups.

    Attributes:
        apply: the function.
        params: its parameters.
        inputs: its inputs.
        units: from walking it.
        paths: of the leaves of `params`.
        rebuild: gives the function at smaller sizes, where `apply` does not follow them.
        seen: results by removed nodes, so that nothing is traced twice.
        raised: errors by shapes; common to all walks of the function.
    """

    apply: Callable[..., PyTree]
    params: PyTree
    inputs: Sequence[PyTree]
    units: Units
    paths: list[str]
    rebuild: Rebuild | None
    seen: dict[bytes, Failure | None]
    raised: dict[tuple[tuple[int, ...], ...], Failure]

    def run(
        self, lots: Sequence[Sequence[Found]], good: Sequence[Found]
    ) -> tuple[list[Found], dict[int, Failure]]:
        """Return the groups that the code follows, and the failures of others.

        All groups are tried at once first. If that fails, fewer and fewer lots are tried. A lot
        that fails alone is tried group by group, unless its first group fails. Groups that pass
        are then tried together in all ways.

        Args:
            lots: groups to try, similar groups in one lot; the order matters where some groups
                can be removed only without others.
            good: groups that the code is known to follow.

        Returns:
            Good groups, the given ones included, and failures by the `mark` of a group. Groups in
            a lot with a group that fails may have no result.
        """
        new, failures = sifted(lots, lambda new, some: self.at_once(some))
        if new and self.complaint([*good, *new]):
            marks = {group.mark for group in new}
            left = [[group for group in lot if group.mark in marks] for lot in lots]
            new, more = sifted(
                list(filter(None, left)), lambda new, some: self.complaint([*good, *new, *some])
            )
            failures |= more
        return [*good, *new], failures

    def at_once(self, groups: Sequence[Found]) -> Failure | None:
        """Return the failure with as many last units of each group removed as possible, or None."""
        components = next(self._removals(groups))
        return self._trial(components, _sizes(groups))

    def complaint(self, groups: Sequence[Found]) -> Failure | None:
        """Return the failure with units of each group removed, or None.

        Units at the end of all groups are removed, then at the beginning, then random ones: the
        position of a unit must not matter. Of two groups of one size each loses more than the
        other in some trial: so groups that must lose equally many are found.
        """
        sizes = _sizes(groups)
        for components in self._removals(groups) if groups else ():
            if found := self._trial(components, sizes):
                return found
        few = [group.components[1:] for group in groups if 2 < len(group.components) <= _FEW]
        if few and isinstance(found := self._trace(self._cut(np.concatenate(few)), sizes), Failure):
            return found  # equations may differ here: an axis of one entry may be dropped
        return None

    def function(self, sizes: Sizes) -> Callable[..., PyTree]:
        """Return the function that takes parameters of these sizes."""
        return self.rebuild(sizes) if self.rebuild else self.apply

    def at_full_size(self) -> Failure | None:
        """Return the failure of a rebuilt function with nothing removed, or None."""
        return self._trial(np.zeros(0, int), set())

    def _removals(self, groups: Sequence[Found]) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        orders = chain([_last, _first], repeat(rng.permutation))
        for counts in counts_apart([len(group.components) for group in groups], rng):
            order = next(orders)
            pairs = zip(groups, counts, strict=True)
            yield np.concatenate([order(g.components)[:count] for g, count in pairs])

    def _trial(self, components: np.ndarray, sizes: set[int]) -> Failure | None:
        cut = self._cut(components)
        key = np.packbits(cut.removed).tobytes()
        if key not in self.seen:
            small = self._trace(cut, sizes)
            if isinstance(small, Program):
                other = mismatch(self.units.program, self.units.walk, small, cut)
                self.seen[key] = Failure(other) if other else None
            else:
                self.seen[key] = small
        return self.seen[key]

    def _trace(self, cut: Cut, sizes: set[int]) -> Program | Failure:
        """Return the program without the removed nodes, or the failure of its code."""
        shapes = {
            path: cut.shape(self.units.walk.values[self.units.program.inputs[k]])
            for k, path in enumerate(self.paths)
        }
        key = tuple(shapes.values())
        if key in self.raised:
            return self.raised[key]
        try:
            with all_frames():
                small = abstract(self.params, shapes)
                return retrace(self.function(shapes), small, *self.inputs)
        except MemoryError:
            raise
        except Exception as error:  # whatever the code raises, it does not follow
            self.raised[key] = failure_of(error, sizes)
        return self.raised[key]

    def _cut(self, components: np.ndarray) -> Cut:
        out = np.zeros(self.units.solution.components, bool)
        out[components] = True
        return Cut(out[self.units.solution.component])


def _first(components: np.ndarray) -> np.ndarray:
    return components


def _last(components: np.ndarray) -> np.ndarray:
    return components[::-1]


def _sizes(groups: Sequence[Found]) -> set[int]:
    """Return the numbers of units of groups, and the sizes of their axes."""
    return {len(group.components) for group in groups} | {
        part.indices.size for group in groups for part in group.slices
    }


def by_kind(groups: Sequence[Found]) -> list[list[Found]]:
    """Return the groups of repeated blocks together; units of two kinds on one axis come last."""
    kinds: dict[Any, list[Found]] = {}
    for group in groups:
        kinds.setdefault(group.kind, []).append(group)
    return [kinds[kind] for kind in sorted(kinds)]


def sifted(
    lots: Sequence[Sequence[Found]],
    complaint: Callable[[list[Found], list[Found]], Failure | None],
) -> tuple[list[Found], dict[int, Failure]]:
    """Return the groups without a complaint, and the failures of others.

    After a pass twice as many lots are tried next, after a failure half as many. With `n` groups
    that takes `n + log n` calls where all fail, and never more than twice as many.

    Args:
        lots: of groups, in the order in which to try them.
        complaint: of some groups, given those that are good already.
    """
    good: list[Found] = []
    failures: dict[int, Failure] = {}
    rest, many = list(lots), max(len(lots), 1)
    while rest:
        some = [group for lot in rest[:many] for group in lot]
        failure = complaint(good, some)
        if failure and len(rest[:many]) > 1:
            many = len(rest[:many]) // 2
            continue
        if failure and len(some) > 1:
            failure = complaint(good, some[:1])
            if not failure:
                rest, many = [*([group] for group in some), *rest[1:]], 1
                continue
        if failure:
            failures[some[0].mark] = failure
        else:
            good += some
        rest, many = rest[many:], many if failure else 2 * many
    return good, failures


def counts_apart(sizes: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """Return for a few trials how many units each group loses; at least two of three are kept.

    In the first trial each group loses as many as it can. Of any two groups of one size each loses
    more than the other in some trial: code that divides widths and rounds (`width // 3`) hides a
    difference to one side. Groups of two sizes lose different fractions in some trial. The number
    of trials is as small as possible, since each is a trace.

    Args:
        sizes: of the groups.
        rng: draws counts that tell groups of two sizes apart where the others do not.
    """
    units = np.array(sizes, np.int64)
    most = np.maximum(units - 2, 1)
    trials = [most]
    # Numbers of groups among those of their size, digit by digit, up and down.
    number = np.array([sizes[:k].count(size) for k, size in enumerate(sizes)])
    while len(trials) == 1 or number.any():
        digit, number = number % (most + 1), number // (most + 1)
        trials += [digit, most - digit]
    fractions = np.array(trials) / units
    alike = units[:, None] != units
    alike &= (fractions[:, :, None] == fractions[:, None]).all(axis=0)
    while alike.any():
        lost = rng.integers(0, most + 1)
        alike &= lost[:, None] * units == lost * units[:, None]
        trials.append(lost)
    return [lost.tolist() for lost in trials if lost.any()]
