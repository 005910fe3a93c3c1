"""Optimizer states in a checkpoint: told from weights, and kept to the bit."""

import json
from types import SimpleNamespace

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from flax import serialization
from flax.training.train_state import TrainState
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.states import optimizer_states, outside_states, without
from jaxcompress.trees import named_leaves
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype("f")


def network():
    return {"conv": {"kernel": normal(3, 3, 4, 8)}, "dense": {"kernel": normal(200, 130)}}


OPTIMIZERS = {
    "adam": optax.adam(1e-3),
    "adamw": optax.adamw(1e-3),
    "amsgrad": optax.amsgrad(1e-3),
    "momentum": optax.sgd(1e-3, momentum=0.9),
    "adafactor": optax.adafactor(1e-3),
    "adagrad": optax.adagrad(1e-3),
    "rmsprop": optax.rmsprop(1e-3, momentum=0.9),
    "lion": optax.lion(1e-3),
    "adadelta": optax.adadelta(1e-3),
    "lamb": optax.lamb(1e-3),
    "novograd": optax.novograd(1e-3),
    "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
    "injected": optax.inject_hyperparams(optax.adam)(learning_rate=1e-3),
    "accumulated": optax.MultiSteps(optax.adam(1e-3), 4),
    "ema of updates": optax.chain(optax.ema(0.9), optax.scale(-1e-3)),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stepped(tx, params):
    return tx.update(params, tx.init(params), params)[1]


def found_in(tree):
    named = named_leaves(tree)
    states = optimizer_states(named.paths, [np.shape(leaf) for leaf in named.leaves])
    large = [np.ndim(leaf) >= 2 for leaf in named.leaves]
    return {
        path: state for path, state, pick in zip(named.paths, states, large, strict=True) if pick
    }


@pytest.mark.slow
@pytest.mark.parametrize("how", ["named", "tuple", "any name", "serialized"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_of_optax_are_told_from_weights(name, how):
    params = network()
    state = stepped(OPTIMIZERS[name], params)
    tree = {
        "named": {"params": params, "opt_state": state},
        "tuple": (params, state),
        "any name": {"model": params, "training": state},
        "serialized": serialization.to_state_dict({"model": params, "training": state}),
    }[how]
    weights = {"0", "params", "model"}
    for path, is_state in found_in(tree).items():
        assert is_state == (path.split("/")[0] not in weights), path


NO_STATES = {
    "an autoencoder": ["enc/mu/kernel", "enc/logvar/kernel", "enc/hidden/kernel"],
    "heads called mu and sigma": ["mu/kernel", "sigma/kernel"],
    "attention": ["a/q/kernel", "a/k/kernel", "a/v/kernel"],
    "attention of values alone": ["a/v/kernel", "b/w/kernel"],
    "averages of weights": ["params/kernel", "ema/kernel"],
    "averages of weights, otherwise": ["params/kernel", "ema_params/kernel", "step"],
    "statistics": ["params/kernel", "batch_stats/mean", "batch_stats/var"],
    "opt, the model": ["opt/decoder/kernel", "opt_proj/kernel"],
    "options": ["options/kernel", "optical_flow/kernel"],
    "a lone name": ["net/mu", "net/w"],
}


@pytest.mark.parametrize("name", NO_STATES)
def test_weights_are_not_taken_for_states(name):
    paths = NO_STATES[name]
    assert not any(optimizer_states(paths, [(4, 4)] * len(paths)))


STATES = {
    "torch": ["model.w", "optimizer.state.0.exp_avg", "optimizer.state.0.exp_avg_sq"],
    "torch alone": ["w", "state.0.exp_avg", "state.0.momentum_buffer"],
    "T5X": ["target/w", "state/param_states/w/v_col", "state/param_states/w/v_row"],
    "PaxML": ["mdl_vars/w", "opt_states_0/no_prefix_0/m/w"],
    "Keras": ["layers/w", "optimizer/vars/0", "optimizer_weights/1"],
    "slots": ["w", "w/Adam", "w/Adam_1", "w/Momentum"],
    "two networks": ["gen/w", "optimizer_g/0/mu/w", "disc_opt_state/0/nu/w"],
    "of one's own": ["net/w", "s/m/w", "s/v/w"],
    "of one tensor": ["net/w", "state/mu", "state/nu", "state/count"],
}


@pytest.mark.parametrize("name", STATES)
def test_states_of_other_libraries(name):
    first, *states = STATES[name]
    found = dict(
        zip(STATES[name], optimizer_states(STATES[name], [(4, 4)] * len(STATES[name])), strict=True)
    )
    assert not found[first] and all(found[path] for path in states), found


@given(st.lists(st.text("mnuv/.", max_size=30), max_size=20))
def test_any_names_are_looked_at(paths):
    unique = sorted(set(paths))
    assert len(optimizer_states(unique, [(2, 2)] * len(unique))) == len(unique)


def test_long_names_cost_little():
    paths = ["mu/" * 100_000, "nu/" * 100_000]
    assert optimizer_states(paths, [(2, 2), (2, 2)]) == [False, False]


@pytest.mark.slow
def test_pack_keeps_the_state_of_a_train_state_to_the_bit(here):
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(30)(nn.relu(nn.Dense(40)(x)))

    net, x = Net(), normal(2, 20)
    state = TrainState.create(
        apply_fn=net.apply, params=net.init(jax.random.key(0), x)["params"], tx=optax.adam(1e-3)
    )
    state = state.apply_gradients(grads=jax.tree.map(lambda w: w + 0.5, state.params))
    (here / "m.msgpack").write_bytes(serialization.to_bytes(state))
    said = run("pack", "m.msgpack", "--sparsity", 0.5)
    moments = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    assert f"m.msgpack: 9 tensors of {moments + 4:,} bytes, the state of an opt" in said.err
    packed, before = jc.load("m.npz"), serialization.to_state_dict(state)
    for a, b in zip(
        jax.tree.leaves(packed["opt_state"]), jax.tree.leaves(before["opt_state"]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    kernels = [leaf for leaf in jax.tree.leaves(packed["params"]) if leaf.ndim == 2]
    sizes = sum(leaf.size for leaf in kernels)
    assert sum(np.count_nonzero(leaf) for leaf in kernels) == sizes - sizes // 2
    assert jc.inspect("m.npz")["metadata"]["pack"]["optimizer_states"] == {
        **{"tensors": 9, "bytes": moments + 4}
    }
    report = json.loads(run("inspect", "m.npz", "--json").out)["optimizer_states"]
    assert report["tensors"] == 9 and 0 < report["bytes"] <= moments + 4
    assert "optimizer states: 9 tensors" in run("inspect", "m.npz").out


@pytest.mark.parametrize("words", [(), ("--target-size", "4KB"), ("--bits", 8), ("--scope", "w")])
def test_every_way_to_pack_keeps_states(here, words):
    tensors = {"model.w": normal(40, 50), "optimizer.state.0.exp_avg": normal(4, 5)}
    save_file(tensors, "m.safetensors")
    run("pack", "m.safetensors", *words)
    packed = jc.load("m.npz")
    name = "optimizer.state.0.exp_avg"
    np.testing.assert_array_equal(packed[name], tensors[name])
    assert not np.array_equal(packed["model.w"], tensors["model.w"])


def test_files_without_states_say_nothing_of_them(here):
    save_file({"w": normal(4, 5)}, "m.safetensors")
    assert not run("pack", "m.safetensors").err
    assert "optimizer_states" not in jc.inspect("m.npz")["metadata"]["pack"]
    assert "optimizer" not in run("inspect", "m.npz").out


def test_a_state_alone_is_refused_by_name(here):
    save_file({"optimizer.0": normal(4, 5)}, "m.safetensors")
    assert "optimizer.0: the scope must hold weights" in refused("pack", "m.safetensors")


def test_compress_keeps_states_and_says_so():
    params = network()
    tree = SimpleNamespace(params=params, opt_state=stepped(optax.adam(1e-3), params))
    tree = vars(tree)
    with pytest.warns(UserWarning, match="params: 5 tensors of .* are the state of an optimizer"):
        small = jc.compress(tree, sparsity=0.5, clusters=4, scope=jc.scopes.everything)
    assert jax.tree.structure(small["opt_state"]) == jax.tree.structure(tree["opt_state"])
    for a, b in zip(
        jax.tree.leaves(small["opt_state"]), jax.tree.leaves(tree["opt_state"]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert isinstance(small["params"]["dense"]["kernel"], jc.Clustered)


def test_a_scope_for_other_techniques():
    params = network()
    tree = {"params": params, "opt_state": stepped(optax.adam(1e-3), params)}
    mask = jc.magnitude_mask(tree, 0.5, scope=outside_states(tree))
    assert all(np.all(leaf) for leaf in jax.tree.leaves(mask["opt_state"]))
    assert not all(np.all(leaf) for leaf in jax.tree.leaves(mask["params"]))


def test_a_scope_without_some_paths():
    scope = without({"a/w"}, lambda path, leaf: leaf > 0)
    assert [scope(path, leaf) for path, leaf in [("a/w", 1), ("b/w", 1), ("b/w", 0)]] == [
        False,
        True,
        False,
    ]
