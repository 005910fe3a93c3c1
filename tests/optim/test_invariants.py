"""Invariants that hold after every optimizer step, exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxcompress as jc


def quadratic(params):
    """A loss whose gradient never vanishes at zero."""
    return sum(jnp.sum((leaf - 3.0) ** 2) for leaf in jax.tree.leaves(params))


def train(tx, params, state, steps):
    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(quadratic)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def some_params(seed=0):
    keys = jax.random.split(jax.random.key(seed), 2)
    return {
        "conv": {"kernel": jax.random.normal(keys[0], (3, 3, 2, 5)), "bias": jnp.zeros(5)},
        "dense": {"kernel": jax.random.normal(keys[1], (13, 7)), "bias": jnp.zeros(7)},
    }


@pytest.mark.slow
@pytest.mark.parametrize("inner", [optax.adamw(1e-2, weight_decay=0.1), optax.sgd(1e-2, 0.9)])
def test_hold_mask_beats_stale_moments(inner):
    params = some_params()
    params, warm = train(inner, params, inner.init(params), 3)  # moments of a dense net
    mask = jc.magnitude_mask(params, 0.6)
    tx = optax.chain(inner, jc.hold_mask(mask))
    pruned = jc.apply_mask(params, mask)
    tuned, state = train(tx, pruned, (warm, tx.init(pruned)[1]), 5)
    for m, w, before in zip(*map(jax.tree.leaves, (mask, tuned, pruned)), strict=True):
        assert not np.any(np.asarray(w)[~np.asarray(m)])
        assert np.all((np.asarray(w) != np.asarray(before)) | ~np.asarray(m))
    for a, b in zip(
        jax.tree.leaves(jc.optim.current_mask(state)), jax.tree.leaves(mask), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_hold_mask_prunes_weights_that_were_not_zero():
    params = {"w": jnp.array([[1.0, 0.5]])}
    tx = jc.hold_mask({"w": jnp.array([[True, False]])})
    updates, _ = tx.update({"w": jnp.ones((1, 2))}, tx.init(params), params)
    assert optax.apply_updates(params, updates)["w"].tolist() == [[2.0, 0.0]]


def test_hold_mask_needs_params_and_a_mask_that_fits():
    tx = jc.hold_mask({"w": jnp.ones((2, 2), bool)})
    with pytest.raises(ValueError, match="hold_mask: update needs params"):
        tx.update({"w": jnp.ones((2, 2))}, tx.init({"w": jnp.ones((2, 2))}))
    with pytest.raises(ValueError, match=r"w: mask must have the shape .*, \(3, 2\), got \(2, 2\)"):
        tx.init({"w": jnp.ones((3, 2))})
    with pytest.raises(ValueError, match="v: mask must have the leaves of params, got 'w'"):
        tx.init({"w": jnp.ones((2, 2)), "v": jnp.ones(2)})


def shared_params(k=4, seed=0):
    params = some_params(seed)
    mask = jc.magnitude_mask(params, 0.5)
    return jc.kmeans(jc.apply_mask(params, mask), k, mask=mask)


@pytest.mark.slow
@pytest.mark.parametrize("inner", [optax.adamw(1e-2, weight_decay=0.1), optax.sgd(1e-2, 0.9)])
def test_members_stay_equal_to_the_bit(inner):
    shared = shared_params()
    tx = jc.share_centroids(inner, shared)
    params = jc.dense(shared)
    tuned, _ = train(tx, params, tx.init(params), 25)
    for name in ("conv", "dense"):
        before, after = shared[name]["kernel"], np.asarray(tuned[name]["kernel"])
        codes = np.asarray(before.codes)
        assert not after[codes == 0].any()
        for code in range(1, 5):
            assert np.unique(after[codes == code]).size == 1
        assert np.all(after[codes > 0] != np.asarray(before.dense())[codes > 0])
    assert np.all(np.asarray(tuned["dense"]["bias"]) != 0)
    updated = jc.leaves.update_codebooks(shared, tuned)
    for a, b in zip(*map(jax.tree.leaves, (jc.dense(updated), tuned)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_centroid_gradient_is_the_sum_of_its_members():
    shared = {
        "w": jc.Clustered(
            codes=jnp.array([[1, 1, 2, 0]], jnp.uint8), codebook=jnp.array([1.0, 5.0])
        )
    }
    tx = jc.share_centroids(optax.sgd(1.0), shared)
    params = jc.dense(shared)
    gradients = {"w": jnp.array([[0.25, 0.5, 2.0, 9.0]])}
    updates, _ = tx.update(gradients, tx.init(params), params)
    assert updates["w"].tolist() == [[-0.75, -0.75, -2.0, 0.0]]


@pytest.mark.slow
def test_sharing_equals_training_the_codebook_itself():
    shared = shared_params()
    tx = jc.share_centroids(optax.adam(1e-2), shared)
    params = jc.dense(shared)
    tuned, _ = train(tx, params, tx.init(params), 10)

    kernels = {name: leaf["kernel"] for name, leaf in shared.items()}
    books = {name: kernel.codebook for name, kernel in kernels.items()}

    def through_codebooks(books):
        leaves = [
            jc.Clustered(codes=kernels[name].codes, codebook=book).dense()
            for name, book in books.items()
        ]
        return quadratic(leaves)

    adam = optax.adam(1e-2)
    state = adam.init(books)
    for _ in range(10):
        updates, state = adam.update(jax.grad(through_codebooks)(books), state, books)
        books = optax.apply_updates(books, updates)
    expected = jc.leaves.update_codebooks(shared, tuned)
    for name, book in books.items():
        np.testing.assert_allclose(book, expected[name]["kernel"].codebook, rtol=1e-5)


def test_share_centroids_starts_from_shared_weights():
    shared = shared_params()
    tx = jc.share_centroids(optax.sgd(0.1), shared)
    with pytest.raises(ValueError, match=r"conv/kernel: params must be the shared weights"):
        tx.init(some_params(seed=1))
    with pytest.raises(ValueError, match="at least one leaf must be Clustered"):
        jc.share_centroids(optax.sgd(0.1), some_params())


@pytest.mark.slow
def test_shared_bfloat16_stays_shared():
    params = jax.tree.map(lambda w: w.astype(jnp.bfloat16), some_params())
    shared = jc.kmeans(params, 3)
    tx = jc.share_centroids(optax.adam(1e-2), shared)
    tuned, _ = train(tx, jc.dense(shared), tx.init(jc.dense(shared)), 10)
    assert tuned["dense"]["kernel"].dtype == jnp.bfloat16
    assert np.unique(np.asarray(tuned["dense"]["kernel"], np.float32)).size <= 3


@pytest.mark.slow
def test_gradual_pruning_follows_the_cubic_schedule_and_ends_exact():
    params = some_params()
    size = 90 + 91
    tx = optax.chain(optax.sgd(1e-3), jc.gradual_pruning(0.9, begin=2, end=10, every=4))
    schedule = jc.optim.cubic_sparsity(0.9, begin=2, end=10)
    state, previous = tx.init(params), 0
    for step in range(13):
        params, state = train(tx, params, state, 1) if step == 0 else one_more(tx, params, state)
        mask = jc.optim.current_mask(state)
        removed = sum(int(np.sum(~np.asarray(m))) for m in jax.tree.leaves(mask))
        due = {2: 2, 3: 2, 4: 2, 5: 2, 6: 6, 7: 6, 8: 6, 9: 6}.get(step, 10)
        expected = 0 if step < 2 else round(float(schedule(due)) * size)
        assert removed == (round(0.9 * size) if step >= 10 else expected)
        assert removed >= previous
        previous = removed
        for m, w in zip(jax.tree.leaves(mask), jax.tree.leaves(params), strict=True):
            assert not np.any(np.asarray(w)[~np.asarray(m)])


def one_more(tx, params, state):
    updates, state = tx.update(jax.grad(quadratic)(params), state, params)
    return optax.apply_updates(params, updates), state


@pytest.mark.slow
def test_gradual_pruning_never_revives():
    params = some_params()
    tx = optax.chain(optax.adam(0.5), jc.gradual_pruning(0.8, begin=0, end=6))
    state = tx.init(params)
    dead = jax.tree.map(lambda w: np.zeros(w.shape, bool), params)
    for _ in range(8):
        params, state = one_more(tx, params, state)
        now = jax.tree.map(lambda m: ~np.asarray(m), jc.optim.current_mask(state))
        assert all(np.all(n[d]) for n, d in zip(*map(jax.tree.leaves, (now, dead)), strict=True))
        dead = now


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"begin": 5, "end": 5}, "0 <= begin < end"),
        ({"begin": 0, "end": 5, "every": 0}, "every: must be at least 1"),
        ({"begin": 0, "end": 5, "initial": 0.95}, "must not be above the final"),
        ({"begin": -1, "end": 5}, "0 <= begin < end"),
    ],
)
def test_gradual_pruning_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        jc.gradual_pruning(0.9, **kwargs)


def test_current_mask_needs_exactly_one():
    params = {"w": jnp.ones((2, 2))}
    with pytest.raises(ValueError, match="must hold one mask, got 0"):
        jc.optim.current_mask(optax.adam(1e-3).init(params))


def one_cluster(dtype=jnp.float32, shape=(64, 64)):
    return jc.kmeans({"w": jnp.ones(shape, dtype)}, 1)


@pytest.mark.slow
def test_gradients_of_small_types_are_summed_in_single_precision():
    shared = one_cluster(jnp.bfloat16)
    params = jc.dense(shared)
    tx = jc.share_centroids(optax.sgd(2.0**-12), shared)
    updates, _ = tx.update(params, tx.init(params), params)
    assert float(updates["w"][0, 0]) == -1.0  # 4 096 ones; bfloat16 stops counting at 256


def test_inner_sees_the_tree_and_the_ranks_of_the_params():
    shared = {**one_cluster(), "b": jnp.ones(3)}
    params = jc.dense(shared)
    decay = optax.add_decayed_weights(
        0.5, mask=lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree)
    )
    tx = jc.share_centroids(optax.chain(decay, optax.scale(-1.0)), shared)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zero, tx.init(params), params)
    assert updates["w"][3, 3] == -0.5 and updates["b"][0] == 0.0
    labels = {"w": "slow", "b": "fast"}
    parts = {"slow": optax.sgd(1.0), "fast": optax.sgd(10.0)}
    tx = jc.share_centroids(optax.multi_transform(parts, labels), shared)
    updates, _ = tx.update({**zero, "b": jnp.ones(3)}, tx.init(params), params)
    assert updates["b"][0] == -10.0


def test_inner_gets_its_extra_arguments():
    shared = one_cluster()
    params = jc.dense(shared)
    inner = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())
    tx = jc.share_centroids(inner, shared)
    updates, _ = tx.update(params, tx.init(params), params, value=1.0)
    assert updates["w"].shape == (64, 64)


def test_donated_states_leave_the_mask_and_the_codes_alone():
    params = some_params()
    mask = jc.magnitude_mask(params, 0.5)
    shared = jc.kmeans(params, 3, mask=mask)
    params = jc.dense(shared)
    tx = optax.chain(jc.share_centroids(optax.sgd(0.1), shared), jc.hold_mask(mask))

    def step(params, state):
        updates, state = tx.update(jax.grad(quadratic)(params), state, params)
        return optax.apply_updates(params, updates), state

    copied = jax.tree.map(jnp.copy, params)
    tuned, _ = jax.jit(step, donate_argnums=(0, 1))(copied, tx.init(params))
    jc.leaves.update_codebooks(shared, tuned)
    assert jc.measure_sparsity(jc.apply_mask(tuned, mask)) == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
def test_updates_that_are_none_do_not_shift_the_others():
    params = {"a": jnp.array([1, 2]), "w": jnp.ones((3, 2)), "z": jnp.ones((3, 2))}
    mask = {"a": jnp.ones(2, bool), "w": jnp.zeros((3, 2), bool), "z": jnp.ones((3, 2), bool)}
    updates = {"a": None, "w": params["w"], "z": 5 * params["z"]}
    tx = jc.hold_mask(mask)
    held, _ = tx.update(updates, tx.init(params), params)
    assert held["a"] is None
    assert held["w"][0, 0] == -1 and held["z"][0, 0] == 5
    shared = jc.kmeans(params, 1, scope=jc.scopes.matching("w"))
    tx = jc.share_centroids(optax.sgd(1.0), shared)
    moved, _ = tx.update(updates, tx.init(params), params)
    assert moved["a"] is None
    assert moved["w"][0, 0] == -6 and moved["z"][0, 0] == -5


def test_updates_narrower_than_params_still_reach_zero():
    params = {"w": jnp.array([[0.3, 0.1]], jnp.float32)}
    tx = jc.hold_mask({"w": jnp.array([[True, False]])})
    updates, _ = tx.update({"w": jnp.ones((1, 2), jnp.bfloat16)}, tx.init(params), params)
    assert optax.apply_updates(params, updates)["w"][0, 1] == 0.0


def test_gradient_accumulation_around_a_held_mask():
    params = some_params()
    mask = jc.magnitude_mask(params, 0.5)
    pruned = jc.apply_mask(params, mask)
    tx = optax.MultiSteps(optax.chain(optax.adamw(1e-2), jc.hold_mask(mask)), 2)
    tuned, _ = train(tx, pruned, tx.init(pruned), 4)
    assert jc.measure_sparsity(tuned) == jc.measure_sparsity(pruned)
