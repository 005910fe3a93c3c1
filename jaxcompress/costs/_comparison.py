"""Milliseconds of several functions, measured in turn, as ratios."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.bounds import is_integer
from jaxcompress.checks import check_concrete
from jaxcompress.compiled import jit_for_inference
from jaxcompress.costs._latency import threads, time_ms
from jaxcompress.kinds import is_array, native
from jaxcompress.trace.inputs import batch_size_of
from jaxcompress.trees import PyTree

_CONFIDENCE, _FEWEST_ROUNDS = 0.95, 6


class Timing(NamedTuple):
    """The time of one function at one batch size.

    Attributes:
        name: of the function.
        batch_size: first axis of the inputs.
        median: milliseconds of a call.
        quartiles: the first and the third, milliseconds.
        speedup: median over the rounds of the time of the reference by the time of this function.
        interval: from and to where the median lies with a confidence of 95 %.
    """

    name: str
    batch_size: int
    median: float
    quartiles: tuple[float, float]
    speedup: float
    interval: tuple[float, float]


class LatencyComparison(NamedTuple):
    """The times of several functions.

    Attributes:
        timings: of each batch size, of each function in the order given.
        rounds: calls of each function, in turn.
        threads: cores that the process may use.
        device: kind of the device.
    """

    timings: Sequence[Timing]
    rounds: int
    threads: int
    device: str

    def __str__(self) -> str:
        """Return a table: milliseconds, and how many times faster than the first function."""
        width = max(len(str(timing.name)) for timing in self.timings)
        lines = [f"{'':{width}}  batch        ms  quartiles           times faster  95 %"]
        for t in self.timings:
            lines.append(
                f"{t.name!s:{width}}  {t.batch_size:5}  {t.median:8.3f}  "
                f"{t.quartiles[0]:8.3f} {t.quartiles[1]:8.3f}  {t.speedup:14.2f}  "
                f"{t.interval[0]:.2f} to {t.interval[1]:.2f}"
            )
        return "\n".join(lines)

    def speedup(self, name: str, batch_size: int) -> float:
        """Return how many times faster than the first function one is.

        Raises:
            KeyError: it was not measured at that batch size.
        """
        for timing in self.timings:
            if (timing.name, timing.batch_size) == (name, batch_size):
                return timing.speedup
        measured = ", ".join(f"{t.name} at {t.batch_size}" for t in self.timings)
        raise KeyError(f"{name} at {batch_size}: was not measured, only {measured}")


def compare_latency(
    variants: Mapping[str, tuple[Callable[..., PyTree], PyTree]],
    *inputs: PyTree,
    batches: Iterable[int] | int | None = None,
    rounds: int = 30,
    warm_up: int = 3,
) -> LatencyComparison:
    """Measure functions in turn, compiled by `jit_for_inference`, and compare with the first.

    A machine that is busy or hot slows all of them alike: in each round every function is called
    once, every other round in the opposite order, and what counts is the ratio of two times of one
    round. The median of the ratios is given with an interval that holds the true median with a
    confidence of 95 %, whatever the distribution of the times (order statistics).

    Args:
        variants: by name, `apply` and `params` of `apply(params, *inputs)`; the first is the
            reference.
        *inputs: arrays, one call of all variants.
        batches: batch sizes to measure; inputs whose first axis is as long as that of the first
            input are repeated or cut to this length. By default that of the inputs.
        rounds: how many calls of each, at least 6.
        warm_up: how many before; the first compiles; at least 1.

    Raises:
        ValueError: fewer than two variants, too few rounds, a batch size below 1, batch sizes of
            inputs without a first axis.
        TypeError: called under `jit`; shapes without values.

    Example:
        >>> def apply(params, x):
        ...     return x @ params
        >>> variants = {"wide": (apply, np.ones((64, 64))), "narrow": (apply, np.ones((64, 1)))}
        >>> found = compare_latency(variants, np.ones((8, 64)), batches=(1, 16), rounds=6)
        >>> [(timing.name, timing.batch_size) for timing in found.timings]
        [('wide', 1), ('narrow', 1), ('wide', 16), ('narrow', 16)]
        >>> found.speedup("wide", 1)
        1.0

    Source: the interval: Conover 1999, Practical Nonparametric Statistics, 3.2.
    """
    if len(variants) < 2:
        raise ValueError(
            f"variants: must be at least 2, got {len(variants)}; use latency_ms for one function."
        )
    if not is_integer(rounds) or rounds < _FEWEST_ROUNDS or not is_integer(warm_up) or warm_up < 1:
        raise ValueError(
            f"rounds: must be at least {_FEWEST_ROUNDS}, or no interval has a confidence of 95 %, "
            f"after a warm_up of at least 1, got {rounds} after {warm_up}; pass 30, say."
        )
    for name, (_, params) in variants.items():
        check_concrete(f"compare_latency: {name}", params)
    compiled = {name: jit_for_inference(apply).compiled for name, (apply, _) in variants.items()}
    placed = {
        name: jax.device_put(jax.tree.map(native, params)) for name, (_, params) in variants.items()
    }
    timings = []
    for batch_size in batch_sizes(inputs, batches):
        given = jax.device_put(jax.tree.map(native, resized(inputs, batch_size)))
        calls = [_call(compiled[name], placed[name], given) for name in variants]
        times = in_turn(calls, rounds=rounds, warm_up=warm_up)
        found = zip(variants, times, strict=True)
        timings += [_timing(name, batch_size, own, times[0]) for name, own in found]
    return LatencyComparison(timings, rounds, threads(), jax.devices()[0].device_kind)


def _call(
    function: Callable[..., Any], params: PyTree, inputs: Sequence[PyTree]
) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(function(params, *inputs))


def in_turn(calls: Sequence[Callable[[], Any]], *, rounds: int, warm_up: int) -> list[list[float]]:
    """Return the times of each function, in milliseconds, one a round.

    Args:
        calls: return when their work is done.
        rounds: in which each is called once, in one order or the other.
        warm_up: calls of each before.
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        for _ in range(warm_up):
            call()
    for number in range(rounds):
        order = range(len(calls)) if number % 2 else reversed(range(len(calls)))
        for index in order:
            times[index].append(time_ms(calls[index]))
    return times


