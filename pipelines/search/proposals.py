"""The next member to try: by what is known of the others, or at random."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.search.costs import Budget, Costs
from pipelines.search.front import Point
from pipelines.search.space import Axis, Levels, anywhere, even, narrower, sizes_at

EVEN = (1, 3, 5, 7)
"""Levels of the first members, whose widths are all the same fraction of the whole network's."""

STARTUP = 8
"""So many members are even or at random, before what is known counts."""


class Known(NamedTuple):
    """What is known of a member: where it lies on the grid, and how good it is."""

    levels: Levels
    point: Point


Propose = Callable[[Sequence[Axis], Sequence[Known], Sequence[int]], Levels]
"""`propose(axes, known, seed)`: the next place on the grid."""


def guided(axes: Sequence[Axis], known: Sequence[Known], seed: Sequence[int]) -> Levels:
    """Propose even members first, then those that a tree of Parzen estimators expects to be good.

    The estimators are made anew from what is known at each call, so the same is proposed after a
    stop.

    Args:
        axes: of the family.
        known: of all members before.
        seed: numbers; the second counts members, the third attempts.

    Raises:
        ImportError: optuna is not installed.

    Source: Bergstra et al. 2011, Algorithms for hyper-parameter optimization; Ozaki et al. 2022,
    arXiv:2210.07129, for several goals; by optuna.
    """
    _, number, attempt = seed
    if number < len(EVEN) and not attempt:
        return even(axes, EVEN[number])
    import optuna  # of the extra `search`

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=_one(seed))
    directions: Any = ["minimize"] * 3
    study = optuna.create_study(directions=directions, sampler=sampler)
    places: dict[str, Any] = {
        axis.name: optuna.distributions.IntDistribution(0, len(axis.values) - 1) for axis in axes
    }
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(places, each.levels, strict=True)),
                distributions=places,
                values=list(each.point),
            )
            for each in known
        ]
    )
    asked = study.ask(places).params
    return tuple(int(asked[name]) for name in places)


def by_chance(axes: Sequence[Axis], known: Sequence[Known], seed: Sequence[int]) -> Levels:
    """Propose a member at random: the control."""
    del known
    return anywhere(axes, np.random.default_rng(list(seed)))


def _one(seed: Sequence[int]) -> int:
    """Return one number of several."""
    return int(np.random.SeedSequence(list(seed)).generate_state(1)[0])


class Candidate(NamedTuple):
    """A member within the budget.

    Attributes:
        levels: its place on the grid.
        sizes: as JSON.
        identity: the same for networks that are: of different sizes, some without effect.
    """

    levels: Levels
    sizes: dict[str, Any]
    identity: str


class Family(NamedTuple):
    """The members that may be tried.

    Attributes:
        config: of the whole network.
        axes: of its family.
        costs: bytes and speeds.
        budget: of each member.
    """

    config: Any
    axes: Sequence[Axis]
    costs: Costs
    budget: Budget

    def fitted(self, levels: Levels) -> Candidate | None:
        """Return the widest member from a place downwards that is within the budget, if any is."""
        for lower in (levels, *narrower(self.axes, levels)):
            sizes = sizes_at(self.config, self.axes, lower)
            if self.budget.is_met(self.costs, sizes):
                others = [sizes[axis.field] for axis in self.axes if not axis.is_width]
                return Candidate(lower, sizes, f"{self.costs.shapes(sizes)} {others}")
        return None
