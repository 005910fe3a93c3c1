"""Controls: what a compressed network must be better than."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax

from jaxcompress.planner._proof import Result
from jaxcompress.planner._run import Run
from jaxcompress.planner._task import Task
from jaxcompress.planner._training import untold
from jaxcompress.prune import random_unit_score
from jaxcompress.text import table_lines
from jaxcompress.trees import PyTree


class Control(NamedTuple):
    """A network that was made in another way.

    Attributes:
        name: of the way.
        size_bytes: of its file.
        quality: as `evaluate` says.
    """

    name: str
    size_bytes: int
    quality: float

    def __str__(self) -> str:
        """Return a line."""
        return table_lines([[self.name, f"{self.size_bytes:,} bytes", f"{self.quality:.4g}"]])[0]


def controls(
    task: Task,
    result: Result,
    *,
    init: Callable[[jax.Array], PyTree] | None = None,
    seed: int = 0,
    track: Callable[[str], None] = untold,
) -> list[Control]:
    """Return what the same budget gives without the ideas of the plan.

    `trained on` is the whole network, trained as long. `random units` has the sizes of the plan,
    its units are chosen at random, everything else is as in the plan. `from scratch` has these
    sizes too, begins with new weights, and has no teacher: pass as many `epochs` as the network was
    trained for, beside those of fine-tuning, or it has seen less than the others.

    Args:
        task: as for `carry_out`, with `evaluate`.
        result: of it.
        init: from a key of `jax.random` to new parameters of the whole network; without it there is
            no control from scratch.
        seed: of keys.
        track: is told what is done.

    Raises:
        ValueError: a task without `evaluate`, or that cannot be trained.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.planner import Task, compress_to
        >>> task = Task(None, {"w": np.random.default_rng(0).standard_normal((64, 64))})
        >>> controls(task, compress_to(task, size_bytes="3KB"))
        Traceback (most recent call last):
        ValueError: controls: need apply, example, loss, train, evaluate; give the task these.
    """
    if task.missing:
        raise ValueError(f"controls: need {', '.join(task.missing)}; give the task these.")
    key = jax.random.key(seed)
    found = []
    if result.control is not None:
        found.append(Control("trained on", result.steps[0].size_bytes, result.control))
    if result.plan.cut:
        run = Run(task, track=track, score=random_unit_score(key))
        found.append(_control("random units", run, result))
    if init is not None:
        fresh = replace(task, params=init(key))
        run = Run(fresh, track=track, score=random_unit_score(key), has_teacher=False)
        found.append(_control("from scratch", run, result))
    return found


def _control(name: str, run: Run, result: Result) -> Control:
    last = run.made(result.plan).steps[-1]
    assert last.quality is not None
    return Control(name, last.size_bytes, last.quality)
