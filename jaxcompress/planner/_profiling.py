"""What each choice costs and damages: measured once, kept as text."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxcompress.checks import check_concrete
from jaxcompress.compiled import jit_for_inference
from jaxcompress.costs import flops, peak_bytes
from jaxcompress.metrics import count_parameters
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._anchors import Counts, anchors_of
from jaxcompress.planner._architecture import architecture
from jaxcompress.planner._building import digest_of, surveyed
from jaxcompress.planner._cuts import KEPT_UNITS, Candidate, candidates, parts_of
from jaxcompress.planner._damage import of_outputs, unmeasured
from jaxcompress.planner._ladder import MANY
from jaxcompress.planner._measuring import (
    evaluated,
    measured_tensors,
    quality_of,
    times_of_layers,
    timings,
)
from jaxcompress.planner._metric import metric_of, name_of_metric
from jaxcompress.planner._reading import read_for, with_whole
from jaxcompress.planner._record import CUT_ONLY, TIMING, WHOLE, Parts, Profile
from jaxcompress.planner._refining import refining
from jaxcompress.planner._task import Task
from jaxcompress.planner._training import check_loss, untold
from jaxcompress.planner._trials import Whole, made_of, rate_of
from jaxcompress.trace.program import trace
from jaxcompress.trees import PyTree, plain_bytes

_ANCHORS, _OF_MANY = Counts(10, 12), Counts(6, 5)
_OF_CUT, _OF_UNTRAINED = Counts(5, 2), Counts(3)
"""Plans made of the whole network, of those cut out and trained, and of those only cut out."""


def profile(
    task: Task,
    path: str | os.PathLike[str] | None = None,
    *,
    units: Sequence[float] | None = None,
    cut_only: bool = False,
    track: Callable[[str], None] = untold,
) -> Profile:
    """Measure what each choice costs and damages.

    Sizes of tensors are told by the model of the coder, one setting at a time, and corrected by
    files of whole plans. With `apply` and `example` damages are
    measured on the outputs, one tensor changed at a time; smaller networks are cut out, trained for
    a few steps where the task can be, and timed in turn with the whole one. With `evaluate` whole
    plans between the smallest and the largest file are evaluated: they say what a damage costs in
    quality. Without, damages are errors of the weights, and every plan says so.

    Args:
        task: the network.
        path: text file to write. One of the same network is read and finished.
        units: fractions of the units of each layer that the smaller networks keep; None for six,
            or three where nothing can be trained, or then one of large networks.
        cut_only: whether the whole network, which is no faster than itself, is timed and no
            choice of it is measured, unless nothing can be cut: for budgets of speed.
        track: is told what is done.

    Raises:
        ValueError: a file of another network, outputs or a quality that are not finite, nothing to
            compress, a loss that does not fall.

    Example:
        >>> import numpy as np
        >>> found = profile(Task(None, {"w": np.random.default_rng(0).standard_normal((64, 64))}))
        >>> found.is_measured, [network.name for network in found.networks]
        (False, ['whole'])
    """
    check_concrete("profile", task.params)
    whole = Whole(task)
    if units is None:
        is_large = count_parameters(task.params) >= MANY
        units = KEPT_UNITS if task.is_trained else KEPT_UNITS[: 1 if is_large else None : 2]
    found = _begun(whole, path, units, track, cut_only=cut_only)
    for name, cut in list(found.unfinished.items()):
        measure = _timed if name == TIMING else _measured_network
        found = measure(whole, found, Candidate(name, cut), track)
        left = {n: c for n, c in found.unfinished.items() if n != name}
        found = found._replace(unfinished=left)
        if path is not None:
            found.save(path)
    return found


def _begun(
    whole: Whole,
    path: str | os.PathLike[str] | None,
    units: Sequence[float],
    track: Callable[[str], None],
    *,
    cut_only: bool,
) -> Profile:
    task, source = whole.task, TreeSource(whole.params)
    digest = digest_of(source)
    if path is not None and Path(path).exists():
        known = read_for(task, path, digest)
        return known if cut_only else with_whole(known, is_run=task.is_run)
    found = surveyed(source)
    if task.is_trained and task.fit is None:
        check_loss(task)
    smaller, why = candidates(task, units, lambda: whole.groups)
    quality = quality_of(task, whole.apply, whole.params)
    metric = name_of_metric(
        task, whole.params, lambda: whole.outputs, quality and quality.value, track
    )
    parts = {candidate.name: candidate.cut for candidate in smaller}
    if cut_only and parts:
        why = [*why, CUT_ONLY]
    else:
        parts = {WHOLE: {}} | parts
    return Profile(
        network=digest,
        architecture=_architecture(whole),
        parameters=sum(math.prod(leaf.shape) for leaf in source.leaves),
        dense_bytes=sum(map(plain_bytes, source.leaves)),
        metric=metric,
        is_trained=task.is_trained,
        learning_rate=rate_of(whole, smaller, track) if task.is_trained else None,
        quality=quality,
        networks=[],
        kept=found.kept,
        limits=[*task.limits, *why],
        leave=[],
        unfinished=parts | {TIMING: {}} if task.is_run else parts,
        parts=parts_of(task, whole.groups) if task.is_run else Parts({}, []),
        layers=[],
    )


def _architecture(whole: Whole) -> str:
    if not whole.task.is_run:
        return "unknown"
    return architecture(trace(whole.apply, whole.params, *whole.task.example))


def _measured_network(
    whole: Whole, found: Profile, wanted: Candidate, track: Callable[[str], None]
) -> Profile:
    task, name = whole.task, wanted.name
    made = made_of(whole, wanted, track, rate=found.learning_rate)
    source, refine = TreeSource(made.params), refining(task, made.apply, made.params)
    inputs = tuple(task.example)
    metric = metric_of(task, found.metric)
    damage = unmeasured
    if task.is_run:
        damage = of_outputs(made.apply, made.params, refine.judged, metric)
    network = measured_tensors(
        name,
        source,
        damage,
        is_measured=task.is_run,
        is_whole=not made.cut,
        refine=refine.compared,
        track=track,
    )
    network = network._replace(cut=made.cut, trained_steps=made.steps)
    if task.is_run:
        off = jit_for_inference(
            lambda params, exact, inputs: metric(made.apply(params, *inputs), exact)
        )
        network = network._replace(
            flops=flops(made.apply, made.params, *inputs).total,
            memory_bytes=peak_bytes(made.apply, made.params, *inputs),
            damage=float(off(made.params, whole.outputs, inputs)) if made.cut else 0.0,
        )
    quality = found.quality

    def lost(tree: PyTree) -> float:
        assert quality is not None
        return quality.value - evaluated(task, made.apply, tree)

    counts = _ANCHORS if network.parameters < MANY else _OF_MANY
    if made.cut:
        counts = _OF_CUT if task.is_trained else _OF_UNTRAINED
    anchors = anchors_of(
        network,
        surveyed(source),
        counts,
        refine=refine.full,
        lost=None if quality is None else lost,
        track=track,
    )
    network = network._replace(anchors=anchors)
    networks = [*found.networks, network] if made.cut else [network, *found.networks]
    return found._replace(networks=networks)


def _timed(
    whole: Whole, found: Profile, wanted: Candidate, track: Callable[[str], None]
) -> Profile:
    """Time all networks in turn."""
    del wanted
    track(TIMING)
    cuts = {WHOLE: {}} | {network.name: network.cut for network in found.networks}
    made = {name: made_of(whole, Candidate(name, cut), track) for name, cut in cuts.items()}
    timed = {name: (each.apply, each.params) for name, each in made.items()}
    latency = timings(timed, whole.task)
    return found._replace(
        networks=[network._replace(latency=latency[network.name]) for network in found.networks],
        layers=times_of_layers(whole.task, whole.apply, whole.params),
    )
