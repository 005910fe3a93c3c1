"""Masks: exact counts, ties, scopes, and errors that say what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.prune.masks import is_pattern


def two_layers():
    return {
        "conv": {"kernel": jnp.array([[[[0.1, -0.2], [0.3, 4.0]]]]), "bias": jnp.zeros(2)},
        "dense": {"kernel": jnp.array([[5.0, -6.0], [0.05, 7.0]]), "bias": jnp.zeros(2)},
    }


def kept(mask):
    return np.concatenate([np.ravel(m) for m in jax.tree.leaves(mask)])


def test_global_threshold_by_hand():
    mask = jc.magnitude_mask(two_layers(), 0.5)
    assert mask["conv"]["kernel"].ravel().tolist() == [False, False, False, True]
    assert mask["dense"]["kernel"].ravel().tolist() == [True, True, False, True]
    assert mask["conv"]["bias"].tolist() == [True, True]


def test_layerwise_takes_the_same_share_of_each():
    mask = jc.layerwise_mask(two_layers(), 0.5)
    assert mask["conv"]["kernel"].ravel().tolist() == [False, False, True, True]
    assert mask["dense"]["kernel"].ravel().tolist() == [False, True, False, True]


def test_layerwise_by_path_leaves_the_others_dense():
    mask = jc.layerwise_mask(two_layers(), {"dense/kernel": 0.75})
    assert mask["conv"]["kernel"].all()
    assert mask["dense"]["kernel"].ravel().tolist() == [False, False, False, True]


def test_layerwise_unknown_path_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"dense/bias: no leaf .* conv/kernel, dense/kernel"):
        jc.layerwise_mask(two_layers(), {"dense/bias": 0.5})


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.floats(0, 0.999), st.integers(1, 40), st.booleans())
def test_the_count_is_exact_also_in_constant_layers(sparsity, size, constant):
    values = np.zeros((size, 1)) if constant else np.linspace(-1, 1, size)[:, None]
    mask = jc.magnitude_mask({"w": values.astype(np.float32)}, sparsity)
    assert np.sum(~np.asarray(mask["w"])) == min(round(sparsity * size), size - 1)


def test_negative_magnitudes_count():
    mask = jc.magnitude_mask({"w": jnp.array([[-9.0, 1.0, 2.0, -0.5]])}, 0.5)
    assert mask["w"].tolist() == [[True, False, True, False]]


def test_random_mask_is_exact_seeded_and_ignores_the_weights():
    params = {"w": jnp.arange(100.0).reshape(10, 10)}
    masks = [jc.prune.random_mask(params, 0.3, key=jax.random.key(seed)) for seed in (0, 0, 1)]
    assert all(np.sum(~np.asarray(m["w"])) == 30 for m in masks)
    np.testing.assert_array_equal(masks[0]["w"], masks[1]["w"])
    assert not np.array_equal(masks[0]["w"], masks[2]["w"])
    other = jc.prune.random_mask({"w": -(params["w"] ** 2)}, 0.3, key=jax.random.key(0))
    np.testing.assert_array_equal(masks[0]["w"], other["w"])


@pytest.mark.slow
def test_shuffled_masks_keep_the_count_of_each_leaf():
    params = {"a": jnp.arange(100.0).reshape(10, 10), "b": 60 + jnp.ones((6, 7)), "c": jnp.ones(3)}
    mask = jc.magnitude_mask(params, 0.5)
    shuffled = [jc.prune.shuffled_mask(mask, key=jax.random.key(seed)) for seed in (0, 0, 1)]
    for name, leaf in mask.items():
        assert all(other[name].sum() == leaf.sum() for other in shuffled)
        assert all(other[name].shape == leaf.shape for other in shuffled)
        np.testing.assert_array_equal(shuffled[0][name], shuffled[1][name])
    assert not np.array_equal(shuffled[0]["a"], mask["a"])
    assert not np.array_equal(shuffled[0]["a"], shuffled[2]["a"])
    assert shuffled[0]["c"].all()
    inside = jax.jit(jc.prune.shuffled_mask)(mask, key=jax.random.key(0))
    np.testing.assert_array_equal(inside["a"], shuffled[0]["a"])


def test_places_of_shuffled_masks_are_any():
    """Of 2000 draws each of four places is the kept one in a quarter, within five deviations."""
    mask = {"w": jnp.array([True, False, False, False])}
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.vmap(lambda key: jc.prune.shuffled_mask(mask, key=key)["w"])(keys)
    np.testing.assert_allclose(drawn.sum(0), 500, atol=97)


@pytest.mark.parametrize("leaf", [jnp.ones(3), np.array([0, 1])])
def test_only_booleans_are_shuffled(leaf):
    with pytest.raises(TypeError, match="^w: a mask must be of booleans, got (float32|int64)"):
        jc.prune.shuffled_mask({"w": leaf}, key=jax.random.key(0))


def test_two_of_four_along_the_input_axis():
    kernel = jnp.array([[1.0, 5.0], [4.0, 5.0], [3.0, 5.0], [-2.0, 5.0]])
    mask = jc.prune.nm_mask({"w": kernel})["w"]
    assert mask[:, 0].tolist() == [False, True, True, False]
    assert mask[:, 1].tolist() == [True, True, False, False]  # ties keep the lower index


def test_two_of_four_in_a_convolution_runs_over_input_channels():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 8, 5))
    mask = np.asarray(jc.prune.nm_mask({"w": kernel})["w"])
    groups = mask.reshape(3, 3, 2, 4, 5)
    assert (groups.sum(axis=3) == 2).all()


def test_nm_errors():
    with pytest.raises(ValueError, match=r"w: the length of axis -2 must be a multiple of m=4"):
        jc.prune.nm_mask({"w": jnp.ones((6, 2))})
    with pytest.raises(ValueError, match="1 <= n <= m, got 5:4"):
        jc.prune.nm_mask({"w": jnp.ones((4, 2))}, 5, 4)


def test_erk_meets_the_overall_sparsity_and_caps_small_layers():
    shapes = {"a": (1, 1, 3, 16), "b": (512, 256), "c": (256, 10)}
    params = {name: jnp.ones(shape) for name, shape in shapes.items()}
    by_path = jc.prune.erk_sparsities(params, 0.9)
    sizes = {name: np.prod(shape) for name, shape in shapes.items()}
    removed = sum(by_path[name] * sizes[name] for name in shapes)
    assert removed == pytest.approx(0.9 * sum(sizes.values()))
    assert all(0 <= s < 1 for s in by_path.values())
    assert by_path["a"] == by_path["c"] == 0.0 < by_path["b"]
    jc.layerwise_mask(params, by_path)


def test_erk_densities_follow_the_rule():
    shapes = {"b": (512, 256), "c": (256, 100)}
    by_path = jc.prune.erk_sparsities(
        {name: jnp.ones(shape) for name, shape in shapes.items()}, 0.9
    )
    eps = {n: (1 - by_path[n]) * np.prod(shapes[n]) / sum(shapes[n]) for n in shapes}
    assert eps["b"] == pytest.approx(eps["c"])


@pytest.mark.parametrize("integer", [int, np.int32, np.uint8])
def test_patterns_are_integers_of_any_library(integer):
    kernel = jnp.array([[1.0], [3.0], [2.0], [0.5]])
    mask = jc.prune.nm_mask({"w": kernel}, integer(1), integer(2))["w"]
    assert np.ravel(mask).tolist() == [False, True, True, False]


@pytest.mark.parametrize("pattern", [(0, 4), (5, 4), (2.0, 4), (2, "4"), (True, 4), (None, None)])
def test_what_is_no_pattern(pattern):
    assert is_pattern(4, 4) and is_pattern(1, 1)
    assert not is_pattern(*pattern)


def test_erk_by_hand():
    # Densities 2 eps and 20/100 eps; the budget is 52 of 104 weights: the small layer is full.
    by_path = jc.prune.erk_sparsities({"s": jnp.ones((2, 2)), "l": jnp.ones((10, 10))}, 0.5)
    assert by_path["s"] == 0.0
    assert by_path["l"] == pytest.approx(0.52)


@pytest.mark.parametrize("sparsity", [1.0, 1.2, 90, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("make", [jc.magnitude_mask, jc.layerwise_mask, jc.prune.erk_sparsities])
def test_sparsity_is_a_fraction(make, sparsity):
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\), got .*percentage"):
        make(two_layers(), sparsity)


def test_sparsity_is_a_number():
    with pytest.raises(TypeError, match="sparsity must be a number"):
        jc.magnitude_mask(two_layers(), "half")  # pyright: ignore


def test_nan_names_tensor_count_and_first_index():
    params = {"w": jnp.ones((3, 3)).at[1, 2].set(jnp.nan).at[2, 0].set(jnp.nan)}
    with pytest.raises(ValueError, match=r"w: must be finite, got 2 .* at \(1, 2\)"):
        jc.magnitude_mask(params, 0.5)


def test_huge_finite_weights_are_no_error():
    params = {"w": jnp.full((2, 2), 3e38, jnp.float32)}
    assert np.sum(np.asarray(jc.magnitude_mask(params, 0.5)["w"])) == 2


def test_empty_scope_is_an_error():
    with pytest.raises(ValueError, match="no leaf is chosen out of 1"):
        jc.magnitude_mask({"bias": jnp.ones(3)}, 0.5)
    with pytest.raises(ValueError, match="no leaf is chosen"):
        jc.magnitude_mask(two_layers(), 0.5, scope=jc.scopes.matching("nothing"))


def test_scope_by_path():
    mask = jc.magnitude_mask(two_layers(), 0.5, scope=jc.scopes.matching("^dense/"))
    assert mask["conv"]["kernel"].all()
    assert np.sum(~np.asarray(mask["dense"]["kernel"])) == 2


def test_scope_everything_takes_biases():
    params = {"w": jnp.ones((2, 2)), "b": jnp.zeros(4)}
    mask = jc.magnitude_mask(params, 0.5, scope=jc.scopes.everything)
    assert mask["w"].all() and not mask["b"].any()


def test_integers_and_empty_leaves_are_left_alone():
    params = {"w": jnp.ones((2, 2)), "step": jnp.array(3), "none": jnp.zeros((0, 4)), "n": None}
    mask = jc.magnitude_mask(params, 0.5)
    assert mask["step"].shape == () and mask["none"].shape == (0, 4) and mask["n"] is None


def test_single_weight_stays():
    assert jc.magnitude_mask({"w": jnp.ones((1, 1))}, 0.99)["w"].all()


def test_not_an_array_is_a_type_error():
    with pytest.raises(TypeError, match="act: leaves must be arrays, got function"):
        jc.magnitude_mask({"w": jnp.ones((2, 2)), "act": lambda x: x}, 0.5)


def test_apply_mask_gives_positive_zeros_and_keeps_dtype():
    params = {"w": jnp.array([[-1.0, 2.0]], jnp.bfloat16)}
    pruned = jc.apply_mask(params, {"w": jnp.array([[False, True]])})
    assert pruned["w"].dtype == jnp.bfloat16
    assert pruned["w"].tolist() == [[0.0, 2.0]]
    assert not np.signbit(np.asarray(pruned["w"], np.float32))[0, 0]


def test_apply_mask_refuses_another_tree():
    with pytest.raises(ValueError, match=r"w: mask must have the shape .*, \(2, 2\), got \(1, 2\)"):
        jc.apply_mask({"w": jnp.ones((2, 2))}, {"w": jnp.ones((1, 2), bool)})
    with pytest.raises(ValueError, match="w: mask must have the leaves of params, got 'v'"):
        jc.apply_mask({"w": jnp.ones((2, 2))}, {"v": jnp.ones((2, 2), bool)})


def test_apply_mask_leaves_other_kinds_of_leaves_as_they_are():
    params = {
        "w": np.full((2, 2), 0.1),
        "flag": jnp.array([True]),
        "big": np.array([2**40]),
        "key": jax.random.key(0),
    }
    pruned = jc.apply_mask(params, jc.magnitude_mask(params, 0.5))
    assert pruned["w"].dtype == np.float64 and pruned["w"].ravel().tolist() == [0.1, 0.1, 0, 0]
    assert pruned["flag"].dtype == bool and pruned["big"][0] == 2**40
    assert pruned["key"] is params["key"]


def test_a_score_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="bias: score must have the shape of params"):
        jc.global_mask(
            {"bias": jnp.ones(2), "w": jnp.ones((2, 2))},
            0.5,
            score=lambda params: {**params, "bias": jnp.ones(3)},
        )


def test_nm_takes_integers():
    with pytest.raises(ValueError, match="must be integers"):
        jc.prune.nm_mask({"w": jnp.ones((4, 2))}, 2.5, 4)  # pyright: ignore
    with pytest.raises(ValueError, match="n:m must be integers"):
        jc.prune.nm_mask({"w": jnp.ones((4, 2))}, True, 4)


def test_paths_that_mean_two_leaves_are_refused_where_paths_choose():
    params = {"a": {"b": jnp.ones((2, 2))}, "a/b": jnp.ones((2, 2))}
    with pytest.raises(ValueError, match="a/b: a path must mean one leaf"):
        jc.prune.erk_sparsities(params, 0.5)


def test_erk_takes_scalars_and_vectors_for_full():
    params = {"w": jnp.ones((50, 50)), "b": jnp.ones(5), "s": jnp.ones(())}
    by_path = jc.prune.erk_sparsities(params, 0.5, scope=jc.scopes.everything)
    assert by_path["s"] == by_path["b"] == 0.0
    jc.layerwise_mask(params, by_path, scope=jc.scopes.everything)
