"""Distances of tensors: of any magnitude, with NaN and infinity, and what they add up to."""

import math

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.oneshot.outcomes import Outcome, Report, outcome_of

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(
    ("reference", "other", "expected"),
    [
        ([3, 4], [3, 3], 0.2),
        ([0, 0], [0, 0], 0),
        ([0, 0], [0, 1e-7], INF),
        ([INF, NAN, 3, 4], [INF, NAN, 3, 3], 0.2),
        ([NAN, 1], [1, 1], INF),
        ([1, 2], [1, INF], INF),
    ],
)
def test_relative_errors(dtype, reference, other, expected):
    arrays = np.array(reference, dtype), np.array(other, dtype)
    assert outcome_of("w", *arrays).relative_error == pytest.approx(expected)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("float32", 1e-30), ("float32", 1e30), ("float64", 1e-200), ("float64", 1e250)],
)
def test_squares_out_of_range_are_no_fault(dtype, scale):
    reference, other = (np.array(a, dtype) * np.array(scale, dtype) for a in ([3, 4], [3, 3]))
    found = outcome_of("w", reference, other)
    assert found.relative_error == pytest.approx(0.2, rel=1e-5)
    assert found.norm == pytest.approx(5 * scale, rel=1e-5)


def test_small_numbers_beside_large_ones_count():
    assert outcome_of("w", np.float32([4e-34]), np.float32([1])).relative_error == pytest.approx(
        2.5e33
    )
    assert outcome_of("w", np.float32([1, 0]), np.float32([1, 1e-30])).error_norm == pytest.approx(
        1e-30
    )


@pytest.mark.parametrize(
    ("reference", "other"),
    [
        (np.array([2**53, 1]), np.array([2**53 + 1, 1])),
        (np.array([1e300, 1e-300]), np.array([1e300, 0])),
    ],
)
def test_what_differs_has_an_error(reference, other):
    assert outcome_of("w", reference, other).error_norm > 0
    assert outcome_of("w", reference, reference.copy()).error_norm == 0


def test_norms_that_no_number_holds_have_a_ratio():
    reference, other = np.full(4, 1.7e308), np.full(4, 0.85e308)
    assert outcome_of("w", reference, other).relative_error == pytest.approx(0.5)


def test_outputs_without_errors_count_in_the_error_of_all():
    params, other = ({"w": np.float32(w)} for w in ([[1], [1]], [[1], [0]]))
    batches = [np.float32([[1, 0]]), np.float32([[0, 1]])]
    found = jc.oneshot.output_error(lambda p, x: x @ p["w"], params, other, batches)
    assert found == pytest.approx(math.sqrt(0.5))


def test_errors_of_a_tree_are_those_of_all_its_numbers_and_exact_tensors_have_none():
    report = Report(
        [
            Outcome("a", 1, None, 3e250, 0.0),
            Outcome("b", 1, None, 4e250, 1e251),
            Outcome("c", 1, None),
        ]
    )
    assert [outcome.path for outcome in report.changed] == ["a", "b"]
    assert report.relative_error == pytest.approx(0.5)


@pytest.mark.parametrize("scale", [1e250, 1e-200])
def test_large_and_small_doubles_are_compressed(scale):
    params = {"w": np.random.default_rng(0).standard_normal((40, 40)) * scale}
    small = jc.compress(params, bits=4)
    assert 0.05 < jc.oneshot.report(params, small).relative_error < 0.2


def test_sizes_may_have_units(tmp_path):
    params = {"w": np.random.default_rng(0).standard_normal((200, 200)).astype("f")}
    assert jc.save(tmp_path / "w.npz", jc.compress(params, target_bytes="20KB")) <= 20_000
