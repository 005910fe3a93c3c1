import math
import re
import weakref

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import jaxcompress as jc
from jaxcompress.artifact.writer import encoded, write
from jaxcompress.oneshot import _thresholds
from jaxcompress.oneshot._thresholds import find_thresholds, remove_smallest
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.oneshot.stream import prune
from jaxcompress.oneshot.target import aim
from jaxcompress.oneshot.ways import Treatment

RNG = np.random.default_rng(0)


def tree(dtype=np.float32, seed=0):
    """With many ties, both zeros, subnormals, and leaves out of the scope."""
    rng = np.random.default_rng(seed)
    rounded = np.round(rng.standard_normal((31, 40)), 1)
    rounded[:2] = [[0.0], [-0.0]]
    rounded[2] = 1e-40
    return {
        "b": {"kernel": rounded.astype(dtype), "bias": np.full(40, np.nan, np.float32)},
        "a": [np.round(rng.standard_normal((3, 3, 7)), 1).astype(np.float32)],
        "steps": np.arange(6, dtype=np.int64).reshape(2, 3),
        "empty": np.zeros((0, 4), np.float32),
    }


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.filterwarnings("ignore:.*fewer than")
@pytest.mark.parametrize("sparsity", [0, 0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, jnp.bfloat16])
def test_it_is_pruning_by_magnitude_then_kmeans(dtype, sparsity):
    params = tree(dtype)
    expected = jc.kmeans(jc.apply_mask(params, jc.magnitude_mask(params, sparsity)), 5)
    assert_same(jc.compress(params, sparsity=sparsity, clusters=5, max_error=1), expected)


