"""What each choice costs and damages: measured once, kept as text."""

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.checks import check_concrete
from jaxcompress.compiled import jit_for_inference
from jaxcompress.costs import flops, peak_bytes
from jaxcompress.leaves import dense
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._architecture import architecture
from jaxcompress.planner._building import built, digest_of, surveyed
from jaxcompress.planner._choosing import Candidates
from jaxcompress.planner._cuts import Candidate, candidates, cut_out
from jaxcompress.planner._damage import of_outputs, unmeasured
from jaxcompress.planner._measuring import evaluated, measured_tensors, timings, untold
from jaxcompress.planner._record import Network, Profile, Quality, read
from jaxcompress.planner._task import Apply, Task
from jaxcompress.planner._training import trained
from jaxcompress.quantization.damages import relative_error
from jaxcompress.trace.program import trace
from jaxcompress.trees import PyTree

TIMING = "timing"
"""The last part of a profile."""

_ANCHORS, _ANCHORS_OF_CUT = 10, 4
_TRIAL_STEPS = 60


def profile(
    task: Task, path: str | os.PathLike[str] | None = None, *, track: Callable[[str], None] = untold
) -> Profile:
    """Measure what each choice costs and damages.

    Sizes are those of real files, one for each setting. With `apply` and `example` damages are
    measured on the outputs, one tensor changed at a time; smaller networks are cut out, trained for
    a few steps where the task can be, and timed in turn with the whole one. With `evaluate` whole
    plans between the smallest and the largest file are evaluated: they say what a damage costs in
    quality. Without, damages are errors of the weights, and every plan says so.

    Args:
        task: the network.
        path: text file to write. One of the same network is read and finished.
        track: is told what is done.

    Raises:
        ValueError: a file of another network, outputs or a quality that are not finite, nothing to
            compress, a loss that does not fall.

    Example:
        >>> found = profile(Task(None, {"w": np.random.default_rng(0).standard_normal((64, 64))}))
        >>> found.is_measured, [network.name for network in found.networks]
        (False, ['whole'])
    """
    check_concrete("profile", task.params)
    source = TreeSource(dense(task.params))
    found = _begun(task, source, path)
    for name in list(found.unfinished):
        found = _MEASURED.get(name, _measured_network)(task, found, name, track)
        found = found._replace(unfinished=[n for n in found.unfinished if n != name])
        if path is not None:
            found.save(path)
    return found


def _begun(task: Task, source: TreeSource, path: str | os.PathLike[str] | None) -> Profile:
    digest = digest_of(source)
    if path is not None and Path(path).exists():
        found = read(path)
        if found.network != digest:
            raise ValueError(
                f"{path}: is the profile of another network; remove it, or name another file."
            )
        return found
    found = surveyed(source)
    smaller, why = candidates(task)
    whole = Candidate("whole", {})
    names = [whole.name, *(candidate.name for candidate in smaller)]
    return Profile(
        network=digest,
        architecture=_architecture(task),
        parameters=sum(math.prod(leaf.shape) for leaf in source.leaves),
        dense_bytes=sum(int(np.asarray(leaf).nbytes) for leaf in source.leaves),
        is_measured=task.is_run,
        is_trained=task.is_trained,
        quality=_quality(task),
        networks=[],
        kept=found.kept,
        limits=[*task.limits, *why],
        leave=[],
        unfinished=[*names, TIMING] if task.is_run else names,
    )


def _architecture(task: Task) -> str:
    if not task.is_run:
        return "unknown"
    return architecture(trace(_apply(task), dense(task.params), *task.example))


def _quality(task: Task) -> Quality | None:
    if task.evaluate is None:
        return None
    values = [evaluated(task, _apply(task), task.params) for _ in range(2)]
    return Quality(sum(values) / 2, abs(values[0] - values[1]) / math.sqrt(2))


def _apply(task: Task) -> Apply:
    """Return the function, or one that says what is missing to call it."""

    def missing(params: PyTree, *inputs: PyTree) -> Any:
        raise ValueError("apply: is needed to run the network, got none; give the task one.")

    return missing if task.apply is None else task.apply


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


def _made(task: Task, name: str, track: Callable[[str], None], *, is_trained: bool) -> Made:
    """Cut a network out, and train it a little."""
    apply, params = _apply(task), dense(task.params)
    if name == "whole":
        return Made(apply, params, {}, 0)
    cut = next(c.cut for c in candidates(task)[0] if c.name == name)
    small, own = cut_out(task, apply, params, cut)
    if not (is_trained and task.is_trained):
        return Made(small, own, cut, 0)
    teacher = functools.partial(jit_for_inference(apply), params)
    what = f"trial of {name}"
    own = trained(task, small, own, steps=_TRIAL_STEPS, teacher=teacher, what=what, track=track)
    return Made(small, own, cut, _TRIAL_STEPS)


def _measured_network(
    task: Task, found: Profile, name: str, track: Callable[[str], None]
) -> Profile:
    made = _made(task, name, track, is_trained=True)
    source = TreeSource(made.params)
    inputs = tuple(task.example)
    damage = of_outputs(made.apply, made.params, inputs) if task.is_run else unmeasured
    network = measured_tensors(
        name, source, damage, is_measured=task.is_run, is_whole=not made.cut, track=track
    )
    network = network._replace(cut=made.cut, trained_steps=made.steps)
    if task.is_run:
        off = jit_for_inference(
            lambda params, exact, inputs: relative_error(made.apply(params, *inputs), exact)
        )
        exact = jit_for_inference(_apply(task))(dense(task.params), *inputs)
        network = network._replace(
            flops=flops(made.apply, made.params, *inputs).total,
            memory_bytes=peak_bytes(made.apply, made.params, *inputs),
            damage=float(off(made.params, exact, inputs)) if made.cut else 0.0,
        )
    if found.quality is not None:
        network = network._replace(anchors=_anchors(task, found.quality, made, network, track))
    return found._replace(networks=[*found.networks, network])


def _anchors(
    task: Task, quality: Quality, made: Made, network: Network, track: Callable[[str], None]
) -> list[tuple[float, float]]:
    """Return damage and loss of quality of whole plans, from none to the most."""
    lost = 0.0
    if made.cut:
        lost = quality.value - evaluated(task, made.apply, made.params)
    anchors = [(0.0, lost)]
    solved = Candidates(network, leaves=lambda path: False)
    count = _ANCHORS_OF_CUT if made.cut else _ANCHORS
    sizes = np.geomspace(solved.smallest * 1.0001, solved.finest.size_bytes, count + 1)[:-1]
    for size in sizes:
        chosen = solved.within(float(size))
        if chosen is None:
            continue
        track(f"{network.name}: quality of {size:,.0f} bytes")
        settings = {
            tensor.path: choice.settings
            for tensor, choice in zip(network.tensors, chosen.choices, strict=True)
        }
        params = dense(built(made.params, settings))
        anchors.append((chosen.damage, quality.value - evaluated(task, made.apply, params)))
    return sorted(anchors)


def _timed(task: Task, found: Profile, name: str, track: Callable[[str], None]) -> Profile:
    """Time all networks in turn."""
    del name
    track(TIMING)
    made = {
        network.name: _made(task, network.name, track, is_trained=False)
        for network in found.networks
    }
    timed = {name: (each.apply, each.params) for name, each in made.items()}
    latency = timings(timed, task)
    return found._replace(
        networks=[network._replace(latency=latency[network.name]) for network in found.networks]
    )


_MEASURED = {TIMING: _timed}
