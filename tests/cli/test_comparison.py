"""Distances of tensors: by their definitions, and where numbers are not finite."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxcompress.cli.comparison import compare, together

SIZES = st.integers(0, 30)
NUMBERS = st.floats(-1e3, 1e3, width=32)


def pair(dtype):
    return SIZES.flatmap(lambda n: st.tuples(*[hnp.arrays(dtype, n, elements=NUMBERS)] * 2))


def by_definition(a, b):
    a, b = a.astype(float).ravel(), b.astype(float).ravel()
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return (
        np.linalg.norm(a - b) / np.linalg.norm(a),
        np.abs(a - b).max(),
        a @ b / lengths if lengths else 0.0,
    )


@pytest.mark.slow
@given(pair(np.float32) | pair(np.float64))
def test_errors_are_those_of_their_definitions(arrays):
    a, b = arrays
    error = compare("w", a, b).error
    if np.array_equal(a, b):
        assert error == (0.0, 0.0, 1.0)
    elif np.linalg.norm(a.astype(float)) > 1e-3:
        np.testing.assert_allclose(error, by_definition(a, b), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@given(st.lists(pair(np.float32), min_size=1, max_size=4))
def test_several_tensors_that_differ_are_as_one(pairs):
    found = together([compare(str(n), *arrays) for n, arrays in enumerate(pairs)])
    different = [arrays for arrays in pairs if not np.array_equal(*arrays)]
    a, b = (np.concatenate([np.zeros(0, "f"), *(pair[n] for pair in different)]) for n in (0, 1))
    np.testing.assert_allclose(found, compare("all", a, b).error, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.int8, np.bool_, np.uint64])
def test_other_dtypes(dtype):
    a, b = (np.array(numbers).astype(dtype) for numbers in ([1, 0, 1, 1], [1, 1, 0, 1]))
    np.testing.assert_allclose(compare("w", a, b).error, (math.sqrt(2 / 3), 1, 2 / 3), rtol=1e-6)


def test_complex_numbers_by_hand():
    error = compare("w", np.array([3j, 4]), np.array([3j, 4j])).error
    np.testing.assert_allclose(error, (math.sqrt(32) / 5, math.sqrt(32), 9 / 25))


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([NAN, 1], [NAN, 1], (0, 0, 1)),
        ([INF, 2], [INF, 1], (0.5, 1, 1)),
        ([NAN, 2], [NAN, 1], (0.5, 1, 1)),
        ([INF, 1], [-INF, 1], (INF, INF, 0)),
        ([1, 1], [NAN, 1], (INF, INF, 0)),
        ([NAN, 1], [1, 1], (INF, INF, 0)),
        ([0, 0], [0, 1], (INF, 1, 0)),
        ([0, 1], [0, 0], (1, 1, 0)),
        ([], [], (0, 0, 1)),
    ],
)
def test_numbers_that_are_not_finite(a, b, expected):
    a, b = np.float32(a), np.float32(b)
    assert compare("w", a, b).error == pytest.approx(expected)
    if expected[1] in (0, INF):
        both = together([compare("w", a, b), compare("v", np.ones(3), np.ones(3))])
        assert both == pytest.approx(expected)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("f", 1e-30), ("f", 1e30), *(("d", 10.0**e) for e in (-300, -200, -150, 150, 160, 250, 307))],
)
def test_squares_out_of_range(dtype, size):
    a, b = (np.array(numbers, dtype) * np.dtype(dtype).type(size) for numbers in ([3, 4], [3, 3]))
    relative, largest, cosine = compare("w", a, b).error
    assert (relative, cosine) == pytest.approx((0.2, 21 / (5 * 18**0.5)), rel=1e-5)
    assert largest == pytest.approx(size, rel=1e-5)
    assert compare("w", a, a).error == (0, 0, 1)
    assert compare("w", a, np.full(2, np.finfo(dtype).max, dtype)).error.relative > 1
    zero = np.zeros(2, dtype)
    assert compare("w", zero, a).error.relative == math.inf
    assert compare("w", a, zero).error.relative == pytest.approx(1)
    ones = compare("v", np.float32([3, 4]), np.float32([3, 4]) * np.float32(1.5))
    both = together([compare("w", a, b), ones]).relative
    assert both == pytest.approx(0.2 if size > 1 else 0.5)


@pytest.mark.parametrize(("dtype", "least"), [("f", 1e-30), ("d", 1e-30), ("d", 1e-300)])
def test_no_difference_is_too_small_to_be_one(dtype, least):
    a, b = np.array([1, least], dtype), np.array([1, 2 * least], dtype)
    assert 0 < compare("w", a, b).error.relative < 1e-29
    assert compare("w", a, b).error.largest == pytest.approx(least)