def test_exactly_so_many_go_and_ties_keep_the_lower_index():
    params = {"a": np.ones((2, 3), np.float32), "b": -np.ones((2, 2), np.float32)}
    small = jc.dense(jc.compress(params, sparsity=0.3, clusters=2))
    np.testing.assert_array_equal(small["a"], np.ones((2, 3)))
    np.testing.assert_array_equal(small["b"], [[-1, 0], [0, 0]])


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(
        np.float32,
        st.integers(1, 60),
        elements=st.floats(-4, 4, width=32) | st.sampled_from([0.0, -0.0, 1.0, 1e-45, -3.4e38]),
    ),
    st.data(),
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_streamed_threshold_is_exact(dtype, values, data):
    values = values.astype(dtype)
    removed = data.draw(st.integers(1, values.size))
    parts = np.split(values, [values.size // 3, values.size // 2])
    thresholds = find_thresholds(lambda: iter(parts), removed, width=8 * values.itemsize)
    kept = list(map(remove_smallest, parts, thresholds))
    order = np.argsort(np.abs(values) + 0.0, kind="stable")
    # Of the ties at the threshold the lower indices stay, so the higher go.
    edge = np.abs(values)[order[removed - 1]]
    ties = np.flatnonzero(np.abs(values) == edge)
    below = np.flatnonzero(np.abs(values) < edge)
    gone = np.concatenate([below, ties[len(ties) - (removed - len(below)) :]])
    expected = values.copy()
    expected[gone] = 0
    np.testing.assert_array_equal(np.concatenate(kept), expected)


def test_leaves_are_loaded_one_at_a_time_and_only_when_asked():
    params = {name: np.random.default_rng(ord(name)).standard_normal((8, 8)) for name in "abc"}
    loads = []

    class Watched(TreeSource):
        def load(self, index):
            loads.append(self.paths[index])
            return super().load(index)

    pruning = prune(Watched(params), 0.5)
    assert loads == list("abc") * 5  # are they finite; then sixteen bits a pass, of float64
    loads.clear()
    results = pruning.all_leaves(TREATMENTS, [])
    assert [next(results)[0], *loads] == ["a", "a"]


TREATMENTS = Treatments(Treatment(way="relative", value=0.25))


class Fresh(TreeSource):
    """Loads copies, and sees whether an earlier one is still held when the next is asked for."""

    def __init__(self, params):
        super().__init__(params)
        self.loaded = []

    def load(self, index):
        assert all(array() is None for array in self.loaded), self.paths[index]
        array = super().load(index).copy()
        self.loaded.append(weakref.ref(array))
        return array


@pytest.mark.parametrize("sparsity", [0, 0.5])
def test_no_tensor_is_held_while_the_next_is_loaded(sparsity):
    params = {name: np.random.default_rng(ord(name)).standard_normal((40, 500)) for name in "abcd"}
    source = Fresh(params | {"bias": np.ones(3)})
    pruning = prune(source, sparsity)
    assert list(map(len, pruning.all_leaves(TREATMENTS, []))) == [2] * 5
    sizes = []
    aim(pruning, TREATMENTS, 10**6, lambda tried: sizes.append(10**6 - 1) or sizes[-1])
    assert len(sizes) == 1 and len(source.loaded) > 8


def test_blocks_of_a_tensor_are_pruned_as_one(monkeypatch):
    params = {"a": RNG.integers(-3, 4, (7, 9)).astype("f"), "b": 3 * RNG.normal(size=(5, 4))}
    params["c"] = params["a"][:, :3].astype(jnp.bfloat16)
    expected = [prune(TreeSource(params), 0.6).pruned(index) for index in range(3)]
    monkeypatch.setattr(_thresholds, "_BLOCK", 5)
    pruning = prune(TreeSource(params), 0.6)
    for index in (2, 0, 1):  # in any order
        np.testing.assert_array_equal(pruning.pruned(index), expected[index])
    mask = jc.magnitude_mask(params, 0.6)
    for array, name in zip(expected, "abc", strict=True):
        np.testing.assert_array_equal(array, np.where(mask[name], params[name], 0))


def test_leaves_out_of_the_scope_are_kept_exactly():
    params = tree()
    small = jc.compress(params, sparsity=0.5, scope=jc.scopes.matching("b/"))
    assert isinstance(small["b"]["kernel"], jc.Clustered)  # of few values
    for kept, original in (
        (small["a"][0], params["a"][0]),
        (small["steps"], params["steps"]),
        (small["b"]["bias"], params["b"]["bias"]),
    ):
        assert kept is original


def test_a_leaf_whose_weights_would_all_go_is_refused():
    params = {"large": np.full((4, 4), 9.0, "f"), "small": np.full((4, 4), 0.1, "f")}
    with pytest.raises(ValueError, match="small: pruning must leave something .* its 16 weights"):
        jc.compress(params, sparsity=0.6)


def test_what_is_compressed_already_may_be_compressed_again():
    params = tree()
    once = jc.compress(params, sparsity=0.5, clusters=4)
    assert_same(jc.compress(once, sparsity=0.5, clusters=4), once)


def test_modules_and_single_arrays_keep_their_kind():
    linear = eqx.nn.Linear(6, 5, key=jax.random.key(0))
    assert isinstance(jc.dense(jc.compress(linear, clusters=3)), eqx.nn.Linear)
    assert isinstance(jc.compress(np.eye(3)), jc.Clustered)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"sparsity": 1.0}, ValueError, "sparsity must be in [0, 1), got 1.0"),
        ({"sparsity": 90}, ValueError, "not a percentage"),
        ({"sparsity": math.nan}, ValueError, "sparsity must be in"),
        ({"sparsity": "0.5"}, TypeError, "sparsity must be a number"),
        ({"clusters": 0}, ValueError, "k must be in 1 to 1024, got 0"),
        ({"target_bytes": 900}, ValueError, "a file of at most 900 bytes cannot be made with"),
        ({"clusters": 2.5}, TypeError, "k must be an integer"),
        ({"scope": jc.scopes.matching("nothing")}, ValueError, "no leaf is chosen"),
        ({"scope": lambda path, leaf: "steps" in path}, TypeError, "steps: leaves in the scope"),
    ],
)
def test_bad_values_are_refused(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        jc.compress(tree(), **arguments)


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_tensors_that_are_not_finite_are_kept_and_named(sparsity, value):
    params = tree()
    params["a"][0][1, 2, 3] = value
    with pytest.warns(UserWarning, match="^a/0: must be finite to be compressed"):
        small = jc.compress(params, sparsity=sparsity)
    assert small["a"][0] is params["a"][0]


def test_a_network_of_nan_is_refused():
    params = {"a": np.full((9, 9), np.nan, "f"), "b": normal_weights(5, 5)}
    with pytest.raises(ValueError, match="weights must be finite, got NaN in 81 of 106"):
        jc.compress(params)


def test_tracers_are_refused():
    with pytest.raises(TypeError, match="outside of jit"):
        jax.jit(jc.compress)({"kernel": jnp.ones((2, 2))})


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
@pytest.mark.parametrize("target_bytes", [7_000, 9_000, 14_000])
def test_the_file_meets_a_target_size(tmp_path, target_bytes, sparsity):
    rng = np.random.default_rng(1)
    params = {
        "a": rng.standard_normal((90, 200)).astype(np.float32),
        "b": (0.3 * rng.laplace(size=(70, 80))).astype(np.float32),
        "bias": np.zeros(200, np.float32),
    }
    small = jc.compress(params, sparsity=sparsity, target_bytes=target_bytes)
    leaves = zip(["a", "b", "bias"], [small["a"], small["b"], small["bias"]], strict=True)
    source = TreeSource(params)
    size = write(tmp_path / "m.npz", encoded(leaves, source.leaves, "entropy"), source.outline)
    assert size <= target_bytes
    assert size > 0.9 * target_bytes
    assert jc.measure_sparsity(small) >= sparsity


def test_a_generous_target_keeps_nearly_everything():
    params = {"a": normal_weights(200, 100)}
    small = jc.dense(jc.compress(params, target_bytes=10**7))
    error = np.linalg.norm(small["a"] - params["a"]) / np.linalg.norm(params["a"])
    assert error < 1e-3


def normal_weights(*shape):
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)
