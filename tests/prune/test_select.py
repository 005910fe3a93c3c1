"""Exact selection under ties, the same with and without jit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcompress.prune.select import keep_largest

SIZE = 12  # one shape, so that the traced selection compiles once
TRACED = jax.jit(lambda a, b, removed: keep_largest([a, b], removed))


def reference(values, removed):
    """Keep by (value, lower index wins) in plain Python."""
    order = sorted(range(len(values)), key=lambda i: (values[i], -i))
    keep = np.ones(len(values), bool)
    keep[order[:removed]] = False
    return keep


NUMBERS = st.lists(
    st.sampled_from([-np.inf, -2.5, -1e-40, -0.0, 0.0, 1e-45, 1.0, 1.0000001, 3e38, np.inf]),
    min_size=SIZE,
    max_size=SIZE,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(NUMBERS, st.integers(0, SIZE))
def test_concrete_and_traced_equal_a_plain_sort(numbers, removed):
    values = np.array(numbers, np.float32)
    a, b = values[:5], values[5:].reshape(7, 1)
    expected = reference(values, removed)
    for got in (keep_largest([a, b], removed), TRACED(a, b, removed)):
        flat = np.concatenate([np.ravel(mask) for mask in got])
        np.testing.assert_array_equal(flat, expected)
        assert got[1].shape == b.shape


def test_all_equal_keeps_the_lower_indices():
    (mask,) = keep_largest([np.zeros(10)], 7)
    assert np.asarray(mask).tolist() == [True] * 3 + [False] * 7


def test_float16_and_bfloat16():
    for dtype in (jnp.float16, jnp.bfloat16):
        values = jnp.array([3, 1, 2, 1], dtype)
        (mask,) = keep_largest([values], 2)
        (traced,) = jax.jit(lambda v: keep_largest([v], 2))(values)
        assert (
            np.asarray(mask).tolist() == np.asarray(traced).tolist() == [True, False, True, False]
        )
