"""What is measured of a network: the bytes of its tensors, its quality, its time."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxcompress.costs import LayerTime, compare_latency, flops, layer_times
from jaxcompress.leaves import dense
from jaxcompress.oneshot.sources import Source, Track, TreeSource, untracked
from jaxcompress.planner._building import Surveyed, surveyed
from jaxcompress.planner._damage import beaten, undominated, with_damages
from jaxcompress.planner._ladder import ladder, rungs
from jaxcompress.planner._record import Network, Quality, Settings, Speed, Tensor
from jaxcompress.planner._refining import Refine, unrefined
from jaxcompress.planner._rows import rows_of
from jaxcompress.planner._task import Apply, Task
from jaxcompress.planner._words import number
from jaxcompress.trees import PyTree

_COARSEST: Settings = {"step_size": 4.0}
_NOISES, _BETTER = 5.0, 0.5
"""How much larger the quality of a ruined network is, in noises and as a part of the larger one,
where more cannot be better; those of networks that were not trained differ by chance."""

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


def alike(found: Surveyed, settings: Settings) -> PyTree:
    """Return the dense tree in which all tensors with a choice have the same settings."""
    leaves, _ = found.leaves(dict.fromkeys(found.paths, settings))
    return dense(found.tree(leaves))


def quality_of(task: Task, apply: Apply, params: PyTree) -> Quality | None:
    """Return what `evaluate` says of a network, None without it.

    Raises:
        ValueError: it says more of a network of which little is left: then more is not better.
    """
    if task.evaluate is None:
        return None
    values = [evaluated(task, apply, params) for _ in range(2)]
    found = Quality(sum(values) / 2, abs(values[0] - values[1]) / math.sqrt(2))
    ruined = evaluated(task, apply, alike(surveyed(TreeSource(params)), _COARSEST))
    least = max(_NOISES * found.noise, _BETTER * max(abs(ruined), abs(found.value)))
    if ruined - found.value > least:
        raise ValueError(
            f"evaluate: must be larger for better networks, got {number(found.value)} for the one "
            f"given and {number(ruined)} for one of which little is left; return the negative of a "
            "loss, and train the network first."
        )
    return found


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


def times_of_layers(task: Task, apply: Apply, params: PyTree) -> list[LayerTime]:
    """Return the times of the products of a network at the batch sizes of a task."""
    example = tuple(task.example)
    batches = list(task.batches) if rows_of(apply, params, example) else None
    return layer_times(apply, params, *example, batches=batches)


def timings(networks: dict[str, tuple[Apply, PyTree]], task: Task) -> dict[str, list[Speed]]:
    """Return the times of networks at the batch sizes of a task, the first as the reference."""
    alone = len(networks) == 1
    if alone:
        networks = networks | {"": next(iter(networks.values()))}
    apply, params = next(iter(networks.values()))
    rows = rows_of(apply, params, tuple(task.example)) or 0
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
