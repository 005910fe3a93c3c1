"""Profiles of one technique, recommendations out of them, and what the textbook says."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from jaxcompress import planner
from jaxcompress.planner import _textbook as textbook
from jaxcompress.planner._damage import beaten, undominated
from jaxcompress.planner._record import Choice
from jaxcompress.planner._techniques import OF_WEIGHTS, TECHNIQUES, technique_of

SIZE = 4500


def choice(size, damage, **settings):
    return Choice(settings, float(size), float(damage > 0), float(damage))


def test_what_only_another_technique_beats_is_kept_apart():
    fine, coarse = choice(60, 0.1, step_size=0.5), choice(40, 0.4, step_size=1.0)
    pruned = choice(50, 0.5, sparsity=0.5, step_size=0.8)  # larger and worse than coarse
    worst = choice(55, 0.6, sparsity=0.7, step_size=0.8)  # worse than pruned too
    exact = choice(100, 0, keep=True)
    given = [fine, coarse, pruned, worst, exact]
    assert undominated(given) == [coarse, fine, exact]
    assert beaten(given) == [pruned]


@pytest.mark.parametrize("technique", OF_WEIGHTS)
def test_a_plan_of_one_technique_uses_no_other(profile, technique):
    part = planner.only(profile, technique)
    plan = planner.plan(part, size_bytes=int(part.networks[0].reachable[0]) + 200)
    used = {technique_of(settings) for settings in plan.settings.values()}
    assert plan.cut == {} and technique in used and used <= {technique, ""}


def test_cutting_units_alone_leaves_weights_exact(profile):
    part = planner.only(profile, "cutting units")
    assert [network.name for network in part.networks] == ["whole", "units 0.50"]
    small = part._replace(networks=part.networks[1:])
    plan = planner.plan(small, size_bytes="1MB")
    assert plan.cut and all(settings == {"keep": True} for settings in plan.settings.values())


def test_all_techniques_together_are_the_profile(profile):
    given = [name for name in TECHNIQUES if name != "dropping blocks"]
    for size in (3000, SIZE, 9000):
        alone = planner.plan(profile, size_bytes=size)
        assert planner.plan(planner.only(profile, given), size_bytes=size) == alone


def test_an_earlier_profile_is_read(profile, profile_file, task, tmp_path):
    told = json.loads(profile_file.read_text())
    for network in told["networks"]:
        for tensor in network["tensors"]:
            del tensor["beaten"]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(told))
    again = planner.profile(task, path)
    assert planner.plan(again, size_bytes=SIZE) == planner.plan(profile, size_bytes=SIZE)


@pytest.mark.parametrize(
    ("techniques", "message"),
    [
        ([], "only: needs a technique, got none; pass quantization, sharing"),
        ("distillation", "only: must be techniques, got 'distillation'"),
        (["dropping blocks"], "only: dropping blocks must have a choice in the profile"),
    ],
)
def test_techniques_that_there_are_not_are_refused(profile, techniques, message):
    with pytest.raises(ValueError, match=message):
        planner.only(profile, techniques)


def test_weights_alone_have_nothing_to_cut(bare):
    with pytest.raises(ValueError, match="nothing can be cut without apply and example"):
        planner.only(bare[1], "cutting units")


def test_the_first_is_predicted_to_lose_least(profile):
    found = planner.recommend(profile, size_bytes=SIZE)
    plans = [row.plan for row in found.rows if row.plan is not None]
    assert len(plans) > 3 and all(plan.size_bytes <= SIZE for plan in plans)
    best = min((plan.drop for plan in plans), key=lambda drop: drop.drop)
    near = 0.02 * abs(best.drop) + (best.high - best.low) / 8
    assert found.first.plan.drop.drop <= best.drop + near + 1e-9
    assert [row.place for row in found.rows[: len(plans)]] == list(range(1, len(plans) + 1))


def test_each_row_is_the_plan_of_its_technique(profile):
    rows = {row.technique: row.plan for row in planner.recommend(profile, size_bytes=SIZE).rows}
    for name in ("quantization", "sharing", "pruning"):
        alone = planner.plan(planner.only(profile, name), size_bytes=SIZE)
        whole = alone._replace(why=[], stamp="")
        if not alone.cut and rows[name] is not None:
            assert rows[name]._replace(why=[], stamp="") == whole


def test_a_drop_alone_puts_the_smallest_file_first(profile):
    fixed = profile._replace(is_trained=False)
    found = planner.recommend(fixed, drop=5)
    plans = [row.plan for row in found.rows if row.plan is not None]
    assert all(plan.drop.drop <= 5 for plan in plans)
    assert found.first.plan.size_bytes <= 1.02 * min(plan.size_bytes for plan in plans)


def test_a_server_wants_speed(profile):
    timed = [
        network._replace(latency=[t._replace(speedup=s) for t in network.latency])
        for network, s in zip(profile.networks, (1.0, 2.5), strict=True)
    ]
    fast = profile._replace(networks=timed)
    found = planner.recommend(fast, drop=90, target="server")
    assert "cutting units" in found.first.technique
    assert found.first.speed.batch_size == 32 and found.first.speed.speedup == 2.5
    slower = next(row for row in found.rows if row.technique == "quantization")
    assert "2.50 times as slow as the first" in slower.measured


def test_weights_alone_measure_neither_time_nor_quality(bare):
    found = planner.recommend(bare[1], size_bytes=SIZE, drop=1)
    planned = [row for row in found.rows if row.plan is not None]
    for row in planned:
        assert row.plan.drop is None and row.speed is None and "damage" in row.measured
        assert row.cells[3:6] == ["not measured"] * 3
    damages = [row.plan.damage for row in planned]
    assert damages[0] == pytest.approx(min(damages), rel=0.03)
    assert "quality: not measured" in str(found) and "time: not measured" in str(found)


def test_what_a_profile_does_not_hold_is_not_measured(profile):
    found = planner.recommend(profile, size_bytes=SIZE)
    rows = {row.technique: row for row in found.rows}
    for name in ("distillation", "2:4 sparsity"):
        assert rows[name].place is None and rows[name].plan is None
        assert rows[name].measured.startswith("not measured")
    assert rows["dropping blocks"] in found.not_at_all
    assert "names no blocks" in rows["dropping blocks"].measured


def test_the_measurement_counts_where_the_textbook_says_something_else(profile):
    found = planner.recommend(profile, size_bytes=SIZE, drop=50)
    assert found.first.technique != "distillation"
    assert f"textbook: begins with distillation, not with {found.first.technique}" in str(found)
    disputed = found.first._replace(textbook=textbook.Saying("x", 0, "of no use"))
    assert "they disagree: the measurement counts" in disputed.why
    agreed = found.first._replace(textbook=textbook.Saying("x", 1, "of use"))
    assert not agreed.is_disputed and "disagree" not in agreed.why


def test_layers_that_nobody_named_are_said(profile):
    found = planner.recommend(profile._replace(architecture="transformer"), size_bytes=SIZE, drop=3)
    line = next(note for note in found.notes if note.startswith("textbook"))
    assert "begins with dropping blocks + quantization" in line
    assert "does not offer" in line


@pytest.mark.slow
def test_it_is_carried_out(profile, task):
    fixed = replace(task, loss=None, train=None)
    found = planner.recommend(profile, size_bytes=SIZE)
    result = planner.carry_out(found.first.plan, fixed)
    assert result.steps[-1].size_bytes <= SIZE


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "plan: needs a budget"),
        ({"size_bytes": 100}, "size_bytes: must be at least"),
        ({"size_bytes": SIZE, "target": "moon"}, "target: must be one of edge, server"),
        ({"size_bytes": SIZE, "hardware": "tpu"}, "hardware: must be one of cpu, gpu, sparse"),
        ({"drop": -1}, "drop: must be"),
    ],
)
def test_what_makes_no_sense_is_refused(profile, asked, message):
    with pytest.raises(ValueError, match=message):
        planner.recommend(profile, **asked)


def test_a_drop_without_an_evaluation_is_refused(bare):
    with pytest.raises(ValueError, match="drop: needs a profile with evaluate"):
        planner.recommend(bare[1], drop=1)


def cases():
    kinds = ("convolutional", "transformer", "recurrent", "dense", "unknown")
    drops = (None, 0.5, 2.0, 3.0, 5.0, 20.0)
    words = itertools.product(kinds, textbook.TARGETS, textbook.HARDWARE, drops)
    return [textbook.Case(*each) for each in words]


def test_the_textbook_begins_with_one_technique():
    names = {each.technique for each in textbook.TEXTBOOK}
    for case in cases():
        said = [found for name in names if (found := textbook.saying(name, case))]
        assert [found.place for found in said].count(1) == 1, case


def test_the_textbook_knows_the_rules_of_thumb():
    def begins(kind, drop):
        return textbook.first(textbook.Case(kind, "server", "gpu", drop))

    assert begins("convolutional", 1.9) == "quantization"
    assert begins("convolutional", 2) == begins("dense", 5) == "cutting units + quantization"
    assert begins("recurrent", 5.1) == "distillation"
    assert begins("transformer", 2) == "dropping blocks + quantization"

    def place(name, hardware):
        return textbook.saying(name, textbook.Case("dense", "server", hardware, 1)).place

    assert place("pruning", "cpu") == place("pruning", "gpu") == place("2:4 sparsity", "gpu") == 0
    assert place("2:4 sparsity", "sparse") == 2 and math.isfinite(place("pruning", "sparse"))


def test_what_loses_too_much_is_not_used(profile):
    fixed = profile._replace(is_trained=False)
    free = [row for row in planner.recommend(fixed, size_bytes=SIZE).rows if row.plan is not None]
    drop = (free[0].plan.drop.drop + free[-1].plan.drop.drop) / 2
    found = planner.recommend(fixed, size_bytes=SIZE, drop=drop)
    assert all(row.plan.drop.drop <= drop for row in found.rows if row.plan is not None)
    reasons = {row.technique: row.measured for row in found.not_at_all}
    assert "loses" in reasons[free[-1].technique]


@pytest.mark.slow
def test_weights_of_noise_are_quantized():
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    profile = planner.profile(planner.Task(None, {"w": weights}))
    found = planner.recommend(profile, size_bytes=2500)
    assert found.first.technique == "quantization"
    assert found.second is not None and found.second.plan.damage > found.first.plan.damage


def test_of_equal_losses_the_simpler_technique_is_first(profile):
    """An interval of all losses makes all of them equal."""
    wide = profile._replace(quality=profile.quality._replace(noise=1e4))
    found = planner.recommend(wide, size_bytes=SIZE)
    assert found.first.technique in TECHNIQUES
    counts = [row.technique.count("+") for row in found.rows if row.plan is not None]
    assert counts == sorted(counts)
