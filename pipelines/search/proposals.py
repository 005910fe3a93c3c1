"""The next member to try: by what is known of the others, or at random."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nets.families import sizes_of
from nets.students import parameter_count, student_for
from pipelines.search.costs import Budget, Costs
from pipelines.search.space import Axis, Levels, anywhere, even, narrower, nearest, sizes_at

EVEN = (1, 3, 5, 7)
"""Levels of the first members, whose widths are all the same fraction of the whole network's."""

_LARGER, _SLOWER, _EVEN_TRIED = 1.03, 1.25, 60
"""By how much a student that is too large, or too slow, is made smaller, and how often."""

STARTUP = 8
"""So many members are even or at random, before what is known counts."""


class Known(NamedTuple):
    """What is known of a member: where it lies on the grid, and what is to be small of it."""

    levels: Levels
    goals: Sequence[float]


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
    directions: Any = ["minimize"] * (len(known[0].goals) if known else 1)
    study = optuna.create_study(directions=directions, sampler=sampler)
    places: dict[str, Any] = {
        axis.name: optuna.distributions.IntDistribution(0, len(axis.values) - 1) for axis in axes
    }
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(places, each.levels, strict=True)),
                distributions=places,
                values=list(each.goals),
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
        levels: its place on the grid, or the nearest one.
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
        """Return the widest member from a place downwards that is within the budget, if any is.

        All widths become narrower together; then single ones return towards the place, as far as
        the budget allows.
        """
        for lower in (levels, *narrower(self.axes, levels)):
            if self._is_met(lower):
                filled = self._filled(lower, levels)
                return self._candidate(filled, sizes_at(self.config, self.axes, filled))
        return None

    def even(self) -> Candidate | None:
        """Return the widest member of the whole network's proportions within the budget, if any is.

        It is what `--recipe distill` would teach, and need not lie on the grid.
        """
        whole = sizes_at(self.config, self.axes, (0,) * len(self.axes))
        most = self.budget.size_bytes or math.inf
        target = min(most / self.costs.whole_bytes, 1.0) * parameter_count(self.config)
        for _ in range(_EVEN_TRIED):
            try:
                sizes = whole | sizes_of(student_for(self.config, math.floor(target)))
                is_small = self.costs.size_bytes(sizes) <= most
            except ValueError:  # no network of about these proportions has so few
                sizes, is_small = whole, False
            if is_small and self.budget.is_met(self.costs, sizes):
                return self._candidate(nearest(self.axes, sizes), sizes)
            target /= _SLOWER if is_small else _LARGER
        return None

    def _filled(self, levels: Levels, most: Levels) -> Levels:
        """Return a member with single widths raised, a level at a time and in turn."""
        axes, rising = self.axes, True
        while rising:
            rising = False
            for place, axis in enumerate(axes):
                higher = (*levels[:place], levels[place] - 1, *levels[place + 1 :])
                if axis.is_width and levels[place] > most[place] and self._is_met(higher):
                    levels, rising = higher, True
        return levels

    def _is_met(self, levels: Levels) -> bool:
        return self.budget.is_met(self.costs, sizes_at(self.config, self.axes, levels))

    def _candidate(self, levels: Levels, sizes: dict[str, Any]) -> Candidate:
        others = [sizes[axis.field] for axis in self.axes if not axis.is_width]
        return Candidate(levels, sizes, f"{self.costs.shapes(sizes)} {others}")
