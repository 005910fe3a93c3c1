"""Rules that choose the rank of each matrix; a rule sees all matrices."""

import heapq
from collections.abc import Callable, Sequence

import numpy as np

from jaxcompress.bounds import check_fraction, check_positive
from jaxcompress.lowrank._matrices import Matrix

RankRule = Callable[[Sequence[Matrix]], list[int | str]]
"""From the matrices to the rank of each, or the reason to keep it dense."""


def by_ratio(*, keep: float) -> RankRule:
    """Keep at most a fraction of the parameters of each matrix.

    `rank = floor(keep * m * n / (m + n))`, at most the highest rank that saves parameters.
    A square matrix with half of the parameters has a quarter of the full rank; half of the full
    rank saves nothing.

    Args:
        keep: fraction of the parameters, in (0, 1].

    Raises:
        TypeError: it is not a number.
        ValueError: it is out of range.

    Example:
        >>> from jaxcompress.lowrank import plan_ranks
        >>> plan_ranks({"w": np.eye(100)}, ranks=by_ratio(keep=0.5)).ranks
        {'w': 25}
    """
    keep = check_fraction("keep", keep)

    def rank(matrix: Matrix) -> int | str:
        one, size = matrix.parameters(1), matrix.tensor.size
        if keep * size < one:
            return f"rank 1 has {one:,} parameters, more than {keep:g} of its {size:,}"
        return min(int(keep * size / one), max(matrix.highest, 1))

    return lambda matrices: list(map(rank, matrices))


def by_energy(*, keep: float) -> RankRule:
    """Keep the lowest rank of each matrix that keeps a fraction of its squared singular values.

    `sum(values[:rank]^2) >= keep * sum(values^2)`. The relative error of the product, in the norm
    that the moments define, is at most `sqrt(1 - keep)`.

    Args:
        keep: fraction of the sum of the squares, in (0, 1].

    Raises:
        TypeError: it is not a number.
        ValueError: it is out of range.

    Example:
        >>> from jaxcompress.lowrank import plan_ranks
        >>> plan_ranks({"w": np.diag([3.0, 1.0, 1.0, 1.0, 0.0])}, ranks=by_energy(keep=0.8)).ranks
        {'w': 2}
    """
    keep = check_fraction("keep", keep)

    def rank(matrix: Matrix) -> int:
        kept = np.cumsum(matrix.squares)
        return int(np.searchsorted(kept, keep * kept[-1] * (1 - 1e-12))) + 1

    return lambda matrices: list(map(rank, matrices))


def by_budget(parameters: int) -> RankRule:
    """Spend a number of parameters where the error falls most for each parameter.

    The error of a matrix is the fraction of its squared singular values that is left out. So layers
    of large weights or inputs count no more than others. The rule raises ranks in the order of
    error saved per parameter, until nothing more fits. The last raise of a matrix makes it dense,
    at its own size. This is the best use of the budget while the best raise fits; the last few
    parameters may be spent less well.

    Args:
        parameters: the most that all matrices in the scope may have together.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not above 0; of the rule: it is below what rank 1 takes everywhere.

    Example:
        >>> from jaxcompress.lowrank import plan_ranks
        >>> flat, steep = np.eye(10), np.diag(0.5 ** np.arange(10))
        >>> plan_ranks({"flat": flat, "steep": steep}, ranks=by_budget(100)).ranks
        {'flat': 3, 'steep': 2}
    """
    budget = check_positive("parameters", parameters, "pass how many the weights may have")

    def rule(matrices: Sequence[Matrix]) -> list[int | str]:
        ladders = [_ladder(matrix) for matrix in matrices]
        left = budget - sum(costs[0] for costs, _ in ladders)
        if left < 0:
            raise ValueError(
                f"parameters: must be at least {budget - left:,.0f}, what rank 1 takes of these "
                f"{len(matrices)} tensors, got {parameters}; raise it, or narrow the scope."
            )
        places = [0] * len(matrices)
        queue: list[tuple[float, int, int]] = []

        def offer(k: int) -> None:
            """Put the best raise of a matrix that fits the rest of the budget into the queue."""
            (costs, kept), here = ladders[k], places[k]
            more = costs[here + 1 :] - costs[here]
            more = more[more <= left]
            slopes = (kept[here + 1 :][: len(more)] - kept[here]) / more
            if slopes.max(initial=0) > 0:
                best = int(np.argmax(slopes))
                heapq.heappush(queue, (-float(slopes[best]), k, here + 1 + best))

        for k in range(len(matrices)):
            offer(k)
        while queue:
            _, k, place = heapq.heappop(queue)
            more = ladders[k][0][place] - ladders[k][0][places[k]]
            if more <= left:
                left, places[k] = left - more, place
            offer(k)
        return [
            "the budget has room for all of it" if place == matrix.highest else place + 1
            for place, matrix in zip(places, matrices, strict=True)
        ]

    return rule


def _ladder(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters and fraction of squares kept, for each smaller rank and for dense."""
    kept = np.cumsum(matrix.squares)
    kept = kept[: matrix.highest] / kept[-1] if kept[-1] else np.ones(matrix.highest)
    costs = matrix.parameters(1) * np.arange(1, matrix.highest + 1)
    return np.append(costs, matrix.tensor.size), np.append(kept, 1.0)
