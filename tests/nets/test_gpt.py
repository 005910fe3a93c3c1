"""The language model: what it computes, that it sees no later token, and that it compresses."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxcompress as jc
from nets.families import build, sizes_of
from nets.gpt import GPTConfig, rotated
from tests.helpers.transformer import blocks, norm

TINY = GPTConfig(vocabulary=11, width=8, depth=2, heads=2, hidden=6)
NET = build(TINY)
TOKENS = np.array([[3, 4, 5, 9, 0], [6, 7, 8, 2, 1]])


@pytest.fixture(autouse=True)
def _compile_quickly():
    """What is compiled here runs once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def drawn():
    rng = np.random.default_rng(0)
    params, stats = jax.eval_shape(NET.init, jax.random.key(0))
    assert not stats
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.5).astype("f"), params)


PARAMS = drawn()


def apply(params, tokens):
    return NET.apply(params, {}, tokens)


def turned(x):
    """Queries or keys `[n, t, 4]` of one head, as complex numbers: two planes of speeds 1, 0.01."""
    planes = (x[..., :2] + 1j * x[..., 2:]) * np.exp(
        1j * np.outer(np.arange(x.shape[1]), [1, 0.01])
    )
    return np.concatenate([planes.real, planes.imag], -1)


def by_hand(p, tokens):
    """Return logits in NumPy."""
    later = np.triu(np.full((tokens.shape[1],) * 2, -np.inf), 1)
    x = blocks(p["words"]["embedding"][tokens], p["blocks"], 2, turned=turned, added=later)
    return norm(x, p["norm"]) @ p["predict"]["kernel"]


def test_what_it_computes():
    found = jax.jit(apply)(PARAMS, TOKENS)
    assert found.shape == (2, 5, 11)
    np.testing.assert_allclose(found, by_hand(PARAMS, TOKENS), rtol=2e-3, atol=1e-4)


def test_a_later_token_changes_no_earlier_logits():
    function = jax.jit(apply)
    others = (TOKENS + 5 * (np.arange(5) == 3)) % 11
    before, after = function(PARAMS, TOKENS), function(PARAMS, others)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.abs(before[:, 3:] - after[:, 3:]).max() > 0.01


def test_products_of_queries_and_keys_depend_on_their_distance():
    x = np.ones((1, 6, 1, 4), "f")
    turn = np.asarray(rotated(x))[0, :, 0]
    np.testing.assert_allclose(turn[1] @ turn[3], turn[3] @ turn[5], rtol=1e-5)
    assert turn[1] @ turn[3] == pytest.approx(2 * np.cos(2) + 2 * np.cos(0.02), rel=1e-5)


@pytest.mark.slow
def test_the_number_of_parameters_and_the_sizes_that_vary():
    params, _ = jax.eval_shape(build(GPTConfig()).init, jax.random.key(0))
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)) == 5_787_648
    assert sizes_of(TINY) == {"width": 8, "hidden": 6, "depth": 2, "heads": 2}


def test_a_width_that_has_no_planes_is_refused():
    with pytest.raises(
        ValueError, match="width must be a multiple of twice the heads, got 8 and 3"
    ):
        build(replace(TINY, heads=3))


def test_moments_are_of_all_kernels():
    moments = jc.quantization.input_moments(apply, PARAMS, [TOKENS])
    named = jc.scopes.named_leaves(PARAMS)
    sizes = {path: leaf.size for path, leaf in zip(named.paths, named.leaves, strict=True)}
    kernels = {path: size for path, size in sizes.items() if path.endswith("kernel")}
    assert len(kernels) == 2 * 6 + 1
    assert {path: layer.entries.size for path, (layer,) in moments.layers.items()} == kernels


@pytest.mark.slow
def test_heads_and_widths_can_go_but_no_turned_channels():
    """Which angle a channel has depends on how many there are, so no part of a head can go."""
    groups = jc.unit_groups(apply, PARAMS, TOKENS)
    assert {group.name: group.size for group in groups} == {
        "words": 8,
        **{f"blocks/{k}/attention/query": 2 for k in range(2)},
        **{f"blocks/{k}/dense1": 6 for k in range(2)},
    }
    turned_axes = {(f.path, f.axis) for f in groups.frozen if "attention/query/kernel" in f.path}
    assert turned_axes == {(f"blocks/{k}/attention/query/kernel", 2) for k in range(2)}
    keep = jc.choose_units(PARAMS, groups, remove=0.4)
    assert jc.check_shrink(apply, PARAMS, groups, keep, TOKENS) < 1e-5
