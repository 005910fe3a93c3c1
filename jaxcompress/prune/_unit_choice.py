"""Which units are kept: fractions to remove, spread over groups, by score."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.bounds import check_removed, is_integer
from jaxcompress.checks import check_finite
from jaxcompress.prune._unit_scores import Normalize, UnitScore, divide_by_mean, l1_score
from jaxcompress.prune.masks import removed_count
from jaxcompress.prune.select import keep_largest
from jaxcompress.trees import PyTree
from jaxcompress.units.groups import UnitGroup, UnitGroups

Measure = Callable[[UnitGroup], float]
"""What one unit of a group counts for, where a fraction is spread over all groups."""


class Candidate(NamedTuple):
    """A group whose units may be removed.

    Attributes:
        group: itself.
        remove: the fraction to remove.
        scores: `[units]`, normalized.
        limit: how many units may be removed at most.
    """

    group: UnitGroup
    remove: float
    scores: np.ndarray
    limit: int


Spread = Callable[[Sequence[Candidate], Measure], list[int]]
"""Decides how many units each group loses."""


def by_units(group: UnitGroup) -> float:
    """Count every unit once.

    Example:
        >>> from jaxcompress.prune import UnitGroup
        >>> group = UnitGroup(name="in", size=8, slices=(), changes_function=False, parameters=5)
        >>> by_units(group)
        1.0
    """
    del group
    return 1.0


def by_parameters(group: UnitGroup) -> float:
    """Count a unit by the parameters that it carries alone.

    Example:
        >>> from jaxcompress.prune import UnitGroup
        >>> group = UnitGroup(name="in", size=8, slices=(), changes_function=False, parameters=5)
        >>> by_parameters(group)
        5.0
    """
    return float(group.parameters)


def by_flops(group: UnitGroup) -> float:
    """Count a unit by the operations that are removed with it alone.

    A fraction of FLOPs holds to first order: a kernel between two groups counts for both, and if
    each loses a fraction `p`, `(1 - p)^2` of its FLOPs are kept; FLOPs of no unit are kept.

    Example:
        >>> from jaxcompress.prune import UnitGroup
        >>> group = UnitGroup(
        ...     name="in", size=8, slices=(), changes_function=False, parameters=5, flops=10)
        >>> by_flops(group)
        10.0
    """
    return float(group.flops)


def within_groups(candidates: Sequence[Candidate], measure: Measure) -> list[int]:
    """Remove the same fraction of each group.

    Example:
        >>> from jaxcompress.prune import UnitGroup
        >>> candidates = [
        ...     Candidate(
        ...         UnitGroup(name=name, size=2, slices=(), changes_function=False, parameters=1),
        ...         remove=0.5, scores=np.array(scores), limit=1)
        ...     for name, scores in (("in", [1.0, 2.0]), ("out", [3.0, 4.0]))
        ... ]
        >>> within_groups(candidates, by_units)
        [1, 1]
    """
    del measure
    return [min(removed_count(c.group.name, c.remove, c.group.size), c.limit) for c in candidates]


def across_groups(candidates: Sequence[Candidate], measure: Measure) -> list[int]:
    """Remove the fraction from all groups together, the lowest scores first.

    Raises:
        ValueError: fractions that differ by group, or more to remove than the groups may lose.

    Example:
        >>> from jaxcompress.prune import UnitGroup
        >>> candidates = [
        ...     Candidate(
        ...         UnitGroup(name=name, size=3, slices=(), changes_function=False, parameters=1),
        ...         remove=1 / 3, scores=np.array(scores), limit=2)
        ...     for name, scores in (("in", [1.0, 2.0, 9.0]), ("out", [3.0, 4.0, 5.0]))
        ... ]
        >>> across_groups(candidates, by_units)
        [2, 0]
    """
    fractions = {c.remove for c in candidates}
    if len(fractions) > 1:
        raise ValueError(
            f"remove: must be one number across groups, got {sorted(fractions)}; use within_groups."
        )
    cost = np.concatenate([np.full(c.group.size, measure(c.group)) for c in candidates])
    if not (np.isfinite(cost).all() and (cost >= 0).all() and cost.any()):
        raise ValueError(
            "measure: must be finite, at least 0, and above 0 for some group, got "
            f"{', '.join(f'{measure(c.group)} for {c.group.name}' for c in candidates[:3])}."
        )
    owner = np.repeat(np.arange(len(candidates)), [c.group.size for c in candidates])
    scores = np.concatenate([c.scores for c in candidates])
    rank = np.concatenate([_rank(c.scores) for c in candidates])
    limit = np.repeat([c.limit for c in candidates], [c.group.size for c in candidates])
    order = np.lexsort((-np.arange(len(scores)), scores))
    order = order[rank[order] < limit[order]]
    fraction = fractions.pop()
    goal, reachable = fraction * cost.sum(), np.cumsum(cost[order])
    if not len(order) or goal > reachable[-1] + 0.5 * cost.min():
        raise ValueError(
            f"remove: must be at most {(reachable[-1] if len(order) else 0) / cost.sum():.3f}, got "
            f"{fraction}: the groups may lose no more units; raise remove_at_most or pass less."
        )
    taken = order[: int(np.argmin(np.abs(np.concatenate([[0.0], reachable]) - goal)))]
    return np.bincount(owner[taken], minlength=len(candidates)).tolist()


def _rank(scores: np.ndarray) -> np.ndarray:
    """Return how many units are removed before each; ties remove the higher index first."""
    rank = np.empty(len(scores), int)
    rank[np.lexsort((-np.arange(len(scores)), scores))] = np.arange(len(scores))
    return rank


def choose_units(
    params: PyTree,
    groups: UnitGroups,
    *,
    remove: float | Mapping[str, float],
    score: UnitScore = l1_score,
    normalize: Normalize = divide_by_mean,
    spread: Spread = within_groups,
    measure: Measure = by_units,
    round_to: int = 1,
    remove_at_most: float | Mapping[str, float] | None = None,
) -> dict[str, np.ndarray]:
    """Choose the units that are kept: those of the highest scores.

    Exactly `round(remove * units)` units are removed from each group, or from all together, but
    never the last of a group; ties keep the lower index. Removing a fraction `p` of the channels of
    every layer removes about `1 - (1 - p)^2` of the parameters.

    Args:
        params: the parameters that the groups were found for.
        groups: from `unit_groups`.
        remove: the fraction of units to remove, in [0, 1); or one for each group by name, the
            others are kept whole. One number is for the groups whose removal the code was seen to
            follow; if there are none, as in modules that check their sizes, for all groups.
        score: `l1_score`, `l2_score`, `taylor_score(gradients)`, `norm_scale_score()`,
            `geometric_median_score`, `activation_score(apply, x)`, `random_unit_score(key)`, or
            `summed` of a score of weights.
        normalize: `divide_by_mean`, `divide_by_max` or `unnormalized`; matters only across groups.
        spread: `within_groups` or `across_groups`.
        measure: what a fraction across groups counts: `by_units`, `by_parameters`, `by_flops`.
        round_to: the number of kept units is rounded to the nearest multiple, in groups that are
            large enough: with 16, 97 channels run no faster than 112, but 96 do.
        remove_at_most: the largest fraction that a group may lose, in [0, 1); one number for all
            groups, or one for each by name.

    Returns:
        By name of the group `[units]` booleans, True where a unit is kept.

    Raises:
        ValueError: no group to choose from, a fraction outside [0, 1), an unknown group, NaN or
            infinite scores.
        TypeError: a fraction that is not a number, a `round_to` that is not an integer above 0.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[1.0, 3.0, 2.0, 0.5]]), "out": np.ones((4, 1))}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> choose_units(params, groups, remove=0.5)["in"].tolist()
        [False, True, True, False]
    """
    if not is_integer(round_to) or round_to < 1:
        raise TypeError(
            f"round_to: must be an integer above 0, got {round_to!r}; 16 suits most hardware."
        )
    groups.check_some()
    fractions = _by_name(groups, "remove", remove)
    caps = {} if remove_at_most is None else _by_name(groups, "remove_at_most", remove_at_most)
    chosen = [group for group in groups if group.name in fractions]
    scores = _checked(score(params, chosen), chosen)
    candidates = [
        Candidate(
            group,
            fractions[group.name],
            normalize(scores[group.name]),
            min(int(caps.get(group.name, 1.0) * group.size + 1e-9), group.size - 1),
        )
        for group in chosen
    ]
    removed = spread(candidates, measure) if candidates else []
    return {
        c.group.name: _keep(c, _rounded(c, count, round_to))
        for c, count in zip(candidates, removed, strict=True)
    }


def _proved(groups: UnitGroups) -> list[str]:
    """Return the groups that one number is for: those that the code follows, or all if none."""
    return [group.name for group in groups if not group.untried] or groups.names


def _by_name(
    groups: UnitGroups, label: str, fraction: float | Mapping[str, float]
) -> dict[str, float]:
    """Return a fraction for each group from one number, called `label`, or from some by name."""
    if not isinstance(fraction, Mapping):
        return dict.fromkeys(_proved(groups), check_removed(label, fraction))
    for name in fraction:
        groups.check_name(name)
    return {name: check_removed(name, value) for name, value in fraction.items()}


def _checked(scores: Mapping[str, np.ndarray], groups: Sequence[UnitGroup]) -> dict:
    result = {}
    for group in groups:
        values = np.asarray(scores.get(group.name, ()))
        if values.shape != (group.size,):
            raise ValueError(
                f"{group.name}: score must give one number for each of the {group.size} units, "
                f"got shape {values.shape}; sum over what a unit carries."
            )
        check_finite(group.name, values)
        result[group.name] = values
    return result


def _rounded(candidate: Candidate, removed: int, round_to: int) -> int:
    """Return how many units to remove to keep a multiple of `round_to`, if possible."""
    size = candidate.group.size
    if not removed or size < round_to:
        return removed
    kept = max(int((size - removed) / round_to + 0.5), 1) * round_to
    while size - kept > candidate.limit:
        kept += round_to
    return max(size - kept, 0)


def _keep(candidate: Candidate, removed: int) -> np.ndarray:
    return np.asarray(keep_largest([candidate.scores], removed)[0])
