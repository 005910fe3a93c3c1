"""Joining groups that the code follows only together, unit by unit."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxcompress.units._failures import Failure
from jaxcompress.units.patterns import Found, read_groups
from jaxcompress.units.trials import Trial
from jaxcompress.units.walk import Units

_MOST_MATES = 3


def couple(
    trial: Trial, found: Sequence[Found], good: list[Found], failures: Mapping[int, Failure]
) -> tuple[Trial, list[Found]]:
    """Join groups that must lose equally many units, such as the halves of `split(x, 2)`.

    Groups of one size that fail alone are tried as one group, whose unit `i` is unit `i` of each:
    pairs first, then all groups on one axis of a parameter. What works for one block is tried in
    all blocks at once.

    Args:
        trial: has tried the groups separately.
        found: all groups.
        good: those that the code follows.
        failures: of other groups, by mark; of at least one group of each kind.

    Returns:
        The trial with the groups joined, and all groups that the code follows now.
    """
    kept = {group.mark for group in good}
    stuck = _not_alone([group for group in found if group.mark not in kept], trial, failures)
    hopeless = set()
    before = len(good)
    while lead := next((group for group in stuck if group.kind not in hopeless), None):
        for mates in _candidates(lead, stuck):
            sets = _everywhere(mates, stuck)
            joined = _tried(trial, good, sets)
            if joined is None and len(sets) > 1:
                sets = [mates]
                joined = _tried(trial, good, sets)
            if joined is not None:
                trial, good = joined, [*good, *(groups[0] for groups in sets)]
                used = {id(group) for groups in sets for group in groups}
                stuck = [group for group in stuck if id(group) not in used]
                break
        else:
            hopeless.add(lead.kind)
    if len(good) == before:
        return trial, good
    free = np.zeros(trial.units.solution.components, bool)
    free[np.concatenate([group.components for group in good])] = True
    again, _ = read_groups(trial.units, trial.paths)
    return trial, [group for group in again if free[group.components].all()]


def _not_alone(
    stuck: Sequence[Found], trial: Trial, failures: Mapping[int, Failure]
) -> list[Found]:
    """Return the groups that may work together with others.

    A group is left out if it fails with all groups of its size in the same way as alone.
    """
    helped = []
    for size in dict.fromkeys(len(group.components) for group in stuck):
        alike = [group for group in stuck if len(group.components) == size]
        while any(True for group in alike for _ in _candidates(group, alike)):
            failure = _joined_trial(trial, [alike]).at_once(alike[:1])
            rest = [group for group in alike if not _same(failures.get(group.mark), failure)]
            if len(rest) == len(alike):
                helped += alike
                break
            alike = rest
    marks = {group.mark for group in helped}
    return [group for group in stuck if group.mark in marks]


def _same(one: Failure | None, other: Failure | None) -> bool:
    if one is None or other is None:
        return False
    return (one.text, one.place) == (other.text, other.place)


def _candidates(lead: Found, stuck: Sequence[Found]) -> Iterator[list[Found]]:
    """Yield groups that may have to be cut with a group: first those that share an axis with it."""
    alike = [g for g in stuck if g is not lead and len(g.components) == len(lead.components)]
    mine = {(part.path, part.axis) for part in lead.slices}
    near = [g for g in alike if mine & {(part.path, part.axis) for part in g.slices}]
    by_kind = {group.kind: group for group in reversed([*near, *alike]) if group.kind != lead.kind}
    others = [group for group in by_kind.values() if not any(group is other for other in near)]
    for mate in [*near, *reversed(others)][:_MOST_MATES]:
        yield [lead, mate]
    if len(near) > 1:
        yield [lead, *near]


def _everywhere(mates: list[Found], stuck: Sequence[Found]) -> list[list[Found]]:
    """Return the mates in every block, or only the given ones if blocks differ."""
    kinds = [group.kind for group in mates]
    columns = [[group for group in stuck if group.kind == kind] for kind in kinds]
    if len(set(kinds)) < len(kinds) or len({len(column) for column in columns}) > 1:
        return [mates]
    sets = [list(groups) for groups in zip(*columns, strict=True)]
    same = all(len({len(group.components) for group in groups}) == 1 for groups in sets)
    return sets if same else [mates]


def _tried(trial: Trial, good: Sequence[Found], sets: Sequence[Sequence[Found]]) -> Trial | None:
    """Return the trial with each set joined, if the code follows."""
    joined = _joined_trial(trial, sets)
    failed = joined.complaint([*good, *(groups[0] for groups in sets)])
    return None if failed else joined


def _joined_trial(trial: Trial, sets: Sequence[Sequence[Found]]) -> Trial:
    return trial._replace(units=_joined(trial.units, sets))


def _joined(units: Units, sets: Sequence[Sequence[Found]]) -> Units:
    """Return the units in which unit `i` of each group of a set is unit `i` of its first."""
    solution = units.solution
    name = np.arange(solution.components)
    for first, *others in sets:
        for group in others:
            name[group.components] = first.components
    return units._replace(
        solution=solution._replace(
            component=name[solution.component],
            frozen=[(why, np.unique(name[ids])) for why, ids in solution.frozen],
            reduced=np.unique(name[solution.reduced]),
        )
    )
