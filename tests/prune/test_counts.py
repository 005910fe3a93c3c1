"""Counts of more entries than a word can number, tried with words of eight bits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.prune import counts
from jaxcompress.prune.select import keep_largest

SHAPES = [(300,), (7,), (13, 50), (255,), (0,), (256,)]  # of parts with 255 entries at most
SIZES = [int(np.prod(shape)) for shape in SHAPES]
TOTAL = sum(SIZES)


@pytest.fixture(autouse=True, scope="module")
def short_words():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "_WORD", jnp.uint8)
        yield


def number(count):
    return int(count.high) * 256 + int(count.low)


INTEGERS = st.integers(0, 2**16 - 1)


@settings(max_examples=100, deadline=None)
@given(INTEGERS, INTEGERS)
def test_arithmetic_is_that_of_integers(a, b):
    one, other = counts.as_count(a), counts.as_count(b)
    assert number(counts.plus(one, other)) == (a + b) % 2**16
    assert number(counts.minus(one, other)) == max(a - b, 0)
    assert bool(counts.less(one, other)) == (a < b)
    assert number(counts.smallest(one, other)) == min(a, b)


def test_integers_of_any_kind_are_counts():
    for given_as in (1000, np.int64(1000), np.uint16(1000), jnp.int32(1000), jnp.uint16(1000)):
        assert number(counts.as_count(given_as)) == 1000
    assert number(counts.as_count(jnp.uint8(200))) == 200
    assert [number(counts.rounded(jnp.float32(x))) for x in (0, 0.5, 1.5, 1000.4)] == [
        0,
        0,
        2,
        1000,
    ]


def reference(values, removed):
    """Keep by (value, lower index wins), by numpy's stable sort."""
    order = np.lexsort((-np.arange(len(values)), values))
    keep = np.ones(len(values), bool)
    keep[order[:removed]] = False
    return keep


@pytest.fixture(scope="module")
def traced():
    return jax.jit(keep_largest)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(0, TOTAL))
def test_exactly_so_many_go(traced, seed, distinct, removed):
    values = np.random.default_rng(seed).integers(0, distinct, TOTAL).astype(np.float32)
    ends = np.cumsum(SIZES)[:-1]
    parts = [p.reshape(s) for p, s in zip(np.split(values, ends), SHAPES, strict=True)]
    masks = traced(parts, removed)
    assert [mask.shape for mask in masks] == SHAPES
    flat = np.concatenate([np.ravel(mask) for mask in masks])
    np.testing.assert_array_equal(flat, reference(values, removed))


@pytest.mark.parametrize("removed", [0, 1, 255, 256, 257, 300, 511, 1000, TOTAL - 1, TOTAL])
def test_ties_across_leaves_keep_the_lower_index(traced, removed):
    masks = traced([np.ones(shape, np.float32) for shape in SHAPES], removed)
    flat = np.concatenate([np.ravel(mask) for mask in masks])
    assert flat.tolist() == [True] * (TOTAL - removed) + [False] * removed


@pytest.mark.slow
def test_a_mask_under_jit_is_that_outside():
    params = {"kernel": jax.random.normal(jax.random.key(0), (40, 40))}
    mask = jax.jit(lambda p: jc.magnitude_mask(p, 0.5))(params)["kernel"]
    assert int(mask.sum()) == 800
    np.testing.assert_array_equal(mask, jc.magnitude_mask(params, 0.5)["kernel"])


@pytest.mark.slow
def test_gradual_pruning_reaches_its_share():
    params = {"kernel": jax.random.normal(jax.random.key(0), (30, 20))}
    tx = jc.gradual_pruning(0.9, begin=0, end=2, initial=0.5)
    state, masks = tx.init(params), []
    for _ in range(3):
        updates, state = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
        params = optax.apply_updates(params, updates)
        masks.append(int(jc.optim.current_mask(state)["kernel"].sum()))
    assert masks == [300, 90, 60]


def test_shapes_of_three_thousand_million_weights_trace(monkeypatch):
    monkeypatch.setattr(counts, "_WORD", jnp.uint32)
    big = {"kernel": jax.ShapeDtypeStruct((60_000, 60_000), jnp.bfloat16)}
    mask = jax.eval_shape(lambda p: jc.magnitude_mask(p, 0.5), big)
    assert mask["kernel"].shape == (60_000, 60_000)
    tx = jc.gradual_pruning(0.9, begin=0, end=2)
    updates, _ = jax.eval_shape(lambda p: tx.update(p, tx.init(p), p), big)
    assert updates["kernel"].shape == (60_000, 60_000)
    (whole,) = counts.parts(jnp.zeros(5))
    assert whole.shape == (5,)
