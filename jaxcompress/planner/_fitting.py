"""Weights as they are now in a file of a wanted size."""

from collections.abc import Callable

from jaxcompress.artifact import size_bytes as file_size
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._building import KEEP, built
from jaxcompress.planner._choosing import Candidates
from jaxcompress.planner._damage import of_outputs, unmeasured
from jaxcompress.planner._measuring import measured_tensors
from jaxcompress.planner._plan import Plan
from jaxcompress.planner._record import LEAVE
from jaxcompress.planner._refining import Refine
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
    refine: Refine,
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
        refine: rounds the weights of a leaf anew.
        goal: bytes aimed at first; `most` if nothing is said.
        size_of: from a tree to the bytes of its file.
        track: is told what is done.
    """
    track("choices solved anew")
    damage = unmeasured
    if task.is_run and apply is not None:
        damage = of_outputs(apply, params, tuple(task.example))
    network = measured_tensors(
        given.name,
        TreeSource(params),
        damage,
        is_measured=task.is_run,
        is_whole=not task.is_trained,
        refine=refine,
        track=track,
    )
    left = [path for path, each in given.settings.items() if each in (LEAVE, KEEP)]
    solved = Candidates(network, lambda path: path in left)
    goal, found = most if goal is None else goal, None
    for _ in range(_ROUNDS):
        chosen = solved.within(max(goal, solved.smallest))
        assert chosen is not None
        settings = chosen.settings | dict.fromkeys(left, LEAVE)
        found = built(params, settings, half=given.half, refine=refine)
        size = size_of(found)
        if size <= most or goal < solved.smallest:
            break
        goal *= _MARGIN * most / size
    return found
