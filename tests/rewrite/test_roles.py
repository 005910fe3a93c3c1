"""Factors and offsets by channel: every affine primitive, and arrays taken apart by channel."""

import numpy as np
import pytest

from jaxcompress.rewrite.roles import ROLES, after, along, by_channel

Z, A, B, OTHER = (np.array(pair) for pair in ([3.0, -1.0], [2.0, 5.0], [1.0, 7.0], [4.0, -8.0]))
COMPUTED = {
    "add": lambda left, right: left + right,
    "sub": lambda left, right: left - right,
    "mul": lambda left, right: left * right,
    "div": lambda left, right: left / right,
    "neg": lambda left, right: -left,
}


@pytest.mark.parametrize(("name", "place"), ROLES)
@pytest.mark.parametrize("b", [None, B], ids=["no offset", "an offset"])
def test_every_affine_primitive(name, place, b):
    value = A * Z + (0 if b is None else b)
    wanted = COMPUTED[name](*((OTHER, value) if place else (value, OTHER)))
    factors, offsets = after(name, place, A, b, OTHER)
    np.testing.assert_array_equal(factors * Z + (0 if offsets is None else offsets), wanted)
    assert (offsets is None) == (b is None and name in ("mul", "div", "neg"))


def test_a_divisor_that_is_affine_in_nothing():
    assert ("div", 1) not in ROLES  # 1 / z


def test_entries_stay_in_float32_down_to_the_sign_of_zero():
    gain, zeros = np.ones(2, np.float32), np.array([0.0, -0.0], np.float32)
    for place, signs in ((0, [True, False]), (1, [False, True])):
        factors, offsets = after("sub", place, gain, None, zeros)
        assert factors.dtype == offsets.dtype == np.float32
        assert np.signbit(offsets).tolist() == signs


@pytest.mark.parametrize(
    ("array", "channels", "wanted"),
    [
        ([[5, 6]], [[0, 1], [0, 1]], [5, 6, 1]),  # nothing is of the last channel
        ([[5], [6]], [[2, 2], [0, 0]], [6, 1, 5]),
        ([5, 6], [[1, 0], [1, 2]], [6, 5, 6]),
        ([5, 6], [[1, 0], [0, 2]], None),  # the first channel has 6 and 5
        (7, [[0, 1], [2, 0]], [7, 7, 7]),
        ([[5, 6], [6, 5]], [[0, 1], [1, 0]], [5, 6, 1]),
        ([[5, 6], [5, 5]], [[0, 1], [1, 0]], None),
    ],
)
def test_arrays_by_channel(array, channels, wanted):
    found = by_channel(np.array(array, np.float32), np.array(channels), 3, 1.0)
    assert found is None if wanted is None else found.tolist() == wanted


def test_one_entry_that_is_no_number_is_an_entry():
    found = by_channel(np.array([np.nan, 2.0]), np.array([[0, 1], [0, 1]]), 2)
    np.testing.assert_array_equal(found, [np.nan, 2])
    array = np.array([[np.nan, -0.0]], np.float32)
    found = along((1,), array, ("n", 2))
    assert found.tobytes() == array.tobytes() and found.dtype == np.float32
