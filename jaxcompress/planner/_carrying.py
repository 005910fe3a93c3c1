"""A plan carried out and proved, and planned anew where a budget was missed."""

import os
from collections.abc import Callable

from jaxcompress.leaves import dense
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._building import digest_of
from jaxcompress.planner._plan import Plan
from jaxcompress.planner._planning import plan
from jaxcompress.planner._proof import LOST, SPEED, Result
from jaxcompress.planner._record import LEAVE, Profile
from jaxcompress.planner._run import Run
from jaxcompress.planner._task import Task
from jaxcompress.planner._training import untold

_ATTEMPTS = 3
_FASTER, _LARGER = 1.03, 1.3  # what is asked for after a miss


def carry_out(
    given: Plan,
    task: Task,
    *,
    profile: Profile | None = None,
    folder: str | os.PathLike[str] | None = None,
    track: Callable[[str], None] = untold,
) -> Result:
    """Carry a plan out, measure what was promised, and plan anew where it missed.

    Units are cut in rounds of at most a fifth, each followed by fine-tuning with the whole network
    as the teacher; then the choices for the tensors are solved anew for the weights as they are
    now, weights are rounded, and trained on as rounded ones. Without `loss` and `train` (or `fit`)
    nothing is trained. At the end the file is written, read again and measured: bytes, latency in
    turn with the whole network, quality against the whole network trained as long, or as it is if
    that is better.

    Settings and counts of units that a person has changed in the plan are carried out as they are.

    Args:
        given: from `plan` or `read_plan`.
        task: the network of the plan.
        profile: where it is given, a budget that was missed is planned for again.
        folder: where stages are kept, so that a run that was stopped goes on.
        track: is told what is done.

    Raises:
        ValueError: a plan of another network, or one that cannot be carried out; before any
            training.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.planner import Task, plan, profile
        >>> task = Task(None, {"w": np.random.default_rng(0).standard_normal((64, 64))})
        >>> result = carry_out(plan(profile(task), size_bytes="3KB"), task)
        >>> result.is_met
        True
    """
    if given.network != digest_of(TreeSource(dense(task.params))):
        raise ValueError("plan: is of another network; plan anew from a profile of this one.")
    if profile is not None and profile.network != given.network:
        raise ValueError("profile: is of another network than the plan; leave it out.")
    run = Run(task, folder=folder, track=track)
    given = run.checked(given)
    best = run.attempt(given)
    for _ in range(_ATTEMPTS - 1):
        again = None if profile is None else _corrected(best, profile)
        if again is None:
            break
        track("a budget was missed: planned anew")
        best = min(best, run.attempt(again), key=_misses)
    return best


def _misses(result: Result) -> tuple[int, float]:
    """Return how many budgets are missed, and what quality is lost."""
    lost = (check.measured for check in result.checks if check.name == LOST)
    return len(result.missed), next(lost, 0.0)


def _corrected(result: Result, profile: Profile) -> Plan | None:
    """Return another plan, where budgets were missed, None if there is none.

    A plan that a person has changed stays as it is, and so do the tensors to leave.
    """
    if not result.missed or result.plan.is_edited:
        return None
    leave = [path for path, each in result.plan.settings.items() if each == LEAVE]
    budget = result.plan.budget
    asked, size = budget.speedup, budget.size_bytes
    slow = [check.measured for check in result.missed if check.name.startswith(SPEED)]
    if asked is not None and slow:
        asked *= _FASTER * asked / min(slow)
    elif size is None:
        size = _LARGER * next(check.measured for check in result.checks)
    else:
        others = [n for n in profile.networks if n.name != result.plan.name]
        if not others:
            return None
        profile = profile._replace(networks=others)
    try:
        size_bytes = None if size is None else int(size)
        found = plan(profile, size_bytes=size_bytes, speedup=asked, leave=leave)
    except ValueError:
        return None
    return found._replace(budget=budget)
