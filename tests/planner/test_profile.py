"""A profile: measured once, read again, finished where it was left; and its bad inputs."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxcompress import planner
from jaxcompress.planner._reading import read
from tests.planner.conftest import BATCHES, X, apply, evaluate, loss


def test_it_says_what_can_be_reached(profile, task):
    whole, half = profile.networks
    assert (whole.name, half.name) == ("whole", "units 0.50")
    assert half.cut == {"units": {"in": 24, "mid": 16}}
    assert whole.parameters == 16 * 48 + 48 + 48 * 32 + 32 + 32 * 8 + 8
    assert half.parameters < whole.parameters and half.flops < whole.flops
    assert [t.batch_size for t in whole.latency] == [1, 32]
    assert profile.quality.value == pytest.approx(evaluate(apply, task.params))
    assert profile.architecture == "dense"
    assert whole.losses[-1] == (0.0, 0.0) and len(whole.losses) > 5
    added = [each.added_bytes for each in whole.anchors]
    assert added == sorted(added)
    text = str(profile)
    assert "units 0.50" in text and "mid/kernel" in text and "in/bias" in text


def test_choices_cost_more_bytes_for_less_damage(profile):
    for network in profile.networks:
        for tensor in network.tensors:
            sizes = [choice.size_bytes for choice in tensor.choices]
            damages = [choice.damage for choice in tensor.choices]
            assert sizes == sorted(sizes) and damages == sorted(damages, reverse=True)
            assert damages[-1] == 0 and len(sizes) > 5


def test_it_is_read_from_its_file(task, profile, profile_file):
    stamp = profile_file.stat().st_mtime_ns
    again = planner.profile(task, profile_file)
    assert again == profile and profile_file.stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_it_is_finished_where_it_was_left(task, profile_file, tmp_path):
    told = json.loads(profile_file.read_text())
    cut = told["networks"].pop()
    for network in told["networks"]:
        network["latency"] = []
    told["unfinished"] = {cut["name"]: cut["cut"], "timing": {}}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="must be finished, units 0.50, timing"):
        planner.plan(read(path), size_bytes=5000)
    found = planner.profile(task, path)
    assert [network.name for network in found.networks] == ["whole", "units 0.50"]
    assert not found.unfinished and found.networks[1].latency
    assert found.networks[1].trained_steps == cut["trained_steps"]


@pytest.mark.slow
def test_for_a_speed_the_whole_network_is_timed_and_not_measured(task, profile):
    found = planner.profile(task, units=[0.5], cut_only=True)
    (half,) = found.networks
    assert half.name == "units 0.50" and half.cut == profile.networks[1].cut
    assert [t.batch_size for t in half.latency] == [1, 32] and half.latency[1].speedup != 1.0
    assert "the whole network was not measured" in str(found)
    given = planner.plan(found, size_bytes=6000)
    assert given.cut == half.cut
    with pytest.raises(ValueError, match=r"^speedup: at most .* can be reached \(units 0.50"):
        planner.plan(found, size_bytes=6000, speedup=1000)


@pytest.mark.slow
def test_what_was_left_out_for_a_speed_is_measured_when_it_is_wanted(task, tmp_path):
    path = tmp_path / "profile.json"
    planner.profile(task, path, units=[0.5], cut_only=True)
    first = planner.profile(task, path, cut_only=True)
    found = planner.profile(task, path)
    assert [network.name for network in found.networks] == ["whole", "units 0.50"]
    assert all(network.latency for network in found.networks) and not found.unfinished
    assert found.networks[1].tensors == first.networks[0].tensors
    assert "was not measured" not in str(found) and not planner.plan(found, size_bytes=6000).cut
    assert planner.profile(task, path) == read(path)


@pytest.mark.slow
def test_where_nothing_can_be_cut_the_whole_network_is_measured(task):
    fixed = dataclasses.replace(task, blocks="")
    found = planner.profile(fixed, units=(), cut_only=True)
    assert [network.name for network in found.networks] == ["whole"]


def test_a_file_of_another_network_is_refused(task, profile_file):
    other = dataclasses.replace(task, params={**task.params, "more": np.ones((8, 8), np.float32)})
    with pytest.raises(ValueError, match="is the profile of another network"):
        planner.profile(other, profile_file)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "plan", "version": 1}', "\0"])
def test_a_file_that_is_no_profile_is_refused(task, tmp_path, text):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="must be a profile"):
        planner.profile(task, path)


def test_what_is_missing_limits_it_and_it_says_so(bare):
    task, profile = bare
    assert task.missing == ["apply", "example", "loss", "train", "evaluate"]
    assert not profile.is_measured and [n.name for n in profile.networks] == ["whole"]
    assert len(profile.limits) == 3 and "errors of the weights alone" in profile.limits[0]
    plan = planner.plan(profile, size_bytes=4000)
    assert "quality not predicted: nothing was evaluated, damages are of weights" in str(plan)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.ones(2)])
def test_an_evaluation_that_is_no_number_is_refused(task, value):
    wrong = dataclasses.replace(task, evaluate=lambda apply, params: value)
    with pytest.raises(ValueError, match="evaluate: must return one finite number"):
        planner.profile(wrong, units=())


@pytest.mark.slow
def test_noise_of_the_evaluation_is_measured_and_used(task):
    random = np.random.default_rng(0)
    noisy = dataclasses.replace(
        task, loss=None, train=None, evaluate=lambda a, p: 90 + random.standard_normal()
    )
    found = planner.profile(noisy, units=())
    assert found.quality.noise > 0
    drop = planner.plan(found, size_bytes=4000).drop
    assert drop.high - drop.low > 2 * found.quality.noise


def test_a_loss_without_the_parameters_is_refused(task):
    wrong = dataclasses.replace(task, loss=lambda a, p, batch: 1.0, evaluate=None)
    with pytest.raises(ValueError, match="loss: must depend on the parameters"):
        planner.profile(wrong, units=(0.5,))


def test_a_loss_that_is_nan_is_refused(task):
    wrong = dataclasses.replace(task, loss=lambda a, p, b: loss(a, p, b) * np.nan, evaluate=None)
    with pytest.raises(ValueError, match="loss: must be finite with finite gradients"):
        planner.profile(wrong, units=(0.5,))


@pytest.mark.slow
def test_a_loss_that_does_not_fall_is_refused(task):
    wrong = dataclasses.replace(task, loss=_rising(loss), evaluate=None, learning_rate=None)
    with pytest.raises(ValueError, match="loss: must fall when a cut network is trained"):
        planner.profile(wrong, units=(0.5,))


def _rising(loss):
    """Return a loss whose gradient points the wrong way."""

    @jax.custom_vjp
    def turned(value):
        return value

    turned.defvjp(lambda value: (value, None), lambda _, grad: (-grad,))
    return lambda apply, params, batch: turned(loss(apply, params, batch))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"example": X}, "example: must be a tuple"),
        ({"batches": ()}, "batches: must be sizes"),
        ({"batches": (0,)}, "batches: must be sizes"),
        ({"epochs": 0}, "epochs: must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate: must be"),
        ({"train": iter(BATCHES)}, "train: must begin anew"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(task, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        dataclasses.replace(task, **change)


def test_no_batches_are_refused(task):
    with pytest.raises(ValueError, match="train: must hold batches"):
        planner.profile(dataclasses.replace(task, train=[]), units=(0.5,))


def test_nothing_to_compress_is_refused():
    with pytest.raises(ValueError, match="must hold a tensor to compress"):
        planner.profile(planner.Task(None, {"b": np.ones((2, 40), np.float32)}))
