"""Masks of second order: what goes is exact, what stays is fitted, and no leaf is worse for it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.products.moments import Layer, Moments


def moments_of(x, channels):
    """Return what `input_moments` gives for `x @ w`."""
    n = x.shape[1]
    entries = np.arange(n * channels).reshape(1, n, channels)
    return Moments({"w": [Layer(entries, (x.T @ x)[None].astype(np.float64))]}, {})


def correlated(n, channels, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, max(n // 4, 1))) @ rng.normal(size=(max(n // 4, 1), n))
    return x + 0.1 * rng.normal(size=x.shape), rng.normal(size=(n, channels)).astype("f")


def error(x, w, new):
    return float(np.sum((x @ (np.asarray(new, float) - w)) ** 2))


def test_two_weights_by_hand():
    # G^-1 = [[4, -2], [-2, 4]] / 3: the first costs 1 * 3/4, the second 4 * 3/4, and the second
    # takes over what both inputs have in common: 2 + 0.5 * 1.
    x = np.linalg.cholesky([[1.0, 0.5], [0.5, 1.0]]).T
    w = np.array([[1.0], [2.0]])
    new, mask = jc.prune.fit_mask({"w": w}, moments_of(x, 1), sparsity=0.5, damping=1e-9)
    assert mask["w"].tolist() == [[False], [True]]
    np.testing.assert_allclose(new["w"], [[0], [2.5]], rtol=1e-6)
    np.testing.assert_allclose(error(x, w, new["w"]), 0.75, rtol=1e-6)


def test_a_weight_of_inputs_that_others_know_goes_before_a_smaller_one():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    x[:, 1] = x[:, 0] + 0.01 * rng.normal(size=100)
    w = np.array([[1.0], [1.1], [0.5]])
    new, mask = jc.prune.fit_mask({"w": w}, moments_of(x, 1), sparsity=1 / 3, damping=1e-9)
    assert mask["w"][2, 0] and not mask["w"][:2].all()
    np.testing.assert_allclose(np.sum(new["w"][:2]), 2.1, rtol=0.01)


@pytest.mark.parametrize("n", [5, 12])
def test_one_removed_weight_is_the_closed_form(n):
    x, w = correlated(n, 1)
    gram = x.T @ x
    damped = gram + 0.01 * np.mean(np.diag(gram)) * np.eye(n)
    inverse = np.linalg.inv(damped)
    new, mask = jc.prune.fit_mask({"w": w}, moments_of(x, 1), sparsity=1 / n)
    (gone,) = np.flatnonzero(~np.asarray(mask["w"][:, 0]))
    wanted = w[:, 0] - w[gone, 0] / inverse[gone, gone] * inverse[:, gone]
    np.testing.assert_allclose(new["w"][:, 0], wanted, atol=2e-4)


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, channels = 4 * draw(st.integers(1, 4)), draw(st.integers(1, 4))
    x = rng.normal(size=(draw(st.integers(1, 12)), n)) @ rng.normal(size=(n, n))
    x *= rng.random(n) < 0.8  # some inputs never occur
    w = rng.normal(size=(n, channels)) * (rng.random((n, channels)) < 0.9)
    return x * 10.0 ** draw(st.integers(-6, 6)), (w * 10.0 ** draw(st.integers(-9, 9))).astype("f")


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(problems(), st.floats(0, 0.99))
def test_the_error_is_never_above_that_of_the_magnitude_mask(problem, sparsity):
    x, w = problem
    new, mask = jc.prune.fit_mask({"w": w}, moments_of(x, w.shape[1]), sparsity=sparsity)
    plain = jc.magnitude_mask({"w": w}, sparsity)["w"]
    assert np.sum(~mask["w"]) == np.sum(~plain)
    assert not np.asarray(new["w"])[~np.asarray(mask["w"])].any()
    bound = error(x, w, w * plain) * (1 + 1e-5) + 1e-10 * np.sum((np.abs(x) @ np.abs(w)) ** 2)
    assert error(x, w, new["w"]) <= bound


@settings(deadline=None, max_examples=20)
@given(problems(), st.sampled_from([(2, 4), (1, 4), (1, 2), (4, 4)]))
@pytest.mark.slow
def test_patterns_are_exact(problem, pattern):
    x, w = problem
    n, m = pattern
    new, mask = jc.prune.fit_mask({"w": w}, moments_of(x, w.shape[1]), pattern=pattern)
    assert (np.asarray(mask["w"]).reshape(-1, m, w.shape[1]).sum(axis=1) == n).all()
    assert not np.asarray(new["w"])[~np.asarray(mask["w"])].any()
    plain = jc.prune.nm_mask({"w": w}, n, m)["w"]
    bound = error(x, w, w * plain) * (1 + 1e-5) + 1e-10 * np.sum((np.abs(x) @ np.abs(w)) ** 2)
    assert error(x, w, new["w"]) <= bound


def test_equal_weights_go_by_index_as_in_the_magnitude_mask():
    x = np.diag([3.0, 1.0, 2.0, 4.0])
    new, mask = jc.prune.fit_mask({"w": np.ones((4, 2), "f")}, moments_of(x, 2), sparsity=0.5)
    assert error(x, np.ones((4, 2)), new["w"]) == 2 * (1 + 4)
    assert mask["w"].tolist() == [[True] * 2, [False] * 2, [False] * 2, [True] * 2]


def test_correlated_inputs_leave_a_fraction_of_the_error():
    x, w = correlated(200, 8)  # more rows than a block
    new, mask = jc.prune.fit_mask({"w": w}, moments_of(x, 8), sparsity=0.5)
    assert np.sum(~mask["w"]) == 800
    assert error(x, w, new["w"]) < 0.1 * error(x, w, w * jc.magnitude_mask({"w": w}, 0.5)["w"])


def convolutions(p, x):
    numbers = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(x, p["conv"], (1, 1), "SAME", dimension_numbers=numbers)

    def turn(y, kernel):
        return jax.nn.relu(y @ kernel), None

    return jax.lax.scan(turn, jax.nn.relu(y).mean((1, 2)), p["stack"])[0] @ p["out"]


@pytest.mark.slow
def test_convolutions_and_stacked_layers():
    rng = np.random.default_rng(0)
    shapes = {"conv": (3, 3, 4, 8), "stack": (3, 8, 8), "out": (8, 2)}
    params = {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in shapes.items()}
    moments = jc.quantization.input_moments(
        convolutions, params, [rng.normal(size=(8, 6, 6, 4)).astype("f")]
    )
    new, mask = jc.prune.fit_mask(params, moments, sparsity={"conv": 0.7, "stack": 0.5})
    removed = {k: int(np.sum(~leaf)) for k, leaf in mask.items()}
    assert removed == {"conv": round(0.7 * 288), "stack": 96, "out": 0}
    np.testing.assert_array_equal(new["out"], params["out"])
    halves, mask = jc.prune.fit_mask(params, moments, pattern=(2, 4))
    for leaf in jax.tree.leaves(mask):  # along the input channels, as nm_mask has them
        lanes = np.moveaxis(np.asarray(leaf), -2, -1)
        assert (lanes.reshape(-1, 4).sum(axis=1) == 2).all()
    assert jax.tree.structure(halves) == jax.tree.structure(params)


@pytest.mark.slow
def test_dtypes_stay_and_the_mask_can_be_held():
    x, w = correlated(8, 3)
    for params in ({"w": w, "b": w[0]}, {"w": jnp.asarray(w, jnp.bfloat16), "b": w[0]}):
        new, mask = jc.prune.fit_mask(params, moments_of(x, 3), sparsity=0.5)
        assert new["w"].dtype == params["w"].dtype and type(new["w"]) is type(params["w"])
        assert mask["b"].all() and new["b"] is params["b"]
        tx = optax.chain(optax.adam(0.1), jc.hold_mask(mask))
        updates, _ = tx.update(jax.tree.map(jnp.ones_like, new), tx.init(new), new)
        moved = optax.apply_updates(new, updates)
        assert not np.asarray(moved["w"])[~np.asarray(mask["w"])].any()


@pytest.mark.slow
def test_kernels_of_outputs_by_inputs_have_their_neighbours_on_the_last_axis():
    x, w = correlated(8, 4)
    entries = np.arange(32).reshape(4, 8).T[None]
    moments = Moments({"w": [Layer(entries, (x.T @ x)[None])]}, {})
    with pytest.raises(ValueError, match="w: axis 0 must be an input axis, .* axis=-1"):
        jc.prune.fit_mask({"w": w.T}, moments, pattern=(2, 4))
    new, mask = jc.prune.fit_mask({"w": w.T.copy()}, moments, pattern=(2, 4), axis=-1)
    wanted, _ = jc.prune.fit_mask({"w": w}, moments_of(x, 4), pattern=(2, 4))
    np.testing.assert_array_equal(new["w"], wanted["w"].T)
    assert (np.asarray(mask["w"]).reshape(4, 2, 4).sum(axis=-1) == 2).all()


X, W = correlated(8, 3)
ENTRIES = np.arange(24).reshape(1, 8, 3)
REFUSED = {
    "both": ({"sparsity": 0.5, "pattern": (2, 4)}, "sparsity, pattern: must be one of them"),
    "none": ({}, "got both or none"),
    "all": ({"sparsity": 1.0}, "w: sparsity|must be"),
    "no damping": ({"sparsity": 0.5, "damping": 0.0}, "damping: must be finite and above 0"),
    "no pattern": ({"pattern": (5, 4)}, r"pattern: must be integers \(n, m\)"),
    "another length": ({"pattern": (2, 3)}, "w: the length of axis -2 must be a multiple of m=3"),
    "unknown path": ({"sparsity": {"v": 0.5}}, "v: no leaf of that path is in the scope"),
    "other moments": (
        {"sparsity": 0.5, "moments": moments_of(X[:, :4], 3)},
        "w: moments must be those of its layer, got some of 12 weights for 24",
    ),
    "no moments": (
        {"sparsity": 0.5, "moments": Moments({}, {"w": "it stands in a branch"})},
        "moments: must be of all weights in the scope, got none of w: it stands in a branch; leave",
    ),
    "empty pattern": ({"pattern": ()}, "pattern: must be integers"),
    "one number": ({"pattern": 3}, "pattern: must be integers"),
    "infinite moments": (
        {
            "sparsity": 0.5,
            "moments": Moments({"w": [Layer(ENTRIES, np.full((1, 8, 8), np.inf))]}, {}),
        },
        "w: moments of its inputs: must be finite",
    ),
    "path of two leaves": (
        {"sparsity": 0.5, "params": {"a/w": W, "a": {"w": W}}},
        "a/w: a path must mean one leaf",
    ),
    "NaN": ({"sparsity": 0.5, "params": {"w": W * np.nan}}, "w: .*"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    changes, reason = REFUSED[name]
    options = {"params": {"w": W}, "moments": moments_of(X, 3)} | changes
    with pytest.raises(ValueError, match=reason):
        jc.prune.fit_mask(options.pop("params"), options.pop("moments"), **options)


def test_complex_weights_are_refused_by_path():
    with pytest.raises(TypeError, match="w: "):
        jc.prune.fit_mask(
            {"w": W * 1j}, moments_of(X, 3), sparsity=0.5, scope=lambda path, leaf: True
        )


def test_tracers_and_axes_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="fit_mask: params must be concrete"):
        jax.jit(lambda p: jc.prune.fit_mask(p, moments_of(X, 3), sparsity=0.5))({"w": W})
    with pytest.raises(TypeError, match="axis: must be an integer"):
        jc.prune.fit_mask({"w": W}, moments_of(X, 3), pattern=(2, 4), axis=1.5)


def test_leaves_that_lose_nothing_stay_to_the_bit_and_need_no_moments():
    signed = np.where(np.arange(24).reshape(8, 3) < 5, np.float32(-0.0), W)
    new, mask = jc.prune.fit_mask({"w": signed, "v": W}, moments_of(X, 3), sparsity={"w": 0.0})
    assert new["w"].tobytes() == signed.tobytes() and mask["v"].all()


def test_compressed_leaves_are_made_dense_and_the_result_can_be_clustered():
    new, mask = jc.prune.fit_mask(jc.kmeans({"w": W}, 4), moments_of(X, 3), sparsity=0.5)
    assert int(np.sum(~mask["w"])) == 12
    again = jc.dense(jc.kmeans(new, 4))["w"]
    np.testing.assert_array_equal(np.asarray(again) == 0, ~np.asarray(mask["w"]))


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_magnitudes_of_float64_do_not_change_the_mask(scale):
    wide = W.astype(np.float64)
    _, mask = jc.prune.fit_mask({"w": wide * scale}, moments_of(X, 3), sparsity=0.5)
    _, wanted = jc.prune.fit_mask({"w": wide}, moments_of(X, 3), sparsity=0.5)
    np.testing.assert_array_equal(mask["w"], wanted["w"])


def test_results_are_split_as_the_weights_are():
    placed = jax.NamedSharding(jax.make_mesh((1,), ("x",)), jax.P())
    new, mask = jc.prune.fit_mask({"w": jax.device_put(W, placed)}, moments_of(X, 3), sparsity=0.5)
    assert new["w"].sharding == placed and mask["w"].sharding == placed
