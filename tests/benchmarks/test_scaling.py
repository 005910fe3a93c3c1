"""One process beside two: all ways run, and the table says how much faster."""

import os

import pytest

from benchmarks.scaling import run
from benchmarks.scaling.table import THREADS, TOGETHER, scaling


@pytest.mark.exhaustive
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_processes_are_timed_beside_one(monkeypatch):
    monkeypatch.setattr(run, "ROUNDS", 1)
    monkeypatch.setattr(run, "STEPS", {"lenet-300-100": 2})
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))[:2]]
    row = run.rounds("lenet-300-100", (cores[0], cores[1]))
    assert row["images_per_second"] > 0
    assert set(row["times_faster"]) == {TOGETHER, THREADS}
    assert all(ratio > 0 for ratio in row["times_faster"].values())


def test_the_table_has_both_ratios():
    row = {"net": "toy", "images_per_second": 1234, "times_faster": {TOGETHER: 1.5, THREADS: 1.25}}
    record = {"figures": [row], "date": "2026-01-01", "commit": "abc", "command": "x"}
    lines = scaling(record | {"hardware": "", "versions": {"jax": "", "numpy": ""}, "seeds": [0]})
    assert "| toy | 1,234 | 1.50x | 1.25x |" in lines


@pytest.mark.slow
def test_a_worker_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match="a worker failed"):
        run._seconds([run._started("no-such-network", 1, "0")])
