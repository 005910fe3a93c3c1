"""The search: rounds of ever fewer members and ever longer trainings; and random search."""

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.search.costs import Speed
from pipelines.search.front import VOLUME, Goal, Point, point, towards, widest
from pipelines.search.proposals import Candidate, Family, Known, Propose, by_chance
from pipelines.search.trainings import Result, Trainings

ROUND = 8  # members that are tried together
_KEPT = 2  # one of so many goes on to a longer training
_FRACTIONS = (1 / 8, 1 / 4, 1 / 2)  # of the epochs of a full training
_ATTEMPTS = 100  # to find a member that was not tried before


class Trial(NamedTuple):
    """A member that was tried.

    Attributes:
        candidate: the member.
        size_bytes: of its file, with random weights.
        size_fraction: of the bytes of the whole network.
        speed: measured.
        results: after each of its trainings.
        epochs: of all of its trainings together.
    """

    candidate: Candidate
    size_bytes: int
    size_fraction: float
    speed: Speed
    results: tuple[Result, ...] = ()
    epochs: int = 0

    def point(self, place: int = -1) -> Point:
        """Return its coordinates after one of its trainings, by default the last."""
        largest = max(self.speed.speedups, key=int)
        faster = self.speed.speedups[largest]
        return point(self.size_fraction, 1 / faster, self.results[place].accuracy)

    @property
    def diverged(self) -> bool:
        """Whether the loss of a training was not finite."""
        return self.results[-1].accuracy is None


def rungs(epochs: int) -> tuple[int, ...]:
    """Return the epochs of ever longer trainings: an eighth, a quarter and a half of a full one.

    Example:
        >>> rungs(30), rungs(4), rungs(1)
        ((4, 8, 15), (1, 2), (1,))
    """
    return tuple(sorted({max(round(epochs * fraction), 1) for fraction in _FRACTIONS}))


def successive_halving(
    family: Family,
    trainings: Trainings,
    propose: Propose,
    *,
    trials: int,
    epochs: Sequence[int],
    seed: int,
    goal: Goal = VOLUME,
    first: Candidate | None = None,
) -> list[Trial]:
    """Try members in rounds, and train the better half of each round on, then half of these.

    Those that go on dominate the largest volume together (bytes, milliseconds, wrong answers), so
    small and fast ones go on beside good ones; of wrong answers alone, the most accurate ones go
    on. The first one goes on in any case. Proposals are told the quality after the first training,
    which all members have.

    Args:
        family: the members.
        trainings: trains them.
        propose: the next one.
        trials: how many to try; fewer if there are no more.
        epochs: of ever longer trainings.
        seed: of the proposals.
        goal: what is to be small.
        first: a member that is tried before any is proposed, and trained in full.

    Source: Jamieson and Talwalkar 2016, arXiv:1502.07943.
    """
    found: list[Trial] = []
    while len(found) < trials:
        tried: list[Trial] = []
        told = [Known(t.candidate.levels, [t.point(0)[n] for n in goal]) for t in found]
        for _ in range(min(ROUND, trials - len(found))):
            before = [*found, *tried]
            candidate = None if before else first
            candidate = candidate or _next(family, propose, before, known=told, seed=seed)
            if candidate is None:
                break
            tried.append(_costed(family, candidate))
        alive = list(range(len(tried)))
        for count in epochs:
            for place in alive:
                tried[place] = _trained(trainings, tried[place], count)
            sound = [place for place in alive if not tried[place].diverged]
            most = max(len(alive) // _KEPT, 1)
            best = widest([towards(goal, tried[place].point()) for place in sound], most)
            given = [place for place in sound if tried[place].candidate == first]
            alive = sorted({*given, *(sound[number] for number in best)})
        trainings.forget()
        found += tried
        if len(tried) < ROUND:
            break
    return found


def random_search(
    family: Family, trainings: Trainings, *, epochs: int, spend: int, seed: int
) -> list[Trial]:
    """Train members at random, all equally long: the control.

    Args:
        family: the members.
        trainings: trains them.
        epochs: of each training.
        spend: epochs of all of them together, at most.
        seed: of the choice.
    """
    found: list[Trial] = []
    for _ in range(spend // epochs):
        candidate = _next(family, by_chance, found, known=[], seed=seed)
        if candidate is None:
            break
        found.append(_trained(trainings, _costed(family, candidate), epochs))
        trainings.forget()
    return found


def spent(trials: Sequence[Trial]) -> int:
    """Return the epochs of all trainings together."""
    return sum(trial.epochs for trial in trials)


def _next(
    family: Family,
    propose: Propose,
    before: Sequence[Trial],
    *,
    known: Sequence[Known],
    seed: int,
) -> Candidate | None:
    """Return a member that was not tried before, None if none is found."""
    seen = {trial.candidate.identity for trial in before}
    for attempt in range(_ATTEMPTS):
        chosen = propose if attempt < _ATTEMPTS // 2 else by_chance
        levels = chosen(family.axes, known, (seed, len(before), attempt))
        candidate = family.fitted(levels)
        if candidate is None:
            return None
        if candidate.identity not in seen:
            return candidate
    return None


def _costed(family: Family, candidate: Candidate) -> Trial:
    size = family.costs.size_bytes(candidate.sizes)
    speed = family.costs.speed(candidate.sizes)
    return Trial(candidate, size, size / family.costs.whole_bytes, speed)


def _trained(trainings: Trainings, trial: Trial, epochs: int) -> Trial:
    result = trainings.result(trial.candidate.sizes, epochs)
    return trial._replace(results=(*trial.results, result), epochs=epochs)
