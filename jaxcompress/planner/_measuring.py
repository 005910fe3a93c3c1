"""What is measured of a network: the bytes of its tensors, its quality, its time."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxcompress.costs import compare_latency, flops
from jaxcompress.oneshot.sources import Source, Track, untracked
from jaxcompress.planner._building import surveyed
from jaxcompress.planner._damage import beaten, undominated, with_damages
from jaxcompress.planner._ladder import ladder, rungs
from jaxcompress.planner._record import Network, Speed, Tensor
from jaxcompress.planner._refining import Refine, unrefined
from jaxcompress.planner._task import Apply, Task
from jaxcompress.trace.inputs import batch_size_of
from jaxcompress.trees import PyTree

_ROUNDS = (10, 150)
_OPERATIONS = 2e11
"""Calls of a network are timed so often that they make about so many operations, within bounds:
short calls vary more."""


def evaluated(task: Task, apply: Apply, params: PyTree) -> float:
    """Return the quality of a network.

    Raises:
        ValueError: it is not one finite number.
    """
    assert task.evaluate is not None
    found = np.asarray(task.evaluate(apply, params))
    if found.shape != () or not math.isfinite(found):
        raise ValueError(f"evaluate: must return one finite number, got {found}; look at its data.")
    return float(found)


def measured_tensors(
    name: str,
    source: Source,
    damage: Callable[[str, Any], float],
    *,
    is_measured: bool,
    is_whole: bool,
    track: Callable[[str], None],
    refine: Refine = unrefined,
    progress: Track = untracked,
    metadata: Mapping[str, Any] | None = None,
) -> Network:
    """Return a network with the choices of its tensors.

    Args:
        name: of it.
        source: of its tensors.
        damage: measures a leaf.
        is_measured: whether it does.
        is_whole: whether all settings are tried, or step sizes alone.
        track: is told what is done.
        refine: rounds the weights of a leaf anew.
        progress: shows how far it is.
        metadata: of a file.
    """
    found = surveyed(source)
    numbers = sum(math.prod(leaf.shape) for leaf in source.leaves)
    tried, beside = ladder(
        found,
        rungs(numbers, everything=is_whole, is_fitted=refine is not unrefined),
        damage,
        track=lambda text: track(f"{name}: {text}"),
        refine=refine,
        progress=progress,
        metadata=metadata,
    )
    shapes = dict(zip(source.paths, source.leaves, strict=True))
    tensors = []
    for path, own in tried.items():
        shape = tuple(int(n) for n in shapes[path].shape)
        choices = with_damages(own, math.prod(shape), is_measured=is_measured)
        tensors.append(Tensor(path, shape, undominated(choices), beaten(choices)))
    return Network(
        name=name,
        cut={},
        parameters=numbers,
        flops=None,
        memory_bytes=None,
        latency=[],
        beside_bytes=beside,
        damage=0.0,
        trained_steps=0,
        tensors=tensors,
        anchors=[],
    )


def timings(networks: dict[str, tuple[Apply, PyTree]], task: Task) -> dict[str, list[Speed]]:
    """Return the times of networks at the batch sizes of a task, the first as the reference."""
    alone = len(networks) == 1
    if alone:
        networks = networks | {"": next(iter(networks.values()))}
    rows = batch_size_of(tuple(task.example))
    apply, params = next(iter(networks.values()))
    work = flops(apply, params, *task.example).total * max(task.batches) / max(rows, 1)
    compared = compare_latency(
        networks,
        *task.example,
        batches=list(task.batches) if rows else None,
        rounds=int(np.clip(_OPERATIONS / max(work, 1), *_ROUNDS)),
    )
    return {
        name: [
            Speed(t.batch_size, t.median, 1.0 if alone else t.speedup)
            for t in compared.timings
            if t.name == name
        ]
        for name in networks
    }
