"""How well a plan says what its file takes and loses, and how long a network runs."""

import time
from typing import Any

import numpy as np

import jaxcompress as jc
from benchmarks.planner.nets import Subject
from jaxcompress import planner
from jaxcompress.planner import Plan, Profile

_LEFT = 3  # of so many budgets one leaves a tensor as it is
_SMALLEST, _LARGEST = 1.02, 1 / 3  # times the smallest and the largest file that can be planned


def predictions(subject: Subject, found: Profile, seed: int) -> list[dict[str, Any]]:
    """Return a row for each of some random sizes: what was predicted, and what is so."""
    rng = np.random.default_rng(seed)
    exact = subject.evaluate(subject.task.params)
    return [_row(subject, _random_plan(found, rng), exact) for _ in range(subject.budgets)]


def _random_plan(found: Profile, rng: np.random.Generator) -> tuple[Plan, float]:
    """Return a plan for the whole network, and the seconds that it took."""
    whole = found.networks[0]
    only = found._replace(networks=[whole])
    least, most = whole.reachable
    while True:
        size = int(np.exp(rng.uniform(*np.log([_SMALLEST * least, _LARGEST * most]))))
        tensors = [tensor.path for tensor in whole.tensors]
        leave = [str(rng.choice(tensors))] if rng.integers(_LEFT) == 0 else []
        began = time.perf_counter()
        try:
            return planner.plan(only, size_bytes=size, leave=leave), time.perf_counter() - began
        except ValueError:  # too small for the tensor that is left as it is
            continue


def _row(subject: Subject, made: tuple[Plan, float], exact: float) -> dict[str, Any]:
    given, seconds = made
    task = subject.task
    small = planner.encoded(task.params, given, task)
    assert given.drop is not None
    return {
        "solve_s": round(seconds, 3),
        "asked": given.budget.size_bytes,
        "predicted_bytes": round(given.size_bytes),
        "bytes": jc.size_bytes(small),
        "predicted_lost": given.drop.drop,
        "low": given.drop.low,
        "high": given.drop.high,
        "lost": exact - subject.evaluate(jc.dense(small)),
    }


def speeds(subject: Subject, found: Profile) -> list[dict[str, Any]]:
    """Return a row for each network that is cut out, and batch size: predicted and measured."""
    rows = []
    for network in found.networks[1:]:
        only = found._replace(networks=[network])
        given = planner.plan(only, size_bytes=int(network.reachable[1]))
        checks = {c.name: c for c in planner.carry_out(given, subject.task).checks}
        for at in network.latency:
            ms = checks[f"ms, batch {at.batch_size}"]
            times = checks[f"times faster, batch {at.batch_size}"]
            rows.append(
                {
                    "network": network.name,
                    "batch": at.batch_size,
                    "predicted_ms": ms.predicted,
                    "ms": ms.measured,
                    "predicted_speedup": times.predicted,
                    "speedup": times.measured,
                }
            )
    return rows
