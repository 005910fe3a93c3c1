"""Damages are what tells the loss of quality best, or what the task says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress import planner
from jaxcompress.planner._metric import disorder, metric_of
from jaxcompress.quantization import relative_error
from tests.planner.conftest import apply


@pytest.fixture(scope="module")
def untrained(task):
    return dataclasses.replace(task, loss=None, train=None)


def metric(task):
    return planner.profile(task, units=()).metric


def squared_error(outputs, exact):
    return jnp.mean(jnp.square(outputs - exact))


def test_losses_that_rise_with_damages_are_in_order():
    assert disorder([0.3, 0.1, 0.2], [5.0, 0.0, 0.5]) == 0
    assert disorder([0.3, 0.1, 0.2], [0.0, 0.0, 0.0]) == 0
    assert disorder([0.1, 0.2, 0.3], [0.5, 5.0, 0.4]) > disorder([0.1, 0.2, 0.3], [0.5, 5.0, 4.0])


@pytest.mark.slow
def test_confident_logits_are_compared_by_the_metric_that_orders_their_losses(untrained):
    """Half of what `evaluate` counts is the scale of the logits: the divergence does not see it."""

    def gain(apply, params):
        outputs = apply(params, *untrained.example)
        return -float(relative_error(outputs, apply(untrained.params, *untrained.example)))

    by_gain = dataclasses.replace(untrained, evaluate=gain)
    assert metric(by_gain) == "relative_error"

    def probability(apply, params):
        exact, found = (
            jax.nn.log_softmax(apply(each, *untrained.example))
            for each in (untrained.params, params)
        )
        return float(jnp.sum(jnp.exp(exact) * (found - exact)))

    assert metric(dataclasses.replace(untrained, evaluate=probability)) == "kl_divergence"


@pytest.mark.slow
def test_outputs_that_are_no_classes_have_relative_errors(untrained):
    small = jax.tree.map(lambda leaf: leaf * np.float32(0.1), untrained.params)
    assert metric(dataclasses.replace(untrained, params=small)) == "relative_error"
    without = dataclasses.replace(untrained, evaluate=None)
    assert metric(without) == "relative_error"
    assert metric(dataclasses.replace(without, apply=None, example=())) == "weights"


@pytest.mark.slow
def test_a_given_metric_is_used_and_named(untrained, tmp_path):
    path = tmp_path / "profile.json"
    given = dataclasses.replace(untrained, damage=squared_error, evaluate=None)
    found = planner.profile(given, path, units=())
    assert found.metric == "squared_error" and "damages are squared_error" in str(found)
    exact = apply(given.params, given.example[0][1::2])  # rows that rounding is not fitted to
    scale = float(jnp.mean(jnp.square(exact)))
    plain = planner.profile(dataclasses.replace(given, damage=None), units=())
    for tensor, other in zip(found.networks[0].tensors, plain.networks[0].tensors, strict=True):
        known = {str(choice.settings): choice.damage for choice in other.choices}
        for choice in tensor.choices:
            assert choice.damage == pytest.approx(scale * known[str(choice.settings)], rel=0.01)
    result = planner.carry_out(planner.plan(found, size_bytes=4000), given)
    assert result.checks[0].is_met and result.checks[0].measured <= 4000
    with pytest.raises(ValueError, match="damage: must be squared_error, as in the profile, got "):
        metric_of(dataclasses.replace(given, damage=relative_error), found.metric)
    with pytest.raises(ValueError, match="metric: must be one of relative_error, kl_divergence"):
        metric_of(untrained, "squared_error")
