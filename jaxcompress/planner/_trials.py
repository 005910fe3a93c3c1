"""Networks cut out of the whole one, and trained a little, so that they can be compared."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense
from jaxcompress.planner._cuts import Candidate, cut_out, groups_of
from jaxcompress.planner._task import Apply, Task, apply_of
from jaxcompress.planner._training import RATES, Lesson, trained, unchanged
from jaxcompress.prune import UnitGroups
from jaxcompress.trees import PyTree

_TRIAL_STEPS = 60
_RISE = 0.5  # of the loss, by which batches do not differ


class Made(NamedTuple):
    """A network of a profile.

    Attributes:
        apply: of it.
        params: dense.
        cut: what was kept.
        steps: of training after the cut.
    """

    apply: Apply
    params: PyTree
    cut: dict[str, Any]
    steps: int


class Whole:
    """The network of a task, traced and compiled once for all that is cut out of it.

    Args:
        task: the network.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.apply, self.params = task, apply_of(task), dense(task.params)

    @functools.cached_property
    def groups(self) -> UnitGroups:
        """Units that can be cut."""
        return groups_of(self.task, self.apply, self.params)

    @functools.cached_property
    def teacher(self) -> Callable[..., PyTree]:
        """From inputs to outputs."""
        return functools.partial(jit_for_inference(self.apply), self.params)

    @functools.cached_property
    def outputs(self) -> PyTree:
        """Those on the example."""
        return self.teacher(*self.task.example)


def made_of(
    whole: Whole, wanted: Candidate, track: Callable[[str], None], *, rate: float | None = None
) -> Made:
    """Cut a network out, and train it a little at a learning rate, if there is one."""
    task, (name, cut) = whole.task, wanted
    if not cut:
        return Made(whole.apply, whole.params, {}, 0)
    groups = whole.groups if "units" in cut else None
    small, own = cut_out(task, whole.apply, whole.params, cut, groups=groups)
    if rate is None or not task.is_trained:
        return Made(small, own, cut, 0)
    lesson = Lesson(_TRIAL_STEPS, rate, teacher=whole.teacher, what=f"trial of {name}", track=track)
    after = trained(task, small, own, lesson)
    if after.last - after.first > _RISE * abs(after.first):
        raise ValueError(
            f"loss: must fall when a cut network is trained, got {after.first:.4g} before and "
            f"{after.last:.4g} after {_TRIAL_STEPS} steps; give a learning_rate below {rate:g}."
        )
    return Made(small, after.params, cut, _TRIAL_STEPS)


def rate_of(whole: Whole, smaller: Sequence[Candidate], track: Callable[[str], None]) -> float:
    """Return the learning rate of the task, or the best of three for a network of half the units.

    Raises:
        ValueError: the loss falls with none.
    """
    task = whole.task
    if task.learning_rate is not None:
        return task.learning_rate
    if task.fit is not None or not smaller:
        return RATES[1]
    made = made_of(whole, smaller[len(smaller) // 2], track)
    found = {}
    for rate in RATES:
        lesson = Lesson(_TRIAL_STEPS, rate, unchanged, whole.teacher, f"rate {rate:g}", track)
        try:
            found[rate] = trained(task, made.apply, made.params, lesson)
        except ValueError:  # a loss that is not finite
            if rate == min(RATES) and not found:
                raise
    best = min(found, key=lambda rate: found[rate].last)
    if found[best].last >= found[best].first:
        raise ValueError(
            f"loss: must fall when a cut network is trained, got {found[best].first:.4g} before "
            f"and {found[best].last:.4g} after {_TRIAL_STEPS} steps; look at loss and train."
        )
    return best
