"""One option of each of several items, with the least damage within a budget."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_PARTS = 1 << 16


class Options(NamedTuple):
    """The options of one item.

    Attributes:
        costs: `[n]` numbers of at least 0.
        damages: `[n]` numbers.
    """

    costs: np.ndarray
    damages: np.ndarray


class Frontier(NamedTuple):
    """The least damage for every budget.

    Attributes:
        cheapest: sum of the cheapest costs.
        part: of the costs beyond it, in which they are counted.
        damages: `[parts + 1]` least damage with so many parts.
        choices: for each item the parts of its options, and which one is taken at each number.
    """

    cheapest: float
    part: float
    damages: np.ndarray
    choices: list[tuple[np.ndarray, np.ndarray]]

    def within(self, budget: float) -> list[int] | None:
        """Return for each item the option chosen, None if even the cheapest cost more."""
        spare = budget - self.cheapest
        if spare < 0:
            return None
        return self._at(int(min(spare / self.part, len(self.damages) - 1)))

    def least_cost(self, damage: float) -> list[int] | None:
        """Return the options of the smallest cost whose damage is at most that, None if none is."""
        enough = np.flatnonzero(self.damages <= damage)
        return self._at(int(enough[0])) if enough.size else None

    def _at(self, place: int) -> list[int]:
        options = []
        for parts, which in reversed(self.choices):
            option = int(which[place])
            options.append(option)
            place -= int(parts[option])
        return options[::-1]


def frontier(items: Sequence[Options]) -> Frontier:
    """Return the choices of least damage for all budgets.

    Damages add up, and so do costs. Costs beyond the cheapest options are rounded up to one of
    65 536 parts of the range between the cheapest and the dearest choice, and then the choice is
    exact (dynamic programming). So a larger budget never does more damage, and the same items and
    budget give the same choice.

    Args:
        items: their options.

    Example:
        >>> a = Options(np.array([8.0, 4.0]), np.array([0.1, 0.2]))
        >>> b = Options(np.array([8.0, 4.0]), np.array([0.1, 3.0]))
        >>> found = frontier([a, b])
        >>> found.within(12), found.within(7), found.least_cost(0.31)
        ([1, 0], None, [1, 0])

    Source: Sinha and Zoltners 1979, The multiple-choice knapsack problem.
    """
    cheapest = [float(item.costs.min()) for item in items]
    reach = sum(float(item.costs.max()) for item in items) - sum(cheapest)
    part = reach / _PARTS if reach > 0 else 1.0
    room = _PARTS + len(items) if reach > 0 else 0
    best = np.zeros(room + 1)
    choices: list[tuple[np.ndarray, np.ndarray]] = []
    for item, least in zip(items, cheapest, strict=True):
        parts = np.ceil((item.costs - least) / part * (1 - 1e-12)).astype(np.int64)
        found, which = np.full(room + 1, np.inf), np.zeros(room + 1, np.uint16)
        for option in np.lexsort((parts, item.damages)):
            step = int(parts[option])
            if step > room:
                continue
            total = best[: room + 1 - step] + item.damages[option]
            better = total < found[step:]
            np.copyto(found[step:], total, where=better)
            np.copyto(which[step:], np.uint16(option), where=better)
        choices.append((parts, which))
        best = found
    return Frontier(sum(cheapest), part, best, choices)