def _timing(name: str, batch_size: int, own: list[float], reference: list[float]) -> Timing:
    ratios = sorted(base / time for base, time in zip(reference, own, strict=True))
    first, median, third = statistics.quantiles(own, n=4, method="inclusive")
    below = _ranks_below(len(ratios))
    return Timing(
        name=name,
        batch_size=batch_size,
        median=median,
        quartiles=(first, third),
        speedup=statistics.median(ratios),
        interval=(ratios[below], ratios[len(ratios) - 1 - below]),
    )


def _ranks_below(rounds: int) -> int:
    """Return how many ratios lie outside of the interval on each side, by the binomial law."""
    outside, below = 0.0, 0
    for rank in range(rounds // 2):
        outside += 2 * math.comb(rounds, rank) / 2**rounds
        if outside > 1 - _CONFIDENCE:
            break
        below = rank + 1
    return below - 1


def batch_sizes(inputs: Sequence[PyTree], batches: Iterable[int] | int | None) -> Sequence[int]:
    """Return the batch sizes to measure; by default that of the inputs.

    Raises:
        TypeError: inputs without values.
        ValueError: no sizes, sizes below 1, inputs without a first axis.
    """
    for leaf in jax.tree.leaves(inputs):
        if not is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct):
            raise TypeError(
                f"inputs: must be arrays with values, got {type(leaf).__name__}; pass an example."
            )
    size = batch_size_of(inputs)
    if batches is None:
        return [size]
    sizes = [batches] if isinstance(batches, int) else list(batches)
    if not size or not sizes or not all(is_integer(each) and each >= 1 for each in sizes):
        raise ValueError(
            f"batches: must be sizes of at least 1 of inputs with a first axis, got {sizes} for "
            f"inputs of {size}; pass (1, 64), say, and arrays."
        )
    return list(map(int, sizes))


def resized(inputs: Sequence[PyTree], batch_size: int) -> Sequence[PyTree]:
    """Return inputs of a batch size, by repeating or cutting those that have the batch axis."""
    size = batch_size_of(inputs)
    if batch_size == size:
        return inputs
    rows = np.arange(batch_size) % size

    def taken(array: Any) -> Any:
        return array[rows] if np.ndim(array) and np.shape(array)[0] == size else array

    return jax.tree.map(taken, inputs)
