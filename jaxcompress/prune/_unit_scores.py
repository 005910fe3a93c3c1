"""How much a unit matters: one number a unit, from all its slices."""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from jaxcompress.checks import check_fits
from jaxcompress.kinds import Kind, kind_of
from jaxcompress.prune._scores import Score, magnitude
from jaxcompress.prune._unit_slices import unit_slices
from jaxcompress.trees import PyTree, Scope, everything, matching, weights
from jaxcompress.units.groups import UnitGroup

UnitScores = Mapping[str, np.ndarray]
"""By name of the group `[units]` numbers; the smallest are removed first."""

UnitScore = Callable[[PyTree, Sequence[UnitGroup]], UnitScores]
"""From parameters and groups to a number for each unit."""

Normalize = Callable[[np.ndarray], np.ndarray]
"""Brings the scores of a group to a scale on which groups can be compared."""


def summed(score: Score, *, scope: Scope = weights) -> UnitScore:
    """Return a score of units that sums a score of weights over all slices of a unit.

    Args:
        score: from parameters to a tree of the same shapes, such as `magnitude`.
        scope: which leaves count; the running statistics of norms are not weights.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[3.0, -1.0, 0.0]]), "out": np.array([[1.0], [1.0], [2.0]])}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> from jaxcompress.prune import magnitude
        >>> summed(magnitude)(params, groups)["in"].tolist()
        [4.0, 2.0, 2.0]
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

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[3.0, -1.0, 0.0]]), "out": np.array([[1.0], [1.0], [2.0]])}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> l1_score(params, groups)["in"].tolist()
        [4.0, 2.0, 2.0]

    Source: Li et al. 2017, arXiv:1608.08710.
    """
    return summed(magnitude)(params, groups)


def l2_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
    """Score a unit by the root of the sum of `w^2` over the kernels of all its slices.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[3.0, -1.0, 0.0]]), "out": np.array([[1.0], [1.0], [2.0]])}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> l2_score(params, groups)["in"].round(3).tolist()
        [3.162, 1.414, 2.0]
    """
    return {
        name: np.sqrt(np.sum([np.square(_wide(abs(p))).sum(axis=1) for p in parts], axis=0))
        for name, parts in unit_slices(params, groups).items()
    }


def random_unit_score(key: jax.Array) -> UnitScore:
    """Return a score that ignores the weights: the control of every pruning experiment.

    Args:
        key: key of `jax.random`; the same key gives the same score.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[3.0, -1.0, 0.0]]), "out": np.array([[1.0], [1.0], [2.0]])}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> random_unit_score(jax.random.key(0))(params, groups)["in"].shape
        (3,)
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

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.ones((1, 2)), "scale": np.array([0.5, -2.0]), "out": np.ones((2, 1))}
        >>> def apply(p, x):
        ...     return x @ p["in"] * p["scale"] @ p["out"]
        >>> norm_scale_score()(params, unit_groups(apply, params, np.ones((1, 1))))["in"].tolist()
        [0.5, 2.0]

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

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[3.0, -1.0, 0.0]]), "out": np.array([[1.0], [1.0], [2.0]])}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> gradients = {"in": np.array([[1.0, 1.0, 1.0]]), "out": np.array([[0.0], [1.0], [2.0]])}
        >>> taylor_score(gradients)(params, groups)["in"].tolist()
        [3.0, 0.0, 4.0]

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

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[3.0, -1.0, 0.0]]), "out": np.array([[1.0], [1.0], [2.0]])}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> geometric_median_score(params, groups)["in"].round(3).tolist()
        [7.162, 5.414, 4.576]

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
    """Return scores in units of the mean of their group's magnitudes.

    Example:
        >>> divide_by_mean(np.array([1.0, 3.0])).tolist()
        [0.5, 1.5]
    """
    return _divided(scores, float(np.mean(np.abs(scores))))


def divide_by_max(scores: np.ndarray) -> np.ndarray:
    """Return scores in units of their group's largest magnitude.

    Example:
        >>> divide_by_max(np.array([1.0, 4.0])).tolist()
        [0.25, 1.0]
    """
    return _divided(scores, float(np.max(np.abs(scores))))


def unnormalized(scores: np.ndarray) -> np.ndarray:
    """Return scores as they are.

    Example:
        >>> unnormalized(np.array([1.0, 4.0])).tolist()
        [1.0, 4.0]
    """
    return scores


def _divided(scores: np.ndarray, scale: float) -> np.ndarray:
    return scores / scale if scale else scores
