"""The vision transformer: what it computes, and that blocks, heads and widths can go."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.nnx import functional
from nets.families import build, sizes_of
from nets.vit import StackedViT, ViTConfig, listed, stacked
from tests.helpers.transformer import blocks, dense, norm

TINY = ViTConfig(classes=3, image_size=8, patch=4, width=6, depth=2, heads=2, hidden=5)
NET = build(TINY)
STACKED = functional(lambda rngs: StackedViT(TINY, rngs=rngs))
IMAGES = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype("f")


def drawn(net):
    rng = np.random.default_rng(0)
    params, stats = jax.eval_shape(net.init, jax.random.key(0))
    assert not stats
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.5).astype("f"), params)


PARAMS = drawn(NET)


@pytest.fixture(autouse=True)
def _compile_quickly():
    """What is compiled here runs once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def apply(params, x):
    return NET.apply(params, {}, x)


def apply_stacked(params, x):
    return STACKED.apply(params, {}, x)


def by_hand(p, images):
    """Return logits in NumPy."""
    patches = [images[:, i : i + 4, j : j + 4].reshape(2, -1) for i in (0, 4) for j in (0, 4)]
    tokens = np.stack(patches, 1) @ p["embed"]["kernel"].reshape(48, 6) + p["embed"]["bias"]
    x = np.concatenate([np.repeat(p["first"], 2, 0), tokens], 1) + p["places"]
    x = blocks(x, p["blocks"], 2)
    return dense(norm(x[:, 0], p["norm"]), p["classify"])


def test_what_it_computes():
    np.testing.assert_allclose(
        jax.jit(apply)(PARAMS, IMAGES), by_hand(PARAMS, IMAGES), rtol=2e-3, atol=1e-5
    )


@pytest.mark.slow
def test_blocks_in_a_list_and_stacked_compute_the_same():
    params = stacked(PARAMS)
    blank, _ = jax.eval_shape(STACKED.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, blank)
    jax.tree.map(np.testing.assert_array_equal, listed(params), PARAMS)
    found = jax.jit(apply_stacked)(params, IMAGES)
    np.testing.assert_allclose(found, by_hand(PARAMS, IMAGES), rtol=2e-3, atol=1e-5)


@pytest.mark.slow
def test_blocks_of_a_stack_start_from_other_numbers():
    params, _ = STACKED.init(jax.random.key(0))
    first, second = params["blocks"]["dense1"]["kernel"]
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_the_same_network_runs_without_some_of_its_blocks():
    small = jc.drop_blocks(PARAMS, "blocks", keep=[1])
    expected = by_hand(small, IMAGES)
    assert np.abs(expected - by_hand(PARAMS, IMAGES)).max() > 0.01
    np.testing.assert_allclose(jax.jit(apply)(small, IMAGES), expected, rtol=2e-3, atol=1e-5)
    of_stack = jc.drop_blocks(stacked(PARAMS), "blocks", keep=[1])
    np.testing.assert_allclose(
        jax.jit(apply_stacked)(of_stack, IMAGES), expected, rtol=2e-3, atol=1e-5
    )
    blank, _ = jax.eval_shape(build(replace(TINY, depth=1)).init, jax.random.key(0))
    assert jax.tree.structure(small) == jax.tree.structure(blank)
    logits, stats = jax.eval_shape(NET.apply_training, small, {}, IMAGES)
    assert logits.shape == (2, 3) and stats == {}


def test_blocks_that_are_not_numbered_from_zero_are_refused():
    params = PARAMS | {"blocks": {1: PARAMS["blocks"][1]}}
    with pytest.raises((ValueError, KeyError)):
        apply(params, IMAGES)


LISTED_GROUPS = {
    "embed": 6,
    **{f"blocks/{k}/attention/query/kernel:1": 2 for k in range(2)},
    **{f"blocks/{k}/attention/query/kernel:2": 3 for k in range(2)},
    **{f"blocks/{k}/dense1": 5 for k in range(2)},
}
STACKED_GROUPS = {
    "embed": 6,
    "blocks/attention/key/bias:1": 2,
    "blocks/attention/key/bias:2": 3,
    "blocks/dense1": 5,
}


@pytest.mark.parametrize(
    ("function", "params", "sizes"),
    [(apply, PARAMS, LISTED_GROUPS), (apply_stacked, stacked(PARAMS), STACKED_GROUPS)],
    ids=["listed", "stacked"],
)
@pytest.mark.slow
def test_heads_and_widths_can_go(function, params, sizes):
    """The width of tokens goes everywhere at once, in a stack a head goes from every block."""
    groups = jc.unit_groups(function, params, IMAGES)
    assert {group.name: group.size for group in groups} == sizes and not groups.note
    width = {f"{part.path}:{part.axis}" for part in groups["embed"].slices}
    assert {"first:2", "places:2", "norm/scale:0", "classify/kernel:0"} <= width
    keep = jc.choose_units(params, groups, remove=0.4)
    assert jc.check_shrink(function, params, groups, keep, IMAGES) < 1e-5
    small = jc.shrink(params, groups, keep)
    shallow = jc.drop_blocks(small, "blocks", keep=[1])
    assert jax.eval_shape(function, shallow, IMAGES).shape == (2, 3)


def test_sizes_that_cannot_be():
    with pytest.raises(ValueError, match="width must be a multiple of heads .* got 6 and 4, 8"):
        build(replace(TINY, heads=4))
    with pytest.raises(ValueError, match="image_size of patch, got 6 and 2, 8 and 3"):
        build(replace(TINY, patch=3))
    assert sizes_of(TINY) == {"width": 6, "heads": 2, "hidden": 5, "depth": 2}
