"""The one step and the one loop."""

import collections

import jax
import numpy as np
import optax
import pytest

from pipelines.models import MODELS, Shape
from pipelines.models.examples import Examples
from pipelines.models.train import (
    EVAL_BATCH,
    Position,
    TrainState,
    fit,
    make_logits,
    make_step,
    score,
)


def quadrants(size, seed=0):
    """Images whose class is the quadrant that is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, size).astype(np.int32)
    images = rng.integers(0, 60, (size, 2, 16, 2, 16, 3)).astype(np.uint8)
    images[np.arange(size), labels // 2, :, labels % 2] += 180
    return Examples(inputs=images.reshape(size, 32, 32, 3), labels=labels)


@pytest.fixture(scope="module")
def lenet():
    model = MODELS["lenet-300-100"]
    net = model.build(Shape(classes=10, image_size=32))
    tx = optax.adam(1e-3)
    params, stats = net.init(jax.random.key(0))
    step = make_step(net, model.view, tx)

    def start():
        copied = jax.tree.map(lambda leaf: leaf.copy(), params)
        return TrainState(copied, stats, tx.init(params))

    return start, step, make_logits(net, model.view)


def last(ticks):
    return collections.deque(ticks, maxlen=1)[0]


@pytest.mark.slow
def test_it_learns(lenet):
    start, step, logits = lenet
    train, test = quadrants(256), quadrants(600, seed=1)
    tick = last(fit({8: step}, start(), train, batch_size=32, seed=(0,)))
    found = logits(tick.state.params, tick.state.stats, test.inputs)
    assert found.shape == (600, 10) and EVAL_BATCH < 600
    assert score(found, test.labels).accuracy > 0.9
    assert tick.position == Position(8, 0)


def test_resumed_anywhere_it_ends_the_same(lenet):
    start, step, _ = lenet
    data = quadrants(100)  # three batches of 32, four images wait for the next shuffle
    whole = last(fit({2: step}, start(), data, batch_size=32, seed=(5, 1)))
    for stop in (1, 3, 4):
        ticks = fit({2: step}, start(), data, batch_size=32, seed=(5, 1))
        for _ in range(stop):
            tick = next(ticks)
        rest = fit({2: step}, tick.state, data, batch_size=32, seed=(5, 1), start=tick.position)
        resumed = last(rest)
        for a, b in zip(*map(jax.tree.leaves, (whole.state, resumed.state)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_steps_take_turns_and_a_resumed_fit_takes_the_one_that_is_due():
    def step(name):
        return lambda state, inputs, labels: (state + name, None, None)

    steps, data = {1: step("a"), 3: step("b")}, quadrants(64)
    ticks = list(fit(steps, "", data, batch_size=32, seed=(0,)))
    assert [tick.state for tick in ticks[-1:]] == ["aabbbb"]
    for tick in ticks:
        rest = fit(steps, tick.state, data, batch_size=32, seed=(0,), start=tick.position)
        assert ([tick.state, *(later.state for later in rest)])[-1] == "aabbbb"


def test_the_seed_chooses_the_order(lenet):
    start, step, _ = lenet
    ends = [
        last(fit({1: step}, start(), quadrants(64), batch_size=32, seed=(seed,)))
        for seed in (0, 0, 1)
    ]
    kernels = [np.asarray(end.state.params["dense1"]["kernel"]) for end in ends]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_score_by_hand():
    logits = np.log(np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]], np.float32)) + 1000
    found = score(logits, np.array([0, 1, 1]))
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(-np.log(0.7 * 0.8 * 0.4) / 3, rel=1e-3)
