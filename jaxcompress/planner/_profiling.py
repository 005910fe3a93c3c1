"""What each choice costs and damages: measured once, kept as text."""

import functools
import math
import os
from collections.abc import Callable, Sequence
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
from jaxcompress.planner._cuts import KEPT_UNITS, Candidate, candidates, cut_out
from jaxcompress.planner._damage import of_outputs, unmeasured
from jaxcompress.planner._measuring import evaluated, measured_tensors, timings
from jaxcompress.planner._record import Network, Profile, Quality, read
from jaxcompress.planner._refining import Refine, refining
from jaxcompress.planner._task import Apply, Task
from jaxcompress.planner._training import RATES, Lesson, check_loss, trained, untold
from jaxcompress.quantization.damages import relative_error
from jaxcompress.trace.program import trace
from jaxcompress.trees import PyTree

TIMING = "timing"
"""The last part of a profile."""

_ANCHORS, _ANCHORS_OF_CUT = (10, 6), (4, 2)
"""Plans evaluated of the whole network and of others: at even ratios of sizes, then between."""
_TRIAL_STEPS = 60


def profile(
    task: Task,
    path: str | os.PathLike[str] | None = None,
    *,
    units: Sequence[float] = KEPT_UNITS,
    track: Callable[[str], None] = untold,
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
        units: fractions of the units of each layer that the smaller networks keep; () for none.
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
    found = _begun(task, source, path, units, track)
    for name, cut in list(found.unfinished.items()):
        measure = _timed if name == TIMING else _measured_network
        found = measure(task, found, Candidate(name, cut), track)
        left = {n: c for n, c in found.unfinished.items() if n != name}
        found = found._replace(unfinished=left)
        if path is not None:
            found.save(path)
    return found


def _begun(
    task: Task,
    source: TreeSource,
    path: str | os.PathLike[str] | None,
    units: Sequence[float],
    track: Callable[[str], None],
) -> Profile:
    digest = digest_of(source)
    if path is not None and Path(path).exists():
        found = read(path)
        if found.network != digest:
            raise ValueError(
                f"{path}: is the profile of another network; remove it, or name another file."
            )
        return found
    found = surveyed(source)
    if task.is_trained and task.fit is None:
        check_loss(task)
    smaller, why = candidates(task, units)
    parts = {"whole": {}} | {candidate.name: candidate.cut for candidate in smaller}
    return Profile(
        network=digest,
        architecture=_architecture(task),
        parameters=sum(math.prod(leaf.shape) for leaf in source.leaves),
        dense_bytes=sum(int(np.asarray(leaf).nbytes) for leaf in source.leaves),
        is_measured=task.is_run,
        is_trained=task.is_trained,
        learning_rate=_rate(task, smaller, track) if task.is_trained else None,
        quality=_quality(task),
        networks=[],
        kept=found.kept,
        limits=[*task.limits, *why],
        leave=[],
        unfinished=parts | {TIMING: {}} if task.is_run else parts,
    )


def _rate(task: Task, smaller: Sequence[Candidate], track: Callable[[str], None]) -> float:
    """Return the learning rate of the task, or the best of three for a network of half the units.

    Raises:
        ValueError: the loss falls with none.
    """
    if task.learning_rate is not None:
        return task.learning_rate
    if task.fit is not None or not smaller:
        return RATES[1]
    made = _made(task, smaller[len(smaller) // 2], track)
    found = {}
    for rate in RATES:
        lesson = Lesson(
            _TRIAL_STEPS, rate, teacher=_teacher(task), what=f"rate {rate:g}", track=track
        )
        found[rate] = trained(task, made.apply, made.params, lesson)
    best = min(found, key=lambda rate: found[rate].last)
    if found[best].last >= found[best].first:
        raise ValueError(
            f"loss: must fall when a cut network is trained, got {found[best].first:.4g} before "
            f"and {found[best].last:.4g} after {_TRIAL_STEPS} steps; look at loss and train."
        )
    return best


def _teacher(task: Task) -> Callable[..., PyTree]:
    return functools.partial(jit_for_inference(_apply(task)), dense(task.params))


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


def _made(
    task: Task, wanted: Candidate, track: Callable[[str], None], *, rate: float | None = None
) -> Made:
    """Cut a network out, and train it a little at a learning rate, if there is one."""
    apply, params = _apply(task), dense(task.params)
    name, cut = wanted
    if not cut:
        return Made(apply, params, {}, 0)
    small, own = cut_out(task, apply, params, cut)
    if rate is None or not task.is_trained:
        return Made(small, own, cut, 0)
    lesson = Lesson(
        _TRIAL_STEPS, rate, teacher=_teacher(task), what=f"trial of {name}", track=track
    )
    own = trained(task, small, own, lesson).params
    return Made(small, own, cut, _TRIAL_STEPS)


def _measured_network(
    task: Task, found: Profile, wanted: Candidate, track: Callable[[str], None]
) -> Profile:
    name = wanted.name
    made = _made(task, wanted, track, rate=found.learning_rate)
    source, refine = TreeSource(made.params), refining(task, made.apply, made.params)
    inputs = tuple(task.example)
    damage = of_outputs(made.apply, made.params, inputs) if task.is_run else unmeasured
    network = measured_tensors(
        name,
        source,
        damage,
        is_measured=task.is_run,
        is_whole=not made.cut,
        refine=refine,
        track=track,
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
        network = network._replace(
            anchors=_anchors(task, found.quality, made, network, refine, track)
        )
    return found._replace(networks=[*found.networks, network])


def _anchors(
    task: Task,
    quality: Quality,
    made: Made,
    network: Network,
    refine: Refine,
    track: Callable[[str], None],
) -> list[tuple[float, float]]:
    """Return damage and loss of quality of whole plans, from none to the most."""
    lost = 0.0
    if made.cut:
        lost = quality.value - evaluated(task, made.apply, made.params)
    anchors = [(0.0, lost)]
    solved = Candidates(network, leaves=lambda path: False)

    def measure(size: float) -> None:
        if (chosen := solved.within(size)) is None:
            return
        track(f"{network.name}: quality of {size:,.0f} bytes")
        pairs = zip(network.tensors, chosen.choices, strict=True)
        settings = {tensor.path: choice.settings for tensor, choice in pairs}
        params = dense(built(made.params, settings, refine=refine))
        anchors.append((chosen.damage, quality.value - evaluated(task, made.apply, params)))
        sizes.append(size)

    sizes: list[float] = []
    first, *more = _ANCHORS_OF_CUT if made.cut else _ANCHORS
    for size in np.geomspace(solved.smallest * 1.0001, solved.finest.size_bytes, first + 1)[:-1]:
        measure(float(size))
    for _ in range(sum(more)):
        if (between := _widest(sizes, [lost for _, lost in anchors[1:]])) is None:
            break
        measure(between)
    return sorted(anchors)


def _timed(task: Task, found: Profile, wanted: Candidate, track: Callable[[str], None]) -> Profile:
    """Time all networks in turn."""
    del wanted
    track(TIMING)
    made = {
        network.name: _made(task, Candidate(network.name, network.cut), track)
        for network in found.networks
    }
    timed = {name: (each.apply, each.params) for name, each in made.items()}
    latency = timings(timed, task)
    return found._replace(
        networks=[network._replace(latency=latency[network.name]) for network in found.networks]
    )


def _widest(sizes: Sequence[float], lost: Sequence[float]) -> float | None:
    """Return the size between the two neighbours whose losses of quality differ most."""
    order = np.argsort(sizes)
    by_size, losses = np.asarray(sizes)[order], np.asarray(lost)[order]
    if len(by_size) < 2:
        return None
    gaps = np.abs(np.diff(losses)) * np.log(by_size[1:] / by_size[:-1])
    widest = int(np.argmax(gaps))
    return float(np.sqrt(by_size[widest] * by_size[widest + 1])) if gaps[widest] else None
