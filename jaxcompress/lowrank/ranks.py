"""Which rank each matrix gets: rules that see all of them."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from jaxcompress.checks import check_positive
from jaxcompress.lowrank.matrices import Matrix

Rule = Callable[[Sequence[Matrix]], list[int | str]]
"""From the matrices to the rank of each, or why it stays dense."""


def check_share(name: str, share: float) -> float:
    """Return a share as a float.

    Raises:
        TypeError: it is no number.
        ValueError: it is not in (0, 1].
    """
    remedy = "pass the share to keep, not a percentage"
    number = check_positive(name, share, remedy)
    if number > 1:
        raise ValueError(f"{name}: must be in (0, 1], got {share}; {remedy}.")
    return number


def by_ratio(ratio: float) -> Rule:
    """Keep at most a share of the parameters of each matrix.

    `rank = floor(ratio * m * n / (m + n))`. A square matrix of half as many parameters has a
    quarter of the full rank; half of the full rank saves nothing.

    Args:
        ratio: share of the parameters, in (0, 1].

    Raises:
        TypeError: it is no number.
        ValueError: it is out of range.
    """
    share = check_share("ratio", ratio)

    def rank(matrix: Matrix) -> int | str:
        one, size = matrix.parameters(1), matrix.tensor.size
        if share * size < one:
            return f"rank 1 has {one:,} parameters, more than {share:g} of its {size:,}"
        return min(int(share * size / one), max(matrix.highest, 1))

    return lambda matrices: list(map(rank, matrices))


def by_energy(share: float) -> Rule:
    """Keep the lowest rank of each matrix that has a share of its squared singular values.

    `sum(values[:rank]^2) >= share * sum(values^2)`. The relative error of the product, in the norm
    that the moments define, is `sqrt(1 - share)` at most.

    Args:
        share: of the sum of the squares, in (0, 1].

    Raises:
        TypeError: it is no number.
        ValueError: it is out of range.

    Source: arXiv:1412.6553 and others choose ranks by it.
    """
    share = check_share("energy", share)

    def rank(matrix: Matrix) -> int:
        kept = np.cumsum(matrix.squares)
        return int(np.searchsorted(kept, share * kept[-1] * (1 - 1e-12))) + 1

    return lambda matrices: list(map(rank, matrices))


def by_budget(parameters: int) -> Rule:
    """Spend a number of parameters where the error falls most for each of them.

    The error of a matrix is its share of squared singular values that is left out, so that layers
    of large weights or inputs count no more than others. Ranks are taken in the order of what they
    lower the error by, divided by their parameters, until nothing more fits; a matrix that would
    have as many parameters in factors becomes dense, at the size of itself.

    Args:
        parameters: that all matrices in the scope may have together.

    Raises:
        TypeError: it is no number.
        ValueError: it is not above 0; of the rule: below what rank 1 takes everywhere.
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
        steps = ((s, k) for k, ladder in enumerate(ladders) for s in _steps(*ladder))
        for (_, place), k in sorted(steps, key=lambda step: -step[0][0]):
            costs, _ = ladders[k]
            more = costs[place] - costs[places[k]]
            if more <= left:
                left, places[k] = left - more, place
        for k, (costs, _) in enumerate(ladders):  # what is between two corners of the hull
            while places[k] + 1 < len(costs) and costs[places[k] + 1] - costs[places[k]] <= left:
                left -= costs[places[k] + 1] - costs[places[k]]
                places[k] += 1
        return [
            "the budget has room for all of it" if place == matrix.highest else place + 1
            for place, matrix in zip(places, matrices, strict=True)
        ]

    return rule


def _ladder(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters and the share of squares kept, for each rank that pays and for dense."""
    squares = matrix.squares
    kept = np.cumsum(squares)[: matrix.highest] / (squares.sum() or 1)
    costs = matrix.parameters(1) * np.arange(1, matrix.highest + 1)
    return np.append(costs, matrix.tensor.size), np.append(kept, 1.0)


def _steps(costs: np.ndarray, kept: np.ndarray) -> Iterable[tuple[float, int]]:
    """Return the corners of the upper hull: what leads there gains for a parameter, and where."""
    corners = [0]
    for place in range(1, len(costs)):
        while len(corners) > 1 and _slope(costs, kept, corners[-1], place) >= _slope(
            costs, kept, corners[-2], corners[-1]
        ):
            corners.pop()
        corners.append(place)
    pairs = zip(corners, corners[1:], strict=False)
    return [(_slope(costs, kept, a, b), b) for a, b in pairs]


def _slope(costs: np.ndarray, kept: np.ndarray, a: int, b: int) -> float:
    return float((kept[b] - kept[a]) / (costs[b] - costs[a]))
