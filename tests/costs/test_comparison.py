"""Functions measured in turn: ratios, intervals, batch sizes, and what is refused."""

import math
import time

import jax
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.costs import _comparison


def apply(params, x):
    return x @ params


VARIANTS = {"wide": (apply, np.ones((8, 8), "f")), "narrow": (apply, np.ones((8, 2), "f"))}
X = np.arange(24, dtype="f").reshape(3, 8)


def test_each_function_at_each_batch_size():
    found = jc.compare_latency(VARIANTS, X, batches=(1, 5), rounds=8)
    assert [(t.name, t.batch_size) for t in found.timings] == [
        *(("wide", 1), ("narrow", 1), ("wide", 5), ("narrow", 5))
    ]
    for timing in found.timings:
        assert 0 < timing.quartiles[0] <= timing.median <= timing.quartiles[1]
        assert timing.interval[0] <= timing.speedup <= timing.interval[1]
        if timing.name == "wide":
            assert timing.speedup == 1 and timing.interval == (1, 1)
    assert (found.rounds, found.device) == (8, jax.devices()[0].device_kind)
    lines = str(found).splitlines()
    assert len(lines) == 5 and lines[2].startswith("narrow      1")


def test_ratios_are_those_of_the_same_round(monkeypatch):
    clock = iter([4, 2, 8, 4] * 4)

    def told(call):
        call()
        return float(next(clock))

    monkeypatch.setattr(_comparison, "time_ms", told)
    variants = {"fast": VARIANTS["narrow"], "slow": VARIANTS["wide"]}
    found = jc.compare_latency(variants, X, rounds=8)
    # Every other round begins with the last: its times are 4 to 2, then 8 to 4 the other way round.
    slow = found.timings[1]
    assert slow.speedup == np.median([2 / 4, 8 / 4]) and slow.interval == (0.5, 2)
    assert slow.median == 4


def test_a_function_that_waits_is_slower_by_that_much():
    def waiting(params, x):
        return jax.pure_callback(_slept, jax.ShapeDtypeStruct((), "float32"), x)

    found = jc.compare_latency({"wait": (waiting, 0.0), "add": (lambda p, x: x + p, 1.0)}, X)
    assert found.timings[0].median >= 5
    assert found.speedup("add", 3) > 2


def _slept(x):
    time.sleep(0.005)
    return np.float32(0)


def test_inputs_with_the_batch_axis_are_resized_and_others_kept():
    shapes = []

    def shown(params, x, mask, table):
        shapes.append((x["image"].shape, mask.shape, table.shape))
        return x["image"].sum() + params

    given = {"image": X}, np.ones(3), np.ones((4, 3))
    jc.compare_latency({"a": (shown, 0.0), "b": (shown, 1.0)}, *given, batches=(7,), rounds=6)
    assert set(shapes) == {((7, 8), (7,), (4, 3))}
    rows = _comparison.resized(given, 7)[0]["image"]
    np.testing.assert_array_equal(rows, X[[0, 1, 2, 0, 1, 2, 0]])


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ((X,), {"rounds": 5}, "rounds: must be at least 6"),
        ((X,), {"warm_up": 0}, "after a warm_up of at least 1"),
        ((X,), {"batches": (1.5,)}, "batches: must be sizes"),
        ((X,), {"batches": (0,)}, "batches: must be sizes of at least 1"),
        ((X,), {"batches": ()}, "batches: must be sizes"),
        ((np.float32(1),), {"batches": (2,)}, "of inputs with a first axis"),
    ],
)
def test_what_cannot_be_measured_is_refused(given, options, message):
    with pytest.raises(ValueError, match=message):
        jc.compare_latency(VARIANTS, *given, **options)


def test_intervals_hold_the_median_with_95_percent():
    for rounds in range(6, 200):
        below = _comparison._ranks_below(rounds)
        held = sum(math.comb(rounds, k) for k in range(below + 1, rounds - below)) / 2**rounds
        tighter = (
            sum(math.comb(rounds, k) for k in range(below + 2, rounds - below - 1)) / 2**rounds
        )
        assert tighter < 0.95 <= held, rounds


def test_batch_sizes_of_any_kind_and_shapes_without_values():
    found = jc.compare_latency(VARIANTS, X, batches=iter((1, 2)), rounds=6)
    assert [t.batch_size for t in found.timings] == [1, 1, 2, 2]
    jc.compare_latency(VARIANTS, X, batches=np.array([1]), rounds=6)
    with pytest.raises(TypeError, match="inputs: must be arrays with values"):
        jc.compare_latency(VARIANTS, jax.ShapeDtypeStruct((3, 8), "float32"))


def test_one_function_is_no_comparison_and_what_was_not_measured_is_named():
    with pytest.raises(ValueError, match="use latency_ms"):
        jc.compare_latency({"a": VARIANTS["wide"]}, X)
    found = jc.compare_latency(VARIANTS, X, rounds=6)
    with pytest.raises(KeyError, match="narrow at 9: was not measured, only wide at 3"):
        found.speedup("narrow", 9)
