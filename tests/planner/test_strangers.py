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


@pytest.mark.slow
def test_a_tensor_stored_with_one_to_leave_is_left_too():
    w = RNG.standard_normal((40, 50)).astype("f")
    found = profile_of(TreeSource({"a": w, "b": w, "c": RNG.standard_normal((60, 60)).astype("f")}))
    settings = planner.plan(found, size_bytes=14_000, leave=["b"]).settings
    assert settings["a"] == settings["b"] == "leave" and settings["c"] != "leave"


def ruined(apply, params, tx):
    return jax.tree.map(jnp.zeros_like, params)


@pytest.mark.slow
def test_training_that_ruins_the_control_too_is_no_excuse(profile, task):
    given = planner.plan(profile, size_bytes=6000)
    given = given._replace(budget=given.budget._replace(drop=1.0))
    bad = dataclasses.replace(task, loss=None, train=None, fit=ruined)
    result = planner.carry_out(given, bad)
    assert result.control == evaluate(task.apply, task.params)
    assert "quality lost" in [check.name for check in result.missed]


@pytest.mark.slow
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


# Tensors to leave


def edited(given, path):
    return given._replace(settings=given.settings | {path: "leave"})


def cut_in_half(profile):
    half = next(network for network in profile.networks if network.cut)
    found = planner.plan(profile._replace(networks=[half]), size_bytes=3000)
    assert set(found.cut["units"]) == {"in", "mid"}
    return found


def test_units_of_tensors_to_leave_are_not_cut(profile, task):
    half = profile._replace(networks=[cut for cut in profile.networks if cut.cut])
    given = planner.plan(half, size_bytes=7000, leave=["in/kernel"])
    assert given.cut == {"units": {"mid": 16}}
    assert "units of tensors to leave are not cut" in "".join(given.why)
    _, small = planner.cut(task.params, given, task)
    np.testing.assert_array_equal(small["in"]["kernel"], task.params["in"]["kernel"])
    with pytest.raises(ValueError, match="^leave: must leave something to cut"):
        planner.plan(half, size_bytes=7000, leave=["mid/kernel"])  # units of both


@pytest.mark.slow
def test_a_line_that_leaves_a_tensor_is_honoured_by_cuts_and_training(profile, task):
    given = edited(cut_in_half(profile), "out/bias")
    given = edited(given, "out/kernel")  # whose rows are the units of mid
    result = planner.carry_out(given, task)
    assert set(result.plan.cut["units"]) == {"in"}
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(result.params["out"][name], task.params["out"][name])
    assert result.params["in"]["kernel"].shape[1] == 24


def test_a_fit_that_trains_what_is_to_be_left_is_refused(profile, task):
    given = edited(cut_in_half(profile), "out/kernel")
    whole = given._replace(cut={})
    bad = dataclasses.replace(
        task, loss=None, train=None, fit=lambda a, p, tx: jax.tree.map(lambda w: w + 1, p)
    )
    with pytest.raises(ValueError, match="^fit: must leave out/kernel as it is"):
        planner.carry_out(whole, bad)


@pytest.mark.slow
def test_a_fit_by_the_given_transform_leaves_what_is_to_be_left(profile, task):
    def fit(apply, params, tx):
        ones = jax.tree.map(jnp.ones_like, params)
        updates, _ = tx.update(ones, tx.init(params), params)
        return jax.tree.map(lambda w, u: w + u, params, updates)

    given = edited(cut_in_half(profile), "out/kernel")._replace(cut={}, learning_rate=0.1)
    own = dataclasses.replace(task, loss=None, train=None, fit=fit, epochs=1)
    result = planner.carry_out(given, own)
    np.testing.assert_array_equal(result.params["out"]["kernel"], task.params["out"]["kernel"])


def blocks_apply(params, x):
    for block in params["blocks"]:
        x = x + jnp.tanh(x @ block["w"])
    return x @ params["head"]


