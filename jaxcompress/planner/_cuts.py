"""Smaller networks that are cut out of the whole one: fewer units in each layer, fewer blocks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.bounds import is_integer
from jaxcompress.planner._record import LEAVE, Parts
from jaxcompress.planner._rows import rows_of
from jaxcompress.planner._task import Apply, Task
from jaxcompress.prune import (
    UnitGroups,
    UnitScore,
    choose_blocks,
    choose_units,
    drop_blocks,
    l1_score,
    shrink,
    unit_groups,
)
from jaxcompress.prune import count_blocks as depth_of
from jaxcompress.trees import PyTree, named_leaves

KEPT_UNITS = (0.8, 0.65, 0.5, 0.42, 0.35, 0.25)
"""Fractions of the units of each layer that the networks of a profile keep."""

_KEPT_BLOCKS = (0.75, 0.5, 0.34)
_ROUND_TO = 4

Cut = dict[str, Any]
"""What a smaller network keeps: `{}`, `{"units": {group: count}}` or `{"blocks": [place]}`."""


class Candidate(NamedTuple):
    """A network that can be made from the whole one.

    Attributes:
        name: of it.
        cut: what it keeps.
    """

    name: str
    cut: Cut


def candidates(
    task: Task, units: Sequence[float], groups: Callable[[], UnitGroups]
) -> tuple[list[Candidate], list[str]]:
    """Return the smaller networks to try, and why there are no others.

    Each has the same fraction of the units of every layer, in multiples of 8 where a layer has as
    many: with other numbers they are often slower.

    Args:
        task: of the whole network.
        units: fractions of the units to keep.
        groups: finds those of the network.
    """
    depth = depth_of(task.params, task.blocks) if task.blocks else 0  # refuses what are none
    if not task.is_run:
        return [], []
    found, why = _by_units(task, units, groups()) if units else ([], [])
    if task.blocks:
        counts = sorted({max(round(part * depth), 1) for part in _KEPT_BLOCKS} - {depth})[::-1]
        found += [
            Candidate(
                f"blocks {count}",
                {"blocks": choose_blocks(task.params, task.blocks, keep=count)},
            )
            for count in counts
        ]
    return found, why


def _by_units(
    task: Task, units: Sequence[float], groups: UnitGroups
) -> tuple[list[Candidate], list[str]]:
    if not _usable(task, groups):
        reasons = sorted({"; ".join(axis.reasons) for axis in groups.frozen})[:2]
        code = any(group.untried for group in groups)
        why = "the code checks its own sizes: pass rebuild" if code else "; ".join(reasons)
        return [], [f"no units to cut: {why or 'no layer has units of its own'}"]
    found: list[Candidate] = []
    for part in units:
        kept = {name: int(np.sum(keep)) for name, keep in _keep(task, groups, 1 - part).items()}
        if kept not in [candidate.cut["units"] for candidate in found] and kept != sizes_of(groups):
            found.append(Candidate(f"units {part:.2f}", {"units": kept}))
    return found, []


def groups_of(task: Task, apply: Apply | None, params: PyTree) -> UnitGroups:
    """Return the groups of units of a network on one or two rows of the example."""
    assert apply is not None
    few = tuple(task.example)
    if rows_of(apply, params, few) is not None:
        few = jax.tree.map(lambda leaf: leaf[:2], few)
    return unit_groups(apply, params, *few, rebuild=task.rebuild)


def _usable(task: Task, groups: UnitGroups) -> list[str]:
    return [group.name for group in groups if not group.untried or task.rebuild is not None]


def sizes_of(groups: UnitGroups) -> dict[str, int]:
    """Return the number of units of each group."""
    return {group.name: group.size for group in groups}


def parts_of(task: Task, groups: UnitGroups) -> Parts:
    """Return which tensors the groups of a network, and its blocks, have a part in."""
    units = {g.name: list(dict.fromkeys(each.path for each in g.slices)) for g in groups}
    paths = named_leaves(task.params).paths if task.blocks else []
    inside = [path for path in paths if f"/{path}".count(f"/{task.blocks}")]
    return Parts(units, inside)


def partly(cut: Mapping[str, Any], whole: Mapping[str, int], part: float) -> Cut:
    """Return a part of a cut: of each group `(1 - part) whole + part kept` units are left.

    Blocks are dropped all at once. Groups that there are not are left for `cut_out` to refuse.

    Args:
        cut: what is kept in the end.
        whole: units of each group of the whole network.
        part: of the cut, to 1.

    Example:
        >>> partly({"units": {"in": 2, "mid": "leave"}}, {"in": 10, "mid": 4}, 0.5)
        {'units': {'in': 6}}
    """
    if "units" not in cut:
        return dict(cut)

    def left(name: str, kept: int) -> int:
        return round(whole[name] - part * (whole[name] - kept)) if name in whole else kept

    return {"units": {name: left(name, kept) for name, kept in counts(cut).items()}}


def _keep(task: Task, groups: UnitGroups, remove: float) -> dict[str, np.ndarray]:
    names = _usable(task, groups)
    fractions = dict.fromkeys(names, remove)
    return choose_units(task.params, groups, remove=fractions, round_to=_ROUND_TO)


def cut_out(
    task: Task,
    apply: Apply,
    params: PyTree,
    cut: Mapping[str, Any],
    score: UnitScore = l1_score,
    groups: UnitGroups | None = None,
) -> tuple[Apply, PyTree]:
    """Return a smaller network, of the units with the largest weights.

    Args:
        task: of the whole network.
        apply: of the network to cut.
        params: of the network to cut, which may be smaller than the whole one already.
        cut: what is kept.
        score: of the units.
        groups: of the network to cut, if they are known.

    Raises:
        ValueError: groups or places that there are not, or more than there are; a cut of a network
            that cannot be run.
    """
    if cut and not task.is_run:
        raise ValueError("plan: cuts the network, which needs apply and example; give them.")
    if "blocks" in cut:
        return apply, drop_blocks(params, task.blocks, keep=cut["blocks"])
    if "units" not in cut:
        return apply, params
    if groups is None:
        groups = groups_of(task, apply, params)
    sizes = sizes_of(groups)
    remove: dict[str, float] = {}
    for name, kept in counts(cut).items():
        if name not in sizes and kept == 1:
            continue  # the last unit of a group is no group
        groups.check_name(name)
        if not 1 <= kept <= sizes[name]:
            raise ValueError(
                f"{name}: must keep 1 to {sizes[name]} units, got {kept}; correct the plan."
            )
        remove[name] = 1 - kept / sizes[name]
    small = shrink(params, groups, choose_units(params, groups, remove=remove, score=score))
    return rebuilt(task, apply, small), small


def counts(cut: Mapping[str, Any]) -> dict[str, int]:
    """Return how many units of each group are kept, without those to leave as they are.

    Raises:
        ValueError: something else than a number or "leave".
    """
    found = {name: kept for name, kept in cut.get("units", {}).items() if kept != LEAVE}
    for name, kept in found.items():
        if not is_integer(kept):
            raise ValueError(
                f'{name}: must keep a number of units, or "{LEAVE}", got {kept!r}; correct the '
                "plan."
            )
    return found


def rebuilt(task: Task, apply: Apply, params: PyTree) -> Apply:
    """Return the function for parameters of other sizes."""
    if task.rebuild is None:
        return apply
    named = named_leaves(params)
    return task.rebuild({p: tuple(a.shape) for p, a in zip(named.paths, named.leaves, strict=True)})
