"""From connected components to groups: units that look alike, in the order of their use."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.trace.program import Constant, Program
from jaxcompress.units.groups import FrozenAxis, Slice, UnitGroup
from jaxcompress.units.walk import Units


class Found(NamedTuple):
    """A group before it has a name.

    Attributes:
        components: one for each unit.
        slices: the slices that are removed with them.
        layered: an axis has units of two kinds, such as heads and places in them.
        changes_function: as in `UnitGroup`.
    """

    components: np.ndarray
    slices: tuple[Slice, ...]
    layered: bool
    changes_function: bool

    @property
    def mark(self) -> int:
        """Identifies a group of one walk, joined ones too: no two have a component in common."""
        return int(self.components[0])

    @property
    def kind(self) -> tuple[bool, tuple[tuple[str, int, int], ...]]:
        """Equal for the groups of repeated blocks."""
        where = [
            (re.sub(r"\d+", "#", part.path), part.axis, part.indices.shape[1])
            for part in self.slices
        ]
        return self.layered, tuple(where)


def read_groups(units: Units, paths: Sequence[str]) -> tuple[list[Found], np.ndarray]:
    """Return groups of components that have equally many indices in the same axes.

    Returns:
        Groups of two units and more, and the components that are the only ones of their kind: they
        are kept, since one unit of a group is always kept.
    """
    solution = units.solution
    free = np.ones(solution.components, bool)
    for _, frozen in solution.frozen:
        free[frozen] = False
    component, slot, index = _table(units, free)
    if not component.size:
        return [], np.zeros(0, int)
    members, kinds = _kinds(component, slot)
    kind_of = np.full(solution.components, -1)
    kind_of[members] = kinds
    order = np.argsort(kind_of[component], kind="stable")
    ends = np.cumsum(np.bincount(kind_of[component]))
    reduced = np.zeros(solution.components, bool)
    reduced[solution.reduced] = True
    layered = np.array([len(axis) > 1 for axis in units.axes])
    found, alone = [], []
    for rows in np.split(order, ends[:-1]):
        mine = np.unique(component[rows])
        if len(mine) == 1:
            alone.append(mine[0])
            continue
        slots = slot[rows].reshape(len(mine), -1)[0]
        indices = index[rows].reshape(len(mine), -1)
        slices = tuple(
            Slice(paths[units.slots[k][0]], units.slots[k][1], indices[:, slots == k])
            for k in map(int, np.unique(slots))
        )
        found.append(Found(mine, slices, bool(layered[slots].any()), bool(reduced[mine].any())))
    return _in_order(found, units.program, paths), np.array(alone, int)


def _table(units: Units, free: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return component, slot and index of all entries of parameters that may be removed.

    Sorted in this order, each once.
    """
    sizes = [axis.shape[1] for axis in units.axes]
    longest, slots = max(sizes, default=1), max(len(sizes), 1)
    keys = [np.zeros(0, np.int64)]
    for slot, axis in enumerate(units.axes):
        layer, index = np.nonzero(axis >= 0)
        component = units.solution.component[axis[layer, index]].astype(np.int64)
        keys.append(((component * slots + slot) * longest + index)[free[component]])
    key = np.unique(np.concatenate(keys))
    rest, index = np.divmod(key, longest)
    component, slot = np.divmod(rest, slots)
    return component, slot, index


