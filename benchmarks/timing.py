"""Timing peers against each other in one run."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def interleaved(
    peers: dict[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return seconds of each peer, called in turn `rounds` times after one warm-up each.

    Neighbouring calls meet the same weather: compare their ratios, not their seconds. The clock
    `time.process_time` counts the seconds of all cores, and none that other processes took.
    """
    for call in peers.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, call in peers.items():
            started = clock()
            call()
            seconds[name].append(clock() - started)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, peer: str) -> float:
    """Return the median over rounds of how many times as long `name` took as `peer`."""
    pairs = zip(seconds[name], seconds[peer], strict=True)
    return round(statistics.median(mine / theirs for mine, theirs in pairs), 3)
