"""How much a unit matters: one number a unit, from all its slices."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.checks import check_finite, check_fits
from jaxcompress.kinds import NUMBERS, WEIGHTS, Kind, check_kind, check_values, kind_of
from jaxcompress.prune._scores import Score, magnitude
from jaxcompress.trees import PyTree, Scope, everything, matching, named_leaves, weights
from jaxcompress.units.groups import Slice, UnitGroup

UnitScores = Mapping[str, np.ndarray]
"""By name of the group `[units]` numbers; the smallest are removed first."""

UnitScore = Callable[[PyTree, Sequence[UnitGroup]], UnitScores]
"""From parameters and groups to a number for each unit."""

Normalize = Callable[[np.ndarray], np.ndarray]
"""Brings the scores of a group to a scale on which groups can be compared."""


def unit_slices(
    tree: PyTree, groups: Sequence[UnitGroup], *, scope: Scope = weights
) -> dict[str, list[np.ndarray]]:
    """Return by name of the group the entries of its units, one `[units, m]` array a slice.

    Where several slices lie in one leaf, as in a recurrent kernel, entries of an earlier slice are
    zeros in the later ones: each weight of a unit counts once.

    Args:
        tree: the parameters, or a tree with their leaves at the same paths, such as gradients.
        groups: the groups to read.
        scope: which leaves count; a group with no leaf in the scope gives all its weights, a group
            without weights all its numbers.

    Raises:
        ValueError: a leaf is missing, not finite, or has fewer entries than the group.
        TypeError: the scope chooses random keys.

    Example:
        >>> from jaxcompress.prune import Slice
        >>> part = Slice("kernel", 1, np.array([[0], [1]]))
        >>> group = UnitGroup(
        ...     name="layer", size=2, slices=(part,), changes_function=False, parameters=2)
        >>> unit_slices({"kernel": np.array([[1.0, 2.0], [3.0, 4.0]])}, [group])["layer"]
        [array([[1., 3.],
               [2., 4.]])]
    """
    result, checked = {}, set()
    for group, chosen in scored_slices(tree, groups, scope=scope):
        result[group.name] = []
        for number, (part, leaf) in enumerate(chosen):
            array = np.asarray(leaf)
            if part.path not in checked:
                check_finite(part.path, array)
                checked.add(part.path)
            result[group.name].append(by_unit(array, part, chosen[:number], np))
    return result


def scored_slices(
    tree: PyTree, groups: Sequence[UnitGroup], *, scope: Scope
) -> Iterator[tuple[UnitGroup, list[tuple[Slice, Any]]]]:
    """Return for each group its slices in the scope with their leaves, as `unit_slices` does.

    Raises:
        ValueError: a leaf is missing, or has fewer entries than the group.
    """
    named = named_leaves(tree)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    for group in groups:
        for part in group.slices:
            _check_leaf(group, part, leaves)
        pairs = [(part, leaves[part.path]) for part in group.slices]
        chosen = [(part, leaf) for part, leaf in pairs if scope(part.path, leaf)]
        for part, leaf in chosen:
            check_kind(part.path, leaf, NUMBERS)
            check_values(part.path, leaf)
        for kinds in (WEIGHTS, NUMBERS):
            chosen = chosen or [pair for pair in pairs if kind_of(pair[1]) in kinds.members]
        yield group, chosen


def _check_leaf(group: UnitGroup, part: Slice, leaves: Mapping[str, Any]) -> None:
    if part.path not in leaves:
        raise ValueError(
            f"{part.path}: the tree must have this leaf of group {group.name}, got "
            f"{', '.join(list(leaves)[:5])}; pass the tree whose groups these are."
        )
    shape, least = tuple(leaves[part.path].shape), int(part.indices.max()) + 1
    if part.axis >= len(shape) or shape[part.axis] < least:
        raise ValueError(
            f"{part.path}: axis {part.axis} must have at least the {least} entries of group "
            f"{group.name}, got shape {shape}; find the groups of a cut tree again."
        )


def by_unit(leaf: Any, part: Slice, before: Sequence[tuple[Slice, Any]], xp: Any) -> Any:
    """Return `[units, m]`: the entries of each unit, zeros for those of an earlier slice.

    Args:
        leaf: the array.
        part: where the units lie in it.
        before: earlier slices with their leaves.
        xp: `numpy`, or `jax.numpy` for traced arrays.
    """
    units = len(part.indices)
    rows = xp.moveaxis(leaf, part.axis, 0)[part.indices]
    for other, _ in before:
        if other.path == part.path:
            taken = np.zeros((units, leaf.shape[other.axis]), bool)
            np.put_along_axis(taken, other.indices, values=True, axis=1)
            place = 2 + other.axis - (other.axis > part.axis)
            shape = [units, *[1] * (rows.ndim - 1)]
            shape[place] = taken.shape[1]
            rows = xp.where(taken.reshape(shape), 0, rows)
    return rows.reshape(units, -1)


def summed(score: Score, *, scope: Scope = weights) -> UnitScore:
    """Return a score of units that sums a score of weights over all slices of a unit.

    Args:
        score: from parameters to a tree of the same shapes, such as `magnitude`.
        scope: which leaves count; the running statistics of norms are not weights.
    """

    def unit_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
        scores = score(params)
        check_fits("score", scores, "params", params)
        return {
            name: np.sum([part.sum(axis=1, dtype=np.float64) for part in parts], axis=0)
            for name, parts in unit_slices(scores, groups, scope=scope).items()
        }

    return unit_score


def l1_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
    """Score a unit by the sum of `|w|` over the kernels of all its slices.

    Source: Li et al. 2017, arXiv:1608.08710.
    """
    return summed(magnitude)(params, groups)


def l2_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
    """Score a unit by the root of the sum of `w^2` over the kernels of all its slices."""
    return {
        name: np.sqrt(np.sum([np.square(_wide(abs(p))).sum(axis=1) for p in parts], axis=0))
        for name, parts in unit_slices(params, groups).items()
    }


def random_unit_score(key: jax.Array) -> UnitScore:
    """Return a score that ignores the weights: the control of every pruning experiment.

    Args:
        key: key of `jax.random`; the same key gives the same score.
    """

    def unit_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
        del params
        keys = jax.random.split(key, max(len(groups), 1))
        return {
            group.name: np.asarray(jax.random.uniform(k, (group.size,)))
            for group, k in zip(groups, keys, strict=False)
        }

    return unit_score


def norm_scale_score(pattern: str = r"(^|/)(scale|gamma)$") -> UnitScore:
    """Return a score that sums `|scale|` of the norms behind a unit.

    Args:
        pattern: regular expression that the paths of the scales match.

    Source: Liu et al. 2017 (network slimming), arXiv:1708.06519.
    """
    scope = matching(pattern, scope=everything)

    def unit_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
        for group in groups:
            if not any(scope(part.path, np.zeros(1)) for part in group.slices):
                raise ValueError(
                    f"{group.name}: no scale of a norm goes with its units, none of "
                    f"{', '.join(part.path for part in group.slices)} matches {pattern!r}; choose "
                    "other groups or another score."
                )
        return summed(magnitude, scope=scope)(params, groups)

    return unit_score


def taylor_score(gradients: PyTree) -> UnitScore:
    """Return a score of how much the loss changes, to first order, without a unit.

    `|sum of g * w|` over the kernels of all its slices, the real part where they are complex:
    `jax.grad` gives the conjugate of the direction of ascent.

    Args:
        gradients: of the loss by the parameters, a tree like them.

    Source: Molchanov et al. 2019, arXiv:1906.10771.
    """

    def unit_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
        check_fits("gradients", gradients, "params", params)
        values, slopes = unit_slices(params, groups), unit_slices(gradients, groups)
        return {
            name: np.abs(
                np.sum(
                    [
                        np.einsum("um,um->u", _wide(w), _wide(g)).real
                        for w, g in zip(parts, slopes[name], strict=True)
                    ],
                    axis=0,
                )
            )
            for name, parts in values.items()
        }

    return unit_score


def geometric_median_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
    """Score a unit by the sum of its distances to the others: replaceable units score low.

    Source: He et al. 2019 (FPGM), arXiv:1811.00250.
    """
    result = {}
    for name, parts in unit_slices(params, groups).items():
        square = 0.0
        for part in parts:
            wide = _wide(part)
            norms = np.einsum("um,um->u", wide, wide.conj()).real
            square = square + norms[:, None] + norms[None] - 2 * np.real(wide @ wide.conj().T)
        result[name] = np.sqrt(np.maximum(square, 0)).sum(axis=1)
    return result


def _wide(part: np.ndarray) -> np.ndarray:
    """Return numbers in double precision."""
    return part.astype(np.complex128 if kind_of(part) is Kind.COMPLEX else np.float64)


def divide_by_mean(scores: np.ndarray) -> np.ndarray:
    """Return scores in units of the mean of their group's magnitudes."""
    return _divided(scores, float(np.mean(np.abs(scores))))


def divide_by_max(scores: np.ndarray) -> np.ndarray:
    """Return scores in units of their group's largest magnitude."""
    return _divided(scores, float(np.max(np.abs(scores))))


def unnormalized(scores: np.ndarray) -> np.ndarray:
    """Return scores as they are."""
    return scores


def _divided(scores: np.ndarray, scale: float) -> np.ndarray:
    return scores / scale if scale else scores
