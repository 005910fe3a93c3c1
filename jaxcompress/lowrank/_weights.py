"""The arrays of a tree as `LowRank` leaves, where that saves parameters."""

from collections.abc import Mapping
from itertools import starmap
from typing import Any, NamedTuple

from jaxcompress.bounds import is_integer
from jaxcompress.checks import check_concrete, check_known
from jaxcompress.kinds import FLOATS
from jaxcompress.leaves import is_compressed
from jaxcompress.leaves.lowrank import factors_along
from jaxcompress.leaves.tree import arrays_in_scope
from jaxcompress.lowrank._matrices import Matrix, matrix_of
from jaxcompress.lowrank._ranks import RankRule, by_ratio
from jaxcompress.lowrank._splits import Split, last_axis
from jaxcompress.lowrank._svd import Decomposition, truncated_svd
from jaxcompress.products.moments import Moments
from jaxcompress.trees import (
    NamedLeaves,
    PyTree,
    Scope,
    kernels,
    named_leaves,
)


class RankPlan(NamedTuple):
    """The tensors that become products, and those that do not.

    Attributes:
        ranks: by path, for `low_rank`.
        left_dense: the reason for each other tensor, by path.
    """

    ranks: dict[str, int]
    left_dense: dict[str, str]


def plan_ranks(
    params: PyTree,
    *,
    keep: float | None = None,
    ranks: RankRule | Mapping[str, int] | None = None,
    split: Split = last_axis,
    moments: Moments | None = None,
    scope: Scope = kernels,
) -> RankPlan:
    """Return the ranks that `low_rank` would take, and the tensors that it would keep dense.

    The arguments are those of `low_rank` without `svd`. With `keep` nothing is decomposed.

    Raises:
        ValueError: as `low_rank`.
        TypeError: as `low_rank`.

    Example:
        >>> import numpy as np
        >>> params = {"wide": np.ones((10, 40), "f"), "thin": np.ones((2, 2), "f")}
        >>> plan = plan_ranks(params, keep=0.5)
        >>> plan.ranks
        {'wide': 4}
        >>> plan.left_dense
        {'thin': 'rank 1 has 4 parameters, more than 0.5 of its 4'}
    """
    _, matrices, left = _matrices("plan_ranks", params, split, moments, scope)
    plan = _planned(list(matrices.values()), keep, ranks)
    return RankPlan(plan.ranks, plan.left_dense | left)


def low_rank(
    params: PyTree,
    *,
    keep: float | None = None,
    ranks: RankRule | Mapping[str, int] | None = None,
    split: Split = last_axis,
    moments: Moments | None = None,
    svd: Decomposition = truncated_svd,
    scope: Scope = kernels,
) -> PyTree:
    """Replace the leaves in the scope by products of two thin matrices where that is smaller.

    `W = left @ right`, `[m, n] = [m, rank] @ [rank, n]`, has the least squared error: it is the SVD
    with the `rank` largest values. With `moments` it is the squared error of the layer's outputs,
    `sum |x^T (W - left @ right)|^2`. A tensor becomes a product only where
    `rank * (m + n) < m * n`. Others are kept unchanged, and `plan_ranks` gives the reasons.

    Gathered to the host: all leaves in the scope together, 4 bytes for each weight of float32.

    Args:
        params: any pytree of concrete arrays; compressed leaves are kept unchanged.
        keep: fraction of the parameters of each tensor that is kept, in (0, 1]:
            `ranks=by_ratio(keep=keep)`.
        ranks: instead of `keep`, a rule (`by_energy(keep=0.99)`, `by_budget(1_000_000)`) or the
            rank of each tensor by its path; tensors that it does not name are kept unchanged.
        split: which axes are the rows; by default all but the last, `summed_axes` finds those of
            attention and of stacked layers.
        moments: from `input_moments`. For tensors without moments (such as tables), or with moments
            for each group of a convolution, all entries count equally.
        svd: `exact_svd`, `randomized_svd`, or another function of matrix and rank. It
            computes the factors; `by_energy` and `by_budget` compute all singular values with numpy
            before.
        scope: which leaves are replaced; `in_products(apply, params, x)` where the biases of heads
            or of stacked layers have two axes too.

    Returns:
        `params` with `LowRank` leaves, for `execute`, `save` and, since they are trees of arrays,
        for training.

    Raises:
        ValueError: a fraction out of range, both or neither of `keep` and `ranks`, a rank below 1,
            a path that is not in the scope, moments of other rows than the split's, NaN or infinite
            weights, a budget that is too small, an empty scope.
        TypeError: called under `jit`; ranks that are not integers; leaves that are not floating
            point.

    Example:
        >>> import numpy as np
        >>> params = {"kernel": np.outer(np.arange(8.0), np.ones(8)), "bias": np.zeros(8)}
        >>> thin = low_rank(params, keep=0.5)
        >>> [factor.shape for factor in thin["kernel"].factors]
        [(8, 2), (2, 8)]
        >>> bool(np.allclose(thin["kernel"].dense(), params["kernel"]))
        True

    Source: Wang et al. 2024 (SVD-LLM, with moments), arXiv:2403.07378.
    """
    named, matrices, _ = _matrices("low_rank", params, split, moments, scope)
    chosen = _planned(list(matrices.values()), keep, ranks).ranks
    return named.rebuild(
        [
            factors_along(matrices[path].factors(chosen[path], svd), leaf)
            if path in chosen
            else leaf
            for path, leaf in zip(named.paths, named.leaves, strict=True)
        ]
    )


