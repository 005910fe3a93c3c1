"""A plan: budgets met with the least loss, monotone, edited and read again; and its bad inputs."""

import json

import pytest

from jaxcompress import planner
from jaxcompress.planner._prediction import predicted_drop

SIZES = (4000, 5000, 6500, 9000)


def test_a_larger_file_never_loses_more(profile):
    drops = [planner.plan(profile, size_bytes=size).drop.drop for size in SIZES]
    assert drops == sorted(drops, reverse=True)


def test_predictions_are_within_the_budget(profile):
    for size in SIZES:
        plan = planner.plan(profile, size_bytes=size)
        assert plan.size_bytes <= size
        assert plan.drop.low <= plan.drop.drop <= plan.drop.high


def test_the_same_profile_gives_the_same_plan(profile):
    assert planner.plan(profile, size_bytes=5000) == planner.plan(profile, size_bytes="5KB")


def test_speed_chooses_a_smaller_network(profile):
    timed = [
        network._replace(latency=[t._replace(speedup=s) for t in network.latency])
        for network, s in zip(profile.networks, (1.0, 2.5), strict=True)
    ]
    fast = profile._replace(networks=timed)
    plan = planner.plan(fast, speedup=2)
    assert plan.name == "units 0.50" and plan.cut == {"units": {"in": 24, "mid": 16}}
    assert "keep 24 units" in str(plan)
    with pytest.raises(ValueError, match=r"speedup: at most 2.50 can be reached \(units 0.50"):
        planner.plan(fast, speedup=3)


def test_a_drop_alone_gives_the_smallest_file_that_loses_so_little(profile):
    plans = [planner.plan(profile, drop=drop) for drop in (0.5, 2, 8)]
    assert [plan.size_bytes for plan in plans] == sorted(
        (p.size_bytes for p in plans), reverse=True
    )
    for plan, drop in zip(plans, (0.5, 2, 8), strict=True):
        assert plan.drop.drop <= drop


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "plan: needs a budget, got none"),
        ({"size_bytes": 0}, "size_bytes: must be"),
        ({"size_bytes": -5}, "size_bytes: must be"),
        ({"size_bytes": "many"}, "size_bytes: must be"),
        ({"size_bytes": 100}, r"size_bytes: must be at least [\d,]+ \([a-z .\d]+\), got 100"),
        ({"speedup": 0}, "speedup: must be"),
        ({"speedup": float("nan")}, "speedup: must be"),
        ({"speedup": 1e6}, "speedup: at most"),
        ({"drop": 0}, "drop: must be"),
        ({"drop": -1}, "drop: must be"),
        ({"drop": float("inf")}, "drop: must be"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(profile, budget, message):
    with pytest.raises(ValueError, match=message):
        planner.plan(profile, **budget)


def test_what_training_cannot_mend_is_refused(profile):
    fixed = profile._replace(is_trained=False)
    small = planner.plan(profile, size_bytes=3000)
    less = small.drop.drop / 4
    with pytest.raises(ValueError, match=r"drop: at most [\d.]+ needs about [\d,]+ bytes, got 3,0"):
        planner.plan(fixed, size_bytes=3000, drop=less)


def test_a_drop_without_an_evaluation_is_refused(bare):
    with pytest.raises(ValueError, match="drop: needs a profile with evaluate"):
        planner.plan(bare[1], drop=1)


def test_tensors_to_leave_stay_exactly(profile):
    plan = planner.plan(profile, size_bytes=9000, leave=["mid"])
    assert plan.settings["mid/kernel"] == "leave"
    edited = profile._replace(leave=["mid"])
    assert planner.plan(edited, size_bytes=9000).settings == plan.settings


def test_a_pattern_of_nothing_is_refused(profile):
    with pytest.raises(ValueError, match="leave: 'middle' must match a tensor"):
        planner.plan(profile, size_bytes=9000, leave=["middle"])


def test_it_is_read_again(profile, tmp_path):
    plan = planner.plan(profile, size_bytes=5000, speedup=1)
    plan.save(tmp_path / "plan.json")
    again = planner.read_plan(tmp_path / "plan.json")
    assert again.settings == plan.settings and again.budget == plan.budget
    assert again.stamp == plan.stamp and str(again).split("predicted")[0] in str(plan)


@pytest.mark.parametrize(
    "change",
    [
        {"latency": [{"batch_size": 1, "ms": "\x1b", "speedup": 1}]},
        {"drop": dict.fromkeys(("drop", "low", "high"), [])},
    ],
)
def test_predictions_that_are_no_numbers_are_refused(profile, tmp_path, change):
    path = tmp_path / "plan.json"
    planner.plan(profile, size_bytes=5000).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match="plan.json: predictions must be numbers"):
        planner.read_plan(path)


@pytest.mark.parametrize("change", ["drop a field", "another kind", "a list", "no json"])
def test_a_file_that_is_no_plan_is_refused(profile, tmp_path, change):
    path = tmp_path / "plan.json"
    planner.plan(profile, size_bytes=5000).save(path)
    told = json.loads(path.read_text())
    if change == "drop a field":
        del told["settings"]
    elif change == "another kind":
        told["kind"] = "profile"
    elif change == "a list":
        told["settings"] = []
    path.write_text("{" if change == "no json" else json.dumps(told))
    with pytest.raises(ValueError, match="plan"):
        planner.read_plan(path)


def test_predictions_by_hand():
    anchors = [(0.0, 0.0), (1.0, 1.0), (4.0, 2.0), (9.0, 3.0)]  # a line over the root
    found = predicted_drop(anchors, 0.0, 2.25)
    assert found.drop == pytest.approx(1.5)
    assert predicted_drop(anchors, 0.5, 2.25).high > found.high
    assert predicted_drop(anchors, 0.0, 16.0).drop == pytest.approx(4.0)
    assert predicted_drop([(0.0, 0.0), (1.0, 2.0), (4.0, 1.0)], 0.0, 1.0).drop == 1.5


def test_the_interval_is_what_anchors_are_off_when_left_out():
    anchors = [(0.0, 0.0), (1.0, 2.0), (4.0, 2.0)]
    # Left out, they are predicted as 2, 1 and 4, which is 2, 1 and 2 off: 2 in the middle.
    found = predicted_drop(anchors, 0.0, 1.0)
    assert (found.high - found.low) / 2 == pytest.approx(1.645 * 1.4826 * 2)
    # Of four near ones that are off by 1, 1, 1 and 0 in the middle of many on the line.
    line = [(float(n**2), float(n)) for n in range(20, 40)]
    assert predicted_drop([*anchors, *line], 0.0, 900.0).high == pytest.approx(30)
