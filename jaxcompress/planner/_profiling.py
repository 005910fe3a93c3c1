"""What each choice costs and damages: measured once, kept as text."""

import functools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.checks import check_concrete
from jaxcompress.compiled import jit_for_inference
from jaxcompress.costs import flops, peak_bytes
from jaxcompress.leaves import dense
from jaxcompress.metrics import count_parameters
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._anchors import Counts, anchors_of
from jaxcompress.planner._architecture import architecture
from jaxcompress.planner._building import digest_of, surveyed
from jaxcompress.planner._cuts import KEPT_UNITS, Candidate, candidates, cut_out, groups_of
from jaxcompress.planner._damage import of_outputs, unmeasured
from jaxcompress.planner._ladder import MANY
from jaxcompress.planner._measuring import evaluated, measured_tensors, timings
from jaxcompress.planner._metric import metric_of, name_of_metric
from jaxcompress.planner._reading import read, with_whole
from jaxcompress.planner._record import CUT_ONLY, TIMING, WHOLE, Profile, Quality
from jaxcompress.planner._refining import refining
from jaxcompress.planner._task import Apply, Task, apply_of
from jaxcompress.planner._training import RATES, Lesson, check_loss, trained, unchanged, untold
from jaxcompress.prune import UnitGroups
from jaxcompress.trace.program import trace
from jaxcompress.trees import PyTree, plain_bytes

_TRIAL_STEPS = 60

_ANCHORS, _OF_MANY = Counts(10, 12), Counts(6, 5)
_OF_CUT, _OF_UNTRAINED = Counts(5, 2), Counts(3)
"""Plans made of the whole network, of those cut out and trained, and of those only cut out."""


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
    whole = _Whole(task)
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


class _Whole:
    """The network of a task, traced and compiled once for all that is cut out of it.

    Args:
        task: the network.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.apply, self.params = task, apply_of(task), dense(task.params)

    @functools.cached_property
    def groups(self) -> UnitGroups:
        """Units that can be cut."""
        return groups_of(self.task, self.apply, self.params)

    @functools.cached_property
    def teacher(self) -> Callable[..., PyTree]:
        """From inputs to outputs."""
        return functools.partial(jit_for_inference(self.apply), self.params)

    @functools.cached_property
    def outputs(self) -> PyTree:
        """Those on the example."""
        return self.teacher(*self.task.example)


def _begun(
    whole: _Whole,
    path: str | os.PathLike[str] | None,
    units: Sequence[float],
    track: Callable[[str], None],
    *,
    cut_only: bool,
) -> Profile:
    task, source = whole.task, TreeSource(whole.params)
    digest = digest_of(source)
    if path is not None and Path(path).exists():
        known = read(path, digest)
        return known if cut_only else with_whole(known, is_run=task.is_run)
    found = surveyed(source)
    if task.is_trained and task.fit is None:
        check_loss(task)
    quality = _quality(whole)
    metric = name_of_metric(
        task, whole.params, lambda: whole.outputs, quality and quality.value, track
    )
    smaller, why = candidates(task, units, lambda: whole.groups)
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
        learning_rate=_rate(whole, smaller, track) if task.is_trained else None,
        quality=quality,
        networks=[],
        kept=found.kept,
        limits=[*task.limits, *why],
        leave=[],
        unfinished=parts | {TIMING: {}} if task.is_run else parts,
    )


def _rate(whole: _Whole, smaller: Sequence[Candidate], track: Callable[[str], None]) -> float:
    """Return the learning rate of the task, or the best of three for a network of half the units.

    Raises:
        ValueError: the loss falls with none.
    """
    task = whole.task
    if task.learning_rate is not None:
        return task.learning_rate
    if task.fit is not None or not smaller:
        return RATES[1]
    made = _made(whole, smaller[len(smaller) // 2], track)
    found = {}
    for rate in RATES:
        lesson = Lesson(_TRIAL_STEPS, rate, unchanged, whole.teacher, f"rate {rate:g}", track)
        try:
            found[rate] = trained(task, made.apply, made.params, lesson)
        except ValueError:  # a loss that is not finite
            if rate == min(RATES) and not found:
                raise
    best = min(found, key=lambda rate: found[rate].last)
    if found[best].last >= found[best].first:
        raise ValueError(
            f"loss: must fall when a cut network is trained, got {found[best].first:.4g} before "
            f"and {found[best].last:.4g} after {_TRIAL_STEPS} steps; look at loss and train."
        )
    return best


def _architecture(whole: _Whole) -> str:
    if not whole.task.is_run:
        return "unknown"
    return architecture(trace(whole.apply, whole.params, *whole.task.example))


def _quality(whole: _Whole) -> Quality | None:
    task = whole.task
    if task.evaluate is None:
        return None
    values = [evaluated(task, whole.apply, task.params) for _ in range(2)]
    return Quality(sum(values) / 2, abs(values[0] - values[1]) / math.sqrt(2))


def _made(
    whole: _Whole, wanted: Candidate, track: Callable[[str], None], *, rate: float | None = None
) -> Made:
    """Cut a network out, and train it a little at a learning rate, if there is one."""
    task, (name, cut) = whole.task, wanted
    if not cut:
        return Made(whole.apply, whole.params, {}, 0)
    groups = whole.groups if "units" in cut else None
    small, own = cut_out(task, whole.apply, whole.params, cut, groups=groups)
    if rate is None or not task.is_trained:
        return Made(small, own, cut, 0)
    lesson = Lesson(_TRIAL_STEPS, rate, teacher=whole.teacher, what=f"trial of {name}", track=track)
    own = trained(task, small, own, lesson).params
    return Made(small, own, cut, _TRIAL_STEPS)


def _measured_network(
    whole: _Whole, found: Profile, wanted: Candidate, track: Callable[[str], None]
) -> Profile:
    task, name = whole.task, wanted.name
    made = _made(whole, wanted, track, rate=found.learning_rate)
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
    whole: _Whole, found: Profile, wanted: Candidate, track: Callable[[str], None]
) -> Profile:
    """Time all networks in turn."""
    del wanted
    track(TIMING)
    cuts = {WHOLE: {}} | {network.name: network.cut for network in found.networks}
    made = {name: _made(whole, Candidate(name, cut), track) for name, cut in cuts.items()}
    timed = {name: (each.apply, each.params) for name, each in made.items()}
    latency = timings(timed, whole.task)
    return found._replace(
        networks=[network._replace(latency=latency[network.name]) for network in found.networks]
    )