def _matrices(
    function: str, params: PyTree, split: Split, moments: Moments | None, scope: Scope
) -> tuple[NamedLeaves, dict[str, Matrix], dict[str, str]]:
    """Return leaves in the scope as matrices, and the reasons for those that are none."""
    check_concrete(function, params)
    named = named_leaves(params, is_leaf=is_compressed)
    chosen = arrays_in_scope(named, scope, FLOATS, stays=is_compressed)
    layers = {} if moments is None else moments.layers
    matrices: dict[str, Matrix] = {}
    left: dict[str, str] = {}
    for path, leaf, pick in zip(named.paths, named.leaves, chosen, strict=True):
        axes = split(path, leaf) if pick else None
        if isinstance(axes, str):
            left[path] = axes
        elif axes is not None:
            matrices[path] = matrix_of(path, leaf, axes, layers.get(path, []))
    return named, matrices, left


def _planned(
    matrices: list[Matrix], keep: float | None, ranks: RankRule | Mapping[str, int] | None
) -> RankPlan:
    if (keep is None) == (ranks is None):
        raise ValueError(
            f"keep: one of keep and ranks must be given, got {keep} and {ranks}; "
            "pass keep=0.5, say."
        )
    rule = by_ratio(keep=keep) if keep is not None else ranks
    matrices, found = _ruled(matrices, rule)
    chosen: dict[str, int] = {}
    left_dense: dict[str, str] = {}
    for matrix, rank in zip(matrices, found, strict=True):
        if isinstance(rank, str):
            left_dense[matrix.path] = rank
        elif rank > matrix.highest:
            left_dense[matrix.path] = (
                f"rank {rank} has {matrix.parameters(rank):,} parameters, not fewer than its "
                f"{matrix.tensor.size:,}"
            )
        else:
            chosen[matrix.path] = rank
    return RankPlan(chosen, left_dense)


def _ruled(
    matrices: list[Matrix], rule: RankRule | Mapping[str, int] | None
) -> tuple[list[Matrix], list[int | str]]:
    """Return the matrices of a rule, and the rank of each or the reason to keep it dense."""
    if isinstance(rule, Mapping):
        known = {matrix.path: matrix for matrix in matrices}
        must = "ranks must be for tensors in the scope"
        check_known(rule, known, must, "correct it, or widen the scope")
        return [known[path] for path in rule], list(starmap(_rank, rule.items()))
    if not callable(rule):
        raise TypeError(
            f"ranks: must be a rule or a rank for each path, got {rule!r}; pass "
            'by_energy(keep=0.9), or {"kernel": 8}.'
        )
    found = rule(matrices) if matrices else []
    if len(found) != len(matrices):
        raise ValueError(
            f"ranks: a rule must give a rank for each of {len(matrices)} tensors, got {len(found)};"
            " a word that says why leaves one dense."
        )
    pairs = zip(matrices, found, strict=True)
    return matrices, [r if isinstance(r, str) else _rank(matrix.path, r) for matrix, r in pairs]


def _rank(path: str, rank: Any) -> int:
    if not is_integer(rank):
        raise TypeError(f"{path}: rank must be an integer, got {rank!r}; pass 8, say.")
    if rank < 1:
        raise ValueError(f"{path}: rank must be at least 1, got {rank}; leave it out.")
    return int(rank)
