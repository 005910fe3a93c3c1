"""K-Means: exact against brute force, and the promises around it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.sharing._runs import Runs


def share(values, k, **kwargs):
    return jc.kmeans({"w": np.asarray(values, np.float32).reshape(1, -1)}, k, **kwargs)["w"]


def inertia(leaf, values):
    members = np.asarray(leaf.codes).ravel() > 0
    difference = np.asarray(leaf.dense(), np.float64).ravel() - np.asarray(values, np.float64)
    return float(np.sum(difference[members] ** 2))


def best_inertia(values, k):
    """Try every way to cut the sorted values into k runs."""
    ordered = np.sort(np.asarray(values, np.float64))
    best = np.inf
    for cuts in itertools.combinations(range(1, len(ordered)), min(k, len(ordered)) - 1):
        runs = np.split(ordered, cuts)
        best = min(best, sum(np.sum((run - run.mean()) ** 2) for run in runs))
    return best


FINITE = st.floats(-100, 100, width=32).filter(lambda x: x != 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fewer than")
@settings(max_examples=120, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=9), st.integers(1, 5))
def test_optimal_on_small_arrays(values, k):
    leaf = share(values, k)
    scale = max(abs(v) for v in values) ** 2
    assert inertia(leaf, values) <= best_inertia(values, k) + 1e-5 * scale


@pytest.mark.parametrize("k", [2, 5, 16])
@pytest.mark.parametrize("name", ["normal", "heavy tail", "outlier", "rounded", "two humps"])
def test_refined_clusterings_equal_the_full_dynamic_programme(name, k):
    rng = np.random.default_rng(0)
    values = {
        "normal": rng.standard_normal(1500),
        "heavy tail": rng.standard_t(2, 1500),
        "outlier": np.append(rng.standard_normal(1499), 1e4),
        "rounded": np.round(rng.standard_normal(1500), 2) + 0.001,
        "two humps": np.concatenate([rng.normal(-3, 1, 750), rng.normal(3, 1, 750)]),
    }[name].astype(np.float32)
    runs = Runs(np.sort(values))
    exact = runs.means(runs.optimal(np.arange(runs.size + 1), k))
    difference = values[:, None].astype(np.float64) - exact[None]
    best = np.sum(np.min(difference**2, axis=1))
    assert inertia(share(values, k), values) <= best * (1 + 1e-4)


def test_every_member_has_the_nearest_entry():
    values = np.random.default_rng(1).standard_normal(5000).astype(np.float32)
    leaf = share(values, 7)
    codebook = np.asarray(leaf.codebook, np.float64)
    distance = np.abs(values[:, None].astype(np.float64) - codebook)
    np.testing.assert_array_equal(np.asarray(leaf.codes).ravel() - 1, distance.argmin(axis=1))
    assert (np.diff(codebook) > 0).all()


def test_zeros_keep_their_own_code():
    leaf = share([0.0, -1.0, 0.0, 1.0, 1.1], 2)
    assert leaf.codes.tolist() == [[0, 1, 0, 2, 2]]
    assert leaf.dense()[0, 0] == 0 and leaf.dense()[0, 2] == 0


def test_the_mask_says_who_is_a_member():
    mask = {"w": np.array([[True, True, False, True]])}
    leaf = share([0.0, 2.0, 5.0, 2.0], 2, mask=mask)
    assert leaf.codes.tolist() == [[1, 2, 0, 2]]
    assert leaf.codebook.tolist() == [0.0, 2.0]


def test_fewer_distinct_weights_than_clusters_is_reported():
    with pytest.warns(UserWarning, match="w: its distinct weights .* has 2 entries"):
        leaf = share([1.0, 1.0, 3.0, 0.0], 16)
    assert leaf.codebook.tolist() == [1.0, 3.0]


def test_a_layer_of_zeros_gets_an_empty_codebook():
    with pytest.warns(UserWarning, match="has 0 entries"):
        leaf = share([0.0, 0.0], 4)
    assert leaf.codebook.shape == (0,)
    assert leaf.dense().tolist() == [[0.0, 0.0]]


def test_one_cluster_is_the_mean():
    assert share([1.0, 2.0, 6.0], 1).codebook.tolist() == [3.0]


@pytest.mark.slow
def test_hundreds_of_clusters_use_wider_codes():
    values = np.random.default_rng(0).standard_normal(3000)
    leaf = share(values, 300)
    assert leaf.codes.dtype == jnp.uint16
    assert len(leaf.codebook) == 300 and leaf.codes.max() == 300


def test_a_large_offset_does_not_cost_precision():
    values = np.concatenate([np.full(50, 1000.0), np.full(50, 1000.25), np.full(50, 1001.0)])
    np.testing.assert_array_equal(share(values, 3).codebook, [1000.0, 1000.25, 1001.0])


def test_bfloat16_keeps_its_dtype():
    params = {"w": jnp.array([[1.0, 1.5, 8.0, 9.0]], jnp.bfloat16)}
    leaf = jc.kmeans(params, 2)["w"]
    assert leaf.codebook.dtype == jnp.bfloat16
    assert leaf.dense().tolist() == [[1.25, 1.25, 8.5, 8.5]]


def test_only_the_scope_is_shared():
    params = {"kernel": jnp.arange(1.0, 9).reshape(2, 4), "bias": jnp.arange(3.0)}
    shared = jc.kmeans(params, 2)
    assert isinstance(shared["kernel"], jc.Clustered)
    assert shared["bias"] is params["bias"]


@pytest.mark.parametrize("k", [0, -1, 1025])
def test_clusters_out_of_range(k):
    with pytest.raises(ValueError, match=f"k must be in 1 to 1024, got {k}"):
        share([1.0, 2.0], k)


@pytest.mark.parametrize("k", [2.0, "16", True, None])
def test_clusters_of_another_kind(k):
    with pytest.raises(TypeError, match="k must be an integer"):
        share([1.0, 2.0], k)


def test_nan_is_named():
    with pytest.raises(ValueError, match=r"w: must be finite, got 1 .* \(0, 1\)"):
        share([1.0, np.nan], 2)


def test_under_jit_is_an_error_with_a_remedy():
    with pytest.raises(TypeError, match="call it outside of jit"):
        jax.jit(lambda p: jc.dense(jc.kmeans(p, 2)))({"w": jnp.ones((2, 2))})


def test_update_codebooks_reads_the_trained_values():
    shared = jc.kmeans({"w": jnp.array([[1.0, 1.0, 4.0, 0.0]]), "b": jnp.zeros(2)}, 2)
    trained = {"w": jnp.array([[2.0, 2.0, 3.0, 0.0]]), "b": jnp.ones(2)}
    updated = jc.leaves.update_codebooks(shared, trained)
    assert updated["w"].codebook.tolist() == [2.0, 3.0]
    assert updated["b"].tolist() == [1.0, 1.0]
    trained["w"] = jnp.array([[2.0, 2.5, 3.0, 0.0]])
    with pytest.raises(ValueError, match="w: .* 1 of 4 that differ"):
        jc.leaves.update_codebooks(shared, trained)


def test_weights_that_are_few_enough_are_kept_to_the_bit():
    values = np.array([-1e10, 1e-30, 2e-30, 1e-20, 1.0, -1.0], np.float32)
    leaf = share(values, 6)
    np.testing.assert_array_equal(leaf.dense().ravel(), values)
    assert len(leaf.codebook) == 6


def test_masks_of_zeros_and_ones_are_masks():
    for dtype in (np.int32, np.uint8, np.float32):
        leaf = share([1.0, 2.0, 3.0, 0.0, 5.0], 2, mask={"w": np.array([[1, 1, 1, 0, 1]], dtype)})
        assert leaf.codes.tolist() == [[1, 1, 1, 0, 2]]


def test_codes_of_another_shape_or_nan_are_refused_after_tuning():
    shared = {"w": share([1.0, 2.0], 2)}
    with pytest.raises(ValueError, match="w: the shape must be"):
        jc.leaves.update_codebooks(shared, {"w": jnp.ones((2, 1))})
    with pytest.raises(ValueError, match="w: must be finite"):
        jc.leaves.update_codebooks(shared, {"w": jnp.full((1, 2), jnp.nan)})
