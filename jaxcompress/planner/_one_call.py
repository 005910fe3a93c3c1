"""From a budget to a result in one call."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxcompress.leaves import is_compressed
from jaxcompress.planner._carrying import carry_out
from jaxcompress.planner._leaving import check_matches
from jaxcompress.planner._plan import checked_budget
from jaxcompress.planner._planning import plan
from jaxcompress.planner._profiling import profile
from jaxcompress.planner._proof import Result
from jaxcompress.planner._task import Task
from jaxcompress.planner._training import untold
from jaxcompress.trees import named_leaves


def compress_to(
    task: Task,
    *,
    size_bytes: int | str | None = None,
    speedup: float | None = None,
    drop: float | None = None,
    leave: Sequence[str] = (),
    folder: str | os.PathLike[str] | None = None,
    track: Callable[[str], None] = untold,
) -> Result:
    """Compress a network to a budget: profile it, plan, carry the plan out, and prove it.

    Args:
        task: the network, and what is known about it.
        size_bytes: of the file, at most: 20_000 or "20KB".
        speedup: how many times faster, at least, at each batch size of the task.
        drop: loss of quality, in the unit of `evaluate`, at most, against the uncompressed network
            trained as long.
        leave: patterns of paths of tensors that stay exactly as they are.
        folder: where the profile, the plan and the stages are kept, so that a call that was
            stopped goes on.
        track: is told what is done.

    Returns:
        The compressed network; its `checks` say of each budget whether it is met.

    Raises:
        ValueError: a budget that is none or that cannot be met; it names the nearest that can.

    Example:
        >>> import numpy as np
        >>> weights = np.random.default_rng(0).standard_normal((64, 64))
        >>> result = compress_to(Task(None, {"w": weights}), size_bytes="3KB")
        >>> print(result.checks[0].name, result.checks[0].is_met)
        bytes True
    """
    checked_budget(size_bytes, speedup, drop)
    if drop is not None and task.evaluate is None:
        raise ValueError("drop: needs evaluate, got none; give it to the task.")
    check_matches(leave, named_leaves(task.params, is_leaf=is_compressed).paths)
    kept = None if folder is None else Path(folder)
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    faster = speedup is not None and speedup > 1
    found = profile(task, kept and kept / "profile.json", cut_only=faster, track=track)
    given = plan(found, size_bytes=size_bytes, speedup=speedup, drop=drop, leave=leave)
    if kept is not None:
        given.save(kept / "plan.json")
    return carry_out(given, task, profile=found, folder=kept, track=track)
