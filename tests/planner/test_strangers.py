"""What strangers tried: refusals before any training, and promises kept to the letter."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcompress import planner
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._record import Anchor
from jaxcompress.planner.weights import profile_of
from tests.planner.conftest import evaluate

RNG = np.random.default_rng(0)


@pytest.fixture
def untrained(task):
    return dataclasses.replace(task, loss=None, train=None)


def test_vectors_that_are_to_be_left_are_left_exactly(profile, untrained):
    found = planner.plan(profile, size_bytes=6000, leave=["in/bias"])
    assert found.settings["in/bias"] == "leave"
    small = planner.encoded(untrained.params, found._replace(cut={}), untrained)
    np.testing.assert_array_equal(small["in"]["bias"], untrained.params["in"]["bias"])
    assert isinstance(small["in"]["bias"], (np.ndarray, jax.Array))


def test_a_tensor_stored_with_one_to_leave_is_left_too():
    w = RNG.standard_normal((40, 50)).astype("f")
    found = profile_of(TreeSource({"a": w, "b": w, "c": RNG.standard_normal((60, 60)).astype("f")}))
    settings = planner.plan(found, size_bytes=14_000, leave=["b"]).settings
    assert settings["a"] == settings["b"] == "leave" and settings["c"] != "leave"


def ruined(apply, params, tx):
    return jax.tree.map(jnp.zeros_like, params)


def test_training_that_ruins_the_control_too_is_no_excuse(profile, task):
    given = planner.plan(profile, size_bytes=6000)
    given = given._replace(budget=given.budget._replace(drop=1.0))
    bad = dataclasses.replace(task, loss=None, train=None, fit=ruined)
    result = planner.carry_out(given, bad)
    assert result.control == evaluate(task.apply, task.params)
    assert "quality lost" in [check.name for check in result.missed]


def test_a_fit_of_nan_is_refused(profile, task):
    bad = dataclasses.replace(
        task, loss=None, train=None, fit=lambda a, p, tx: jax.tree.map(lambda w: w * np.nan, p)
    )
    with pytest.raises(ValueError, match="^fit: must return finite numbers"):
        planner.carry_out(planner.plan(profile, size_bytes=6000), bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluate": None}, "^drop: needs evaluate"),
        ({"apply": None, "example": (), "evaluate": None}, "^speedup: needs apply"),
    ],
)
def test_budgets_that_cannot_be_measured_are_refused(change, message, profile, task):
    given = planner.plan(profile, size_bytes=6000)
    budget = given.budget._replace(drop=1.0, speedup=None if "apply" not in change else 2.0)
    with pytest.raises(ValueError, match=message):
        planner.carry_out(given._replace(budget=budget), dataclasses.replace(task, **change))


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"unit": {"in": 4}}, "^cut: must be units or blocks, got unit"),
        ({"units": {"in": 4}, "blocks": [0]}, "^cut: must be units or blocks, got units, blocks"),
        ({"units": {"zz": 1}}, "^zz: must be a group of units"),
    ],
)
def test_cuts_that_are_none_are_refused(cut, message, profile, task):
    given = planner.plan(profile, size_bytes=6000)._replace(cut=cut)
    with pytest.raises(ValueError, match=message):
        planner.carry_out(given, task)


def test_a_rate_below_zero_in_a_plan_is_refused(profile, tmp_path):
    path = tmp_path / "plan.json"
    planner.plan(profile, size_bytes=6000).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"learning_rate": -1}))
    with pytest.raises(ValueError, match="learning_rate must be above 0, got -1"):
        planner.read_plan(path)


def test_what_is_known_at_the_start_is_refused_there(task):
    told = []
    with pytest.raises(ValueError, match="^leave: 'typo' must match a tensor"):
        planner.compress_to(task, size_bytes=6000, leave=["typo"], track=told.append)
    with pytest.raises(ValueError, match="^leave: must be a list of patterns, got 'in'"):
        planner.compress_to(task, size_bytes=6000, leave="in", track=told.append)
    blind = dataclasses.replace(task, evaluate=None)
    with pytest.raises(ValueError, match="^drop: needs evaluate"):
        planner.compress_to(blind, drop=1, track=told.append)
    assert not told


def test_a_profile_of_no_network_or_of_another_one_is_refused(profile, task):
    with pytest.raises(ValueError, match="^profile: must have a network"):
        planner.plan(profile._replace(networks=[]), size_bytes=6000)
    given = planner.plan(profile, size_bytes=6000)
    with pytest.raises(ValueError, match="^profile: is of another network"):
        planner.carry_out(given, task, profile=profile._replace(network="0" * 16))


def test_a_file_that_came_out_large_moves_no_other(profile):
    sizes = [(1000.0, 1100), (1391.0, 1552), (1450.0, 1497), (1500.0, 1560), (2000.0, 2100)]
    anchors = [Anchor(added, size, 0.0, None) for added, size in sizes]
    network = profile.networks[0]._replace(anchors=anchors)
    assert network.file_bytes(1000) == 1100 and network.file_bytes(2000) == 2100
    assert network.file_bytes(1500) == 1560
    assert 1497 <= network.file_bytes(1420) <= 1552
    assert network.added_bytes(network.file_bytes(1700)) == pytest.approx(1700)