def _kinds(component: np.ndarray, slot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the components, and for each the number of its kind.

    Components of one kind have equally many indices in each slot.
    """
    pairs, counts = np.unique(component * (slot.max() + 1) + slot, return_counts=True)
    owner, where = np.divmod(pairs, slot.max() + 1)
    trait = np.unique(where * (counts.max() + 1) + counts, return_inverse=True)[1].ravel()
    members, start, slots = np.unique(owner, return_index=True, return_counts=True)
    kinds = slots - 1
    for rank in range(slots.max()):  # at most as many rounds as a unit has slots
        there = np.flatnonzero(slots > rank)
        key = kinds[there] * (trait.max() + 1) + trait[start[there] + rank]
        kinds[there] = np.unique(key, return_inverse=True)[1].ravel()
    both = slots * (kinds.max() + 1) + kinds  # only as many slots make the same kind
    return members, np.unique(both, return_inverse=True)[1].ravel()


def _in_order(found: list[Found], program: Program, paths: Sequence[str]) -> list[Found]:
    """Sort groups and their slices by where the program first uses their leaves."""
    used: dict[int, int] = {}
    for equation in program.equations:
        for operand in equation.operands:
            if not isinstance(operand, Constant):
                used.setdefault(operand, len(used))
    order = {path: used.get(program.inputs[k], len(used) + k) for k, path in enumerate(paths)}

    def place(part: Slice) -> tuple[int, int]:
        return order[part.path], part.axis

    found = [group._replace(slices=tuple(sorted(group.slices, key=place))) for group in found]
    return sorted(found, key=lambda group: (place(group.slices[0]), int(group.components[0])))


def named_groups(
    found: Sequence[Found], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[UnitGroup, ...]:
    """Name groups by the layer of their first leaf, and by more where names are equal."""
    forms = []
    for group in found:
        path, axis = group.slices[0].path, group.slices[0].axis
        layer = path.removesuffix("/value").rpartition("/")[0]  # NNX wraps arrays
        forms.append((layer or path, path, f"{path}:{axis}"))
    often = [Counter(column) for column in zip(*forms, strict=True)]
    seen: Counter[str] = Counter()
    result = []
    for group, names in zip(found, forms, strict=True):
        seen[names[-1]] += 1
        unique = [name for name, times in zip(names, often, strict=True) if times[name] == 1]
        name = unique[0] if unique else f"{names[-1]}#{seen[names[-1]]}"
        result.append(
            UnitGroup(
                name=name,
                size=len(group.components),
                slices=group.slices,
                changes_function=group.changes_function,
                parameters=_carried(group, shapes),
            )
        )
    return tuple(result)


def _carried(group: Found, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the number of entries of one unit; entries on two axes of a leaf count once."""
    left: dict[str, list[int]] = {}
    for part in group.slices:
        sizes = left.setdefault(part.path, list(shapes[part.path]))
        sizes[part.axis] -= part.indices.shape[1]
    return sum(int(np.prod(shapes[path]) - np.prod(sizes)) for path, sizes in left.items())


def frozen_axes(
    units: Units, paths: Sequence[str], good: Sequence[Found], more: Mapping[str, np.ndarray]
) -> tuple[FrozenAxis, ...]:
    """Return the axes with entries that cannot be removed, except windows of convolutions.

    Args:
        units: from walking a function.
        paths: of the leaves.
        good: groups that may be removed.
        more: further reasons, and the components that are frozen for them.
    """
    free = np.zeros(units.solution.components + 1, bool)  # the last is for no component
    free[np.concatenate([np.zeros(0, int), *(group.components for group in good)])] = True
    reasons = []
    for why, ids in (*units.solution.frozen, *more.items()):
        if why != "window":
            mask = np.zeros(len(free), bool)
            mask[ids] = True
            reasons.append((why, mask))
    result = []
    for (leaf, axis), ids in zip(units.slots, units.axes, strict=True):
        component = np.where(ids >= 0, units.solution.component[ids], -1)
        removable = np.any(free[component], axis=0)
        here = [(why, np.any(mask[component], axis=0) & ~removable) for why, mask in reasons]
        here = [(why, kept) for why, kept in here if kept.any()]
        if here:
            entries = int(np.count_nonzero(np.any([kept for _, kept in here], axis=0)))
            result.append(FrozenAxis(paths[leaf], axis, entries, tuple(why for why, _ in here)))
    return tuple(result)


def unknown_primitives(units: Units, paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the primitives without a rule that froze anything, and the paths that they froze."""
    result = {}
    for why, components in units.solution.frozen:
        if why.startswith("no rule for "):
            touched = [
                paths[leaf]
                for (leaf, _), ids in zip(units.slots, units.axes, strict=True)
                if np.isin(units.solution.component[ids[ids >= 0]], components).any()
            ]
            result[why.removeprefix("no rule for ")] = tuple(dict.fromkeys(touched))
    return result
