"""Weights as they are now in a file of a wanted size."""

from collections.abc import Callable
from typing import TypeVar

from jaxcompress.artifact import size_bytes as file_size
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._building import KEEP, built
from jaxcompress.planner._choosing import Candidates
from jaxcompress.planner._damage import of_outputs, unmeasured
from jaxcompress.planner._measuring import measured_tensors
from jaxcompress.planner._metric import metric_of
from jaxcompress.planner._plan import Plan
from jaxcompress.planner._record import LEAVE
from jaxcompress.planner._refining import Refining
from jaxcompress.planner._task import Apply, Task
from jaxcompress.trees import PyTree

_MARGIN = 0.998
_ROUNDS = 20


def fitted_to(
    task: Task,
    apply: Apply | None,
    params: PyTree,
    given: Plan,
    *,
    most: float,
    refine: Refining,
    goal: float | None = None,
    size_of: Callable[[PyTree], int] = file_size,
    track: Callable[[str], None],
) -> PyTree:
    """Return a tree with compressed leaves, by the choices of least damage to these weights.

    Files are made until one is small enough; each corrects the size that is aimed at. What a plan
    leaves as it is stays so.

    Args:
        task: of the whole network.
        apply: of this one; None for weights alone.
        params: of it, dense.
        given: the plan.
        most: bytes of the file.
        refine: how weights are rounded anew.
        goal: bytes aimed at first; `most` if nothing is said.
        size_of: from a tree to the bytes of its file.
        track: is told what is done.
    """
    track("choices solved anew")
    damage = unmeasured
    if task.is_run and apply is not None:
        damage = of_outputs(apply, params, refine.judged, metric_of(task, given.metric))
    network = measured_tensors(
        given.name,
        TreeSource(params),
        damage,
        is_measured=task.is_run,
        is_whole=not task.is_trained,
        refine=refine.compared,
        track=track,
    )
    left = [path for path, each in given.settings.items() if each in (LEAVE, KEEP)]
    solved = Candidates(network, lambda path: path in left)

    def made(goal: float) -> PyTree:
        chosen = solved.within(goal)
        assert chosen is not None
        settings = chosen.settings | dict.fromkeys(left, LEAVE)
        return built(params, settings, half=given.half, refine=refine.full)

    return first_within(made, size_of, most, least=solved.smallest, goal=goal)


Made = TypeVar("Made")


def first_within(
    made: Callable[[float], Made],
    size_of: Callable[[Made], float],
    most: float,
    *,
    least: float,
    goal: float | None = None,
) -> Made:
    """Return the first of what is made for ever smaller sizes that is small enough.

    Args:
        made: from a size that is aimed at to something of about that size.
        size_of: what it has really.
        most: bytes allowed.
        least: the smallest size to aim at. If that is not enough, what is made for it is returned.
        goal: the first size to aim at; `most` if nothing is said.

    Example:
        >>> first_within(lambda size: size + 20, lambda made: made, 100, least=10) <= 100
        True
    """
    goal = most if goal is None else goal
    for _ in range(_ROUNDS):
        found = made(max(goal, least))
        size = size_of(found)
        if size <= most or goal <= least:
            return found
        goal *= _MARGIN * most / size
    return made(least)
