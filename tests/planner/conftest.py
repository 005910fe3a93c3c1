"""A small trained network, its task and one profile of it, shared by the tests."""

import jax
import numpy as np
import optax
import pytest

import jaxcompress as jc
from jaxcompress import planner


def apply(params, x):
    for name in ("in", "mid"):
        x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"])
    return x @ params["out"]["kernel"] + params["out"]["bias"]


def loss(apply, params, batch):
    logits = apply(params, batch[0])
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()


def data(count, seed):
    """Return points around eight centres, and the number of each centre."""
    centres = np.random.default_rng(0).standard_normal((8, 16))
    random = np.random.default_rng(seed)
    labels = random.integers(0, 8, count).astype(np.int32)
    noise = 0.9 * random.standard_normal((count, 16))
    return (centres[labels] + noise).astype(np.float32), labels


X, LABELS = data(512, 1)
HELD_X, HELD_LABELS = data(1000, 2)
BATCHES = [(X[i : i + 64], LABELS[i : i + 64]) for i in range(0, 512, 64)]


def evaluate(apply, params):
    return 100 * float((np.asarray(apply(params, HELD_X)).argmax(1) == HELD_LABELS).mean())


def new_params(seed=0):
    random = np.random.default_rng(seed)
    sizes = {"in": (16, 48), "mid": (48, 32), "out": (32, 8)}
    return {
        name: {
            "kernel": (random.standard_normal(shape) * (2 / shape[0]) ** 0.5).astype(np.float32),
            "bias": np.zeros(shape[1], np.float32),
        }
        for name, shape in sizes.items()
    }


def trained_params():
    params, tx = new_params(), optax.adam(3e-3)
    state = tx.init(params)

    @jax.jit
    def step(params, state, batch):
        gradients = jax.grad(lambda p: loss(apply, p, batch))(params)
        updates, state = tx.update(gradients, state)
        return optax.apply_updates(params, updates), state

    for _ in range(15):
        for batch in BATCHES:
            params, state = step(params, state, batch)
    return jax.tree.map(np.asarray, params)


@pytest.fixture(scope="session")
def task():
    return planner.Task(
        apply,
        trained_params(),
        example=(X[:128],),
        loss=loss,
        train=BATCHES,
        evaluate=evaluate,
        batches=(1, 32),
        epochs=4,
        learning_rate=3e-3,
    )


@pytest.fixture(scope="session")
def profile_file(task, tmp_path_factory):
    path = tmp_path_factory.mktemp("planner") / "profile.json"
    planner.profile(task, path, units=(0.5,))
    return path


@pytest.fixture(scope="session")
def profile(task, profile_file):
    return planner.profile(task, profile_file)


@pytest.fixture(scope="session")
def bare():
    """A task of weights alone, and its profile."""
    task = planner.Task(None, jc.dense(trained_params()))
    return task, planner.profile(task)
