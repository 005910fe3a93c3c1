"""Milliseconds of one call."""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxcompress.checks import check_concrete
from jaxcompress.compiled import jit_for_inference
from jaxcompress.kinds import native
from jaxcompress.trace.inputs import batch_size_of
from jaxcompress.trees import PyTree


class Latency(NamedTuple):
    """The time of a call.

    Attributes:
        median: milliseconds.
        quartiles: the first and the third, milliseconds.
        calls: number of calls measured.
        batch_size: first axis of the first input; 0 without inputs.
        threads: cores that the process may use.
        device: kind of the device.
    """

    median: float
    quartiles: tuple[float, float]
    calls: int
    batch_size: int
    threads: int
    device: str


def latency_ms(
    apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree, calls: int = 30, warm_up: int = 3
) -> Latency:
    """Measure `apply(params, *inputs)`, compiled by `jit_for_inference`.

    Parameters and inputs are put on the device, and a few calls are made before the measurement.
    Each call ends when its results are there. Times of different machines, or of a busy one, are
    not comparable: quote ratios of measurements taken in turn.

    Args:
        apply: `apply(params, *inputs)`.
        params: arrays.
        *inputs: arrays.
        calls: how many to measure, at least 2.
        warm_up: how many to make before; the first compiles; at least 1.

    Raises:
        ValueError: too few calls.
        TypeError: called under `jit`; shapes without values.

    Example:
        >>> import numpy as np
        >>> found = latency_ms(lambda params, x: x @ params, np.eye(2), np.ones((8, 2)), calls=4)
        >>> found.calls, found.batch_size, 0 < found.quartiles[0] <= found.median
        (4, 8, True)
    """
    check_concrete("latency_ms", params)
    compiled = jit_for_inference(apply).compiled
    given = jax.device_put(jax.tree.map(native, (params, *inputs)))
    times = times_ms(lambda: jax.block_until_ready(compiled(*given)), calls=calls, warm_up=warm_up)
    first, median, third = statistics.quantiles(times, n=4, method="inclusive")
    return Latency(
        median=median,
        quartiles=(first, third),
        calls=calls,
        batch_size=batch_size_of(inputs),
        threads=threads(),
        device=jax.devices()[0].device_kind,
    )


def times_ms(call: Callable[[], Any], *, calls: int = 30, warm_up: int = 3) -> list[float]:
    """Return the time of each call of a function, in milliseconds.

    Args:
        call: the function, which returns when its work is done.
        calls: how many to measure, at least 2.
        warm_up: how many to make before, at least 1.

    Raises:
        ValueError: too few calls.

    Example:
        >>> times = times_ms(lambda: sum(range(1000)), calls=4)
        >>> len(times), min(times) > 0
        (4, True)
    """
    if calls < 2 or warm_up < 1:
        raise ValueError(
            f"calls: must be at least 2 after a warm_up of at least 1, got {calls} after {warm_up}."
        )
    for _ in range(warm_up):
        call()
    return [time_ms(call) for _ in range(calls)]


def time_ms(call: Callable[[], Any]) -> float:
    """Return the time of one call, in milliseconds."""
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def threads() -> int:
    """Return how many cores this process may use.

    Example:
        >>> 1 <= threads() <= os.cpu_count()
        True
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
