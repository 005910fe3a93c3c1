"""The transforms inside of optax's wrappers, which hide parts of the network from them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxcompress as jc


def network():
    keys = jax.random.split(jax.random.key(0), 2)
    return {
        "a": {"bias": jnp.ones(3), "kernel": jax.random.normal(keys[0], (4, 3))},
        "b": {"bias": jnp.ones(5), "kernel": jax.random.normal(keys[1], (3, 5))},
        "none": None,
    }


NET = network()
MASK = jc.magnitude_mask(NET, 0.5)
KERNELS = {"a": {"bias": False, "kernel": True}, "b": {"bias": False, "kernel": True}, "none": None}
LABELS = jax.tree.map(lambda pick: "train" if pick else "rest", KERNELS)
BY_LAYER = {"a": "train", "b": "rest", "none": "rest"}


def labelled(tx, labels=LABELS):
    return optax.multi_transform({"train": tx, "rest": optax.sgd(0.1)}, labels)


WRAPPERS = {
    "multi_transform": labelled,
    "multi_transform, a label a layer": lambda tx: labelled(tx, BY_LAYER),
    "partition": lambda tx: optax.partition({"train": tx, "rest": optax.sgd(0.1)}, LABELS),
    "masked": lambda tx: optax.masked(tx, KERNELS),
    "masked twice": lambda tx: optax.masked(optax.masked(tx, lambda p: jax.tree.map(
        lambda leaf: leaf.ndim == 2, p)), KERNELS),
    "chain": lambda tx: optax.chain(optax.clip(1.0), tx),
    "inject_hyperparams": lambda tx: optax.inject_hyperparams(
        lambda rate: optax.chain(tx, optax.scale(1.0), optax.scale(rate / rate)))(rate=0.5),
    "MultiSteps": lambda tx: optax.MultiSteps(tx, every_k_schedule=1),
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 3),
    "named_chain": lambda tx: optax.named_chain(("first", optax.clip(1.0)), ("last", tx)),
}  # fmt: skip
HIDES = {
    "multi_transform",
    "multi_transform, a label a layer",
    "partition",
    "masked",
    "masked twice",
}


def trained(tx, params, steps=2):
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(jax.tree.map(jnp.ones_like, params), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.slow
@pytest.mark.parametrize("name", WRAPPERS)
def test_a_mask_of_the_whole_network_is_held(name):
    tx = WRAPPERS[name](optax.chain(optax.adam(0.1), jc.hold_mask(MASK)))
    params, state = trained(tx, jc.apply_mask(NET, MASK))
    for layer in ("a", "b") if "a layer" not in name else ("a",):
        kernel, kept = np.asarray(params[layer]["kernel"]), np.asarray(MASK[layer]["kernel"])
        assert not kernel[~kept].any()
        assert (kernel[kept] != np.asarray(NET[layer]["kernel"])[kept]).all()
    found = jc.optim.current_mask(state, params=NET)
    np.testing.assert_array_equal(found["a"]["kernel"], MASK["a"]["kernel"])
    assert found["b"]["bias"].all() and jax.tree.structure(found) == jax.tree.structure(NET)
    if name in HIDES:
        with pytest.raises(ValueError, match=r"^opt_state: .* got one of a part; pass params"):
            jc.optim.current_mask(state)
    else:
        jax.tree.map(np.testing.assert_array_equal, jc.optim.current_mask(state), MASK)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRAPPERS)
def test_weights_of_the_whole_network_stay_shared(name):
    shared = jc.kmeans(NET, 3)
    params, _ = trained(
        WRAPPERS[name](jc.share_centroids(optax.adam(0.1), shared)), jc.dense(shared)
    )
    for layer in ("a", "b") if "a layer" not in name else ("a",):
        kernel, codes = params[layer]["kernel"], np.asarray(shared[layer]["kernel"].codes)
        before = np.asarray(shared[layer]["kernel"].dense())
        assert len(np.unique(kernel)) == len(np.unique(codes)) == 3
        assert (np.asarray(kernel) != before).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", WRAPPERS)
def test_masks_are_grown_on_what_is_seen(name):
    tx = WRAPPERS[name](optax.chain(optax.sgd(0.1), jc.gradual_pruning(0.5, begin=0, end=1)))
    params, state = trained(tx, NET)
    seen = ("a",) if "a layer" in name else ("a", "b")
    zeros = sum(int((np.asarray(params[layer]["kernel"]) == 0).sum()) for layer in seen)
    assert zeros == round(0.5 * sum(NET[layer]["kernel"].size for layer in seen))
    assert (
        jc.measure_sparsity(jc.apply_mask(NET, jc.optim.current_mask(state, params=NET)))
        == zeros / 27
    )


def test_masks_of_several_labels_are_put_together():
    each = {"train": jc.hold_mask(MASK), "rest": jc.hold_mask(MASK)}
    state = optax.multi_transform(each, BY_LAYER).init(NET)
    jax.tree.map(np.testing.assert_array_equal, jc.optim.current_mask(state, params=NET), MASK)
    with pytest.raises(ValueError, match="must hold one mask, got 2; .* pass params"):
        jc.optim.current_mask(state)
    twice = optax.chain(jc.hold_mask(MASK), jc.hold_mask(MASK)).init(NET)
    with pytest.raises(ValueError, match="^a/bias: must have one mask, got several"):
        jc.optim.current_mask(twice, params=NET)
    with pytest.raises(ValueError, match="^[ab]/bias: mask must be of these params"):
        jc.optim.current_mask(state, params={"other": NET["a"]})


def test_a_mask_of_what_is_seen_alone_is_held_too():
    part = {"b": {"kernel": MASK["b"]["kernel"]}}
    labels = {"b": {"kernel": "train"}}
    params = {"b": {"kernel": NET["b"]["kernel"]}}
    tuned, _ = trained(labelled(jc.hold_mask(part), labels), params)
    assert not np.asarray(tuned["b"]["kernel"])[~np.asarray(MASK["b"]["kernel"])].any()


def test_what_does_not_fit_is_named():
    other = jc.magnitude_mask({"a": {"kernel": NET["a"]["kernel"]}}, 0.5)
    with pytest.raises(ValueError, match="^b/kernel: mask must have a leaf for each"):
        labelled(jc.hold_mask(other)).init(NET)
    shared = {**NET, "a": jc.kmeans(NET["a"], 3)}
    only_b = {"a": "rest", "b": "train", "none": "rest"}
    with pytest.raises(ValueError, match="shared: at least one Clustered leaf must be among"):
        labelled(jc.share_centroids(optax.sgd(0.1), shared), only_b).init(NET)


def test_masks_of_plain_trees_fit_what_nnx_hides():
    class Two(nnx.Module):
        def __init__(self, rngs):
            self.a, self.b = nnx.Linear(4, 3, rngs=rngs), nnx.Linear(3, 5, rngs=rngs)

    net = Two(nnx.Rngs(0))
    params = nnx.state(net, nnx.Param)
    mask = jc.magnitude_mask(params, 0.5)
    picked = lambda p: jax.tree.map(lambda leaf: leaf.ndim == 2, p)  # noqa: E731
    nnx.update(net, jc.apply_mask(params, mask))
    tx = optax.masked(optax.chain(optax.adam(0.1), jc.hold_mask(mask)), picked)
    optimizer = nnx.Optimizer(net, tx, wrt=nnx.Param)
    optimizer.update(net, jax.tree.map(jnp.ones_like, nnx.state(net, nnx.Param)))
    assert jc.measure_sparsity(nnx.state(net, nnx.Param)) == pytest.approx(0.5, abs=0.03)


def test_a_shared_number_trains():
    shared = {"w": jc.kmeans({"w": np.array([[2.0]], np.float32)}, 1)["w"]}
    params, _ = trained(jc.share_centroids(optax.sgd(0.1), shared), jc.dense(shared), steps=1)
    np.testing.assert_allclose(params["w"], [[1.9]], rtol=1e-6)
