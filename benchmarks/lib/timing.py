"""Times of peers beside each other, in one run."""

import statistics
import time
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]
"""What is timed."""


def interleaved(
    peers: dict[str, Call],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    calls: int = 1,
) -> dict[str, list[float]]:
    """Return seconds of each peer, called in turn `rounds` times after one warm-up each.

    Neighbouring calls meet the same weather: compare their ratios, not their seconds. The clock
    `time.process_time` counts the seconds of all cores, and none that other processes took. With
    more `calls` each turn is so many of them, of which the median counts: a small network that is
    called again and again finds its weights in the cache, where those of others are in a turn of 1.
    """
    for call in peers.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, call in peers.items():
            seconds[name].append(statistics.median(_timed(call, clock) for _ in range(calls)))
    return seconds


def _timed(call: Call, clock: Callable[[], float]) -> float:
    started = clock()
    call()
    return clock() - started


def ratio(seconds: dict[str, list[float]], name: str, peer: str) -> float:
    """Return the median over rounds of how many times as long `name` took as `peer`."""
    pairs = zip(seconds[name], seconds[peer], strict=True)
    return round(statistics.median(mine / theirs for mine, theirs in pairs), 3)
