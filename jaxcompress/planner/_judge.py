"""Compares plans of several techniques, and says what speaks for each."""

from collections.abc import Callable
from typing import NamedTuple

from jaxcompress.planner._plan import Budget, Plan
from jaxcompress.planner._recommendation import Advice
from jaxcompress.planner._record import Profile, Speed
from jaxcompress.planner._textbook import EDGE, SERVER, Case, named, saying
from jaxcompress.planner._words import number

_SAME = 0.02
"""Bytes, damages, losses and times this much apart are equal."""

_UNSURE = 0.25
"""So are losses by this part of half their interval: plans of one profile are on one curve, so that
their differences are surer than their losses."""


class Attempt(NamedTuple):
    """A technique with its best plan.

    Attributes:
        techniques: that the plan uses.
        plan: of them alone.
    """

    techniques: tuple[str, ...]
    plan: Plan


class Judge:
    """Compares plans.

    Args:
        profile: of the network.
        budget: what was asked for.
        target: for which.
    """

    def __init__(self, profile: Profile, budget: Budget, target: str) -> None:
        self._profile, self._budget, self._target = profile, budget, target
        timed = bool(profile.networks[0].latency)
        self._is_for_time = target == SERVER and timed and budget.drop is not None
        self._is_for_bytes = target == EDGE and budget.size_bytes is None

    def worth(self, found: Plan) -> tuple[float, float]:
        """Return what is lost beyond the budget, and what counts next; less is better."""
        lost = _lost(found)
        limit = self._budget.drop
        beyond = 0.0 if limit is None else max(lost - limit, 0.0)
        return beyond, self._measure(found)

    def _measure(self, found: Plan) -> float:
        speed = self.speed(found)
        if self._is_for_time and speed is not None:
            return 1 / speed.speedup
        return found.size_bytes if self._is_for_bytes else _lost(found)

    def is_near(self, found: Plan, best: Plan) -> bool:
        """Whether a plan is as good as the best, by all that predictions can tell."""
        (beyond, own), (least, other) = self.worth(found), self.worth(best)
        unsure = 0.0 if best.drop is None else _UNSURE * (best.drop.high - best.drop.low) / 2
        is_for_loss = not (self._is_for_time or self._is_for_bytes)
        margin = _SAME * abs(other) + (unsure if is_for_loss else 0.0)
        return beyond <= least * (1 + _SAME) + unsure and own <= other + margin

    def speed(self, found: Plan) -> Speed | None:
        """Return the time at the batch size that counts: one input at a time at the edge."""
        order: Callable[..., Speed] = min if self._target == EDGE else max
        return order(found.latency, key=lambda t: t.batch_size) if found.latency else None

    def advice(self, case: Case, row: Attempt, place: int, best: Attempt) -> Advice:
        """Return what is said of a technique."""
        name = named(row.techniques)
        why = self._why(row, best)
        return Advice(
            name, place, row.plan, why, saying(name, case), self._training(row.plan),
            self.speed(row.plan),
        )  # fmt: skip

    def _why(self, row: Attempt, best: Attempt) -> str:
        told = [f"{number(row.plan.size_bytes)} bytes", self._loss(row.plan)]
        steps = self._steps(row.plan)
        if steps:
            told.append(f"after {steps} steps of training")
        if row is best:
            told.append("the best of these")
        elif self.is_near(row.plan, best.plan):
            told.append("as good as the first, which is simpler")
        else:
            told.append(self._behind(row.plan, best.plan))
        return ", ".join(told)

    def _loss(self, found: Plan) -> str:
        if found.drop is None:
            return f"damage {number(found.damage)} ({found.metric})"
        lost = found.drop
        return f"loses {number(lost.drop)} ({number(lost.low)} to {number(lost.high)})"

    def _behind(self, found: Plan, best: Plan) -> str:
        slower, faster = self.speed(found), self.speed(best)
        if self._is_for_time and slower is not None and faster is not None:
            return f"{faster.speedup / slower.speedup:.2f} times as slow as the first"
        if self._is_for_bytes:
            return f"{found.size_bytes / best.size_bytes:.2f} times the bytes of the first"
        if found.drop is None:
            return f"{found.damage / max(best.damage, 1e-30):.3g} times the damage of the first"
        return f"loses {number(_lost(found) - _lost(best))} more than the first"

    def _steps(self, found: Plan) -> int:
        return next(n.trained_steps for n in self._profile.networks if n.name == found.name)

    def _training(self, found: Plan) -> str:
        limit = self._budget.drop
        if not found.is_trained:
            return "none given" if limit is None or _lost(found) > limit else "not needed"
        if limit is None or found.drop is None:
            return "may recover"
        more = _lost(found) - limit
        return f"must recover {number(more)}" if more > 0 else "not needed"


def _lost(found: Plan) -> float:
    return found.damage if found.drop is None else found.drop.drop