@pytest.mark.slow
def test_tensors_of_blocks_are_left_by_dropping_none():
    random = np.random.default_rng(0)
    params = {
        "blocks": [{"w": random.standard_normal((12, 12)).astype("f")} for _ in range(4)],
        "head": random.standard_normal((12, 10)).astype("f"),
    }
    x = random.standard_normal((8, 12)).astype("f")
    task = planner.Task(blocks_apply, params, example=(x,), blocks="blocks", batches=(1,))
    found = planner.profile(task, units=())
    assert [network.name for network in found.networks] == [
        "whole",
        "blocks 3",
        "blocks 2",
        "blocks 1",
    ]
    least = planner.plan(found, size_bytes=2500, leave=["blocks/2/w"])
    assert least.cut == {} and least.settings["blocks/2/w"] == "leave"
    short = planner.plan(found._replace(networks=found.networks[1:]), size_bytes=2500)
    with pytest.raises(ValueError, match="^blocks/2/w: cannot be left, the plan drops"):
        planner.carry_out(edited(short, "blocks/2/w"), task)


# What a task says of itself


@pytest.mark.slow
def test_an_evaluation_in_which_more_is_worse_is_refused(task):
    def mean_loss(apply, params):
        return float(task.loss(apply, params, task.train[0]))

    bad = dataclasses.replace(task, evaluate=mean_loss)
    with pytest.raises(ValueError, match="^evaluate: must be larger for better networks"):
        planner.profile(bad, units=())
    good = dataclasses.replace(
        task, evaluate=lambda apply, params: -mean_loss(apply, params), loss=None, train=None
    )
    found = planner.profile(good, units=())
    assert found.quality.value < 0


def test_a_profile_of_a_task_with_less_is_refused(profile_file, task):
    for change, word in (
        ({"batches": (1, 128)}, "batches"),
        ({"loss": None, "train": None}, "loss and train"),
    ):
        with pytest.raises(ValueError, match=f"must be measured for this task.*{word}"):
            planner.profile(dataclasses.replace(task, **change), profile_file)
    other = planner.profile(dataclasses.replace(task, learning_rate=0.25), profile_file)
    assert other.learning_rate == 0.25
    told = json.loads(profile_file.read_text())
    blind = profile_file.with_name("blind.json")
    blind.write_text(json.dumps(told | {"quality": None}))
    with pytest.raises(ValueError, match="got one of another evaluate"):
        planner.profile(task, blind)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("is_trained", "yes"),
        ("learning_rate", -1),
        ("limits", "none"),
        ("kept", []),
        ("quality", {"value": "nan", "noise": 0}),
        ("parts", {"units": {"in": "in/kernel"}, "blocks": []}),
        ("parameters", None),
    ],
)
def test_profiles_edited_to_nonsense_are_refused(field, value, profile_file, task):
    broken = profile_file.with_name("broken.json")
    broken.write_text(json.dumps(json.loads(profile_file.read_text()) | {field: value}))
    with pytest.raises(ValueError, match="must be a profile"):
        planner.profile(task, broken)


@pytest.mark.slow
def test_an_example_without_a_batch_is_timed_as_it_is():
    params = {"w": RNG.standard_normal((16, 70)).astype("f")}
    task = planner.Task(lambda p, x: x @ p["w"], params, example=(np.ones(16, np.float32),))
    (network,) = planner.profile(task, units=()).networks
    assert [speed.batch_size for speed in network.latency] == [16] and network.latency[0].ms > 0


def test_settings_beyond_all_grids_are_refused_before_training(profile, task):
    given = planner.plan(profile, size_bytes=6000)
    given = given._replace(settings=given.settings | {"mid/kernel": {"step_size": 1e9}})
    with pytest.raises(ValueError, match="^mid/kernel: step size 1000000000.0 is beyond"):
        planner.carry_out(given, task)


def test_places_of_blocks_that_are_none_are_refused_first(task):
    told = []
    bad = dataclasses.replace(task, blocks="nowhere")
    with pytest.raises(ValueError, match="^nowhere: must be where the tree has blocks"):
        planner.profile(bad, track=told.append)
    assert not told


@pytest.mark.slow
def test_a_rate_at_which_the_loss_rises_is_refused(task):
    with pytest.raises(ValueError, match="^loss: must (fall|stay finite).*learning_rate below"):
        planner.profile(dataclasses.replace(task, learning_rate=30.0), units=(0.5,), cut_only=True)
