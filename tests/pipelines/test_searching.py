"""The recipe that searches: the grid, the front, halving, what is refused, and a resumed search."""

import itertools
import json
import math
import os
import shutil
import signal

import jax
import numpy as np
import pytest

import run
from nets.families import FAMILIES, build, with_sizes
from nets.small_cifar import SmallCifarConfig
from nets.students import parameter_count
from nets.vit import ViTConfig
from pipelines.errors import FolderError
from pipelines.models import MODELS, Shape
from pipelines.options.plan import planned
from pipelines.run.proof import checks_of
from pipelines.search.choice import best_of, diverged, front_of
from pipelines.search.costs import Budget, Speed, key_of, read_kept
from pipelines.search.front import ERRORS, beats, front, hypervolume, point, widest
from pipelines.search.halving import (
    Trial,
    random_search,
    rungs,
    spent,
    successive_halving,
)
from pipelines.search.proposals import Candidate, Family, by_chance, guided
from pipelines.search.space import (
    Axis,
    anywhere,
    axes_of,
    corners,
    even,
    narrower,
    nearest,
    sizes_at,
)
from pipelines.search.trainings import Result
from pipelines.search.trainings import Trainings as Trainer
from pipelines.stages.searched import FRONT, LATENCY, TRIALS
from pipelines.stages.table import stages_of
from tests.helpers.commands import TINY, refusal, results_of

CONFIG = SmallCifarConfig()
AXES = axes_of(CONFIG)


# The grid


@pytest.mark.parametrize("model", MODELS)
def test_every_place_of_every_grid_is_a_network_of_the_family(model):
    shape = Shape(10, MODELS[model].image_sizes[0], MODELS[model].branches)
    config = MODELS[model].config(shape)
    axes, rng = axes_of(config), np.random.default_rng(0)
    places = [even(axes, 0), *(anywhere(axes, rng) for _ in range(50)), *corners(axes)[:3]]
    for levels in places:
        with_sizes(config, sizes_at(config, axes, levels))  # refuses what cannot be
    assert with_sizes(config, sizes_at(config, axes, even(axes, 0))) == config


def test_a_width_is_a_multiple_of_its_heads():
    config = ViTConfig()
    axes = axes_of(config)
    names = [axis.name for axis in axes]
    levels = [0] * len(axes)
    levels[names.index("width")] = axes[names.index("width")].values.index(16)
    levels[names.index("heads")] = axes[names.index("heads")].values.index(3)
    assert sizes_at(config, axes, tuple(levels))["width"] == 15


def test_members_become_narrower_until_nothing_is_left():
    steps = list(narrower(AXES, even(AXES, 0)))
    assert steps[-1] == tuple(len(axis.values) - 1 for axis in AXES)
    assert steps[0] == (1, 1, 1, 1, 0, 0) and len(steps) == len(set(steps))
    for before, after in itertools.pairwise(steps):
        assert all(a >= b for a, b in zip(after, before, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("convolutions", "resolution"), [(3, 32), (3, 8), (2, 16), (1, 32)])
def test_depth_and_resolution_of_the_small_network(convolutions, resolution):
    config = with_sizes(CONFIG, {"widths": [2, 3, 4], "hidden": 5})
    sizes = {"convolutions": convolutions, "resolution": resolution}
    net = build(with_sizes(config, sizes))
    params, stats = net.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("f")
    side = resolution // 2**convolutions
    assert params["dense1"]["kernel"].shape == (side * side * config.widths[convolutions - 1], 5)
    assert sum(name.startswith("conv") for name in params) == convolutions
    # What is averaged by hand gives the same.
    k = 32 // resolution
    small = x.reshape(2, resolution, k, resolution, k, 3).mean((2, 4))
    np.testing.assert_allclose(
        net.apply(params, stats, x), net.apply(params, stats, small), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("sizes", [{"resolution": 24}, {"resolution": 64}, {"convolutions": 0}])
def test_sizes_that_no_network_has_are_refused(sizes):
    with pytest.raises(ValueError, match=f"^{next(iter(sizes))}: must be "):
        with_sizes(CONFIG, sizes)


# The front


def test_points_are_thousandths_on_a_scale_of_logarithms():
    assert point(1.0, 1.0, 0.0) == point(5.0, 1.0, None) == (1.0, 1.0, 1.0)
    assert point(1e-9, 1e-3, 1.0) == pytest.approx((0, 0, 0), abs=1e-9)
    assert point(1e-1, 10**-1.5, 0.99) == pytest.approx((2 / 3, 1 / 2, 1 / 3))


def test_the_front_and_its_volume_against_counting_cells():
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 9):
        points = [tuple(p) for p in rng.integers(0, 8, (count, 3)) / 8]
        cells = np.stack(np.meshgrid(*[np.arange(8) / 8] * 3), -1).reshape(-1, 3)
        covered = np.any([np.all(cells >= np.array(p), axis=1) for p in points], axis=0)
        assert hypervolume(points) == pytest.approx(covered.mean())
        kept = [points[n] for n in front(points)]
        assert hypervolume(kept) == pytest.approx(hypervolume(points))
        assert not any(beats(a, b) for a, b in itertools.permutations(kept, 2))
    assert hypervolume([]) == 0 and widest([], 3) == []


def test_those_that_go_on_are_the_ones_of_the_largest_volume():
    points = [(0.5, 0.5, 0.5), (0.55, 0.5, 0.5), (0.9, 0.1, 0.1), (1.0, 1.0, 0.0)]
    assert widest(points, 1) == [0] and widest(points, 2) == [0, 2]
    assert widest(points, 9) == [0, 1, 2, 3]


# Halving, without any network


class Costs:
    """Bytes are parameters of dense layers; speed is how few units there are."""

    whole_bytes = 4000

    def shapes(self, sizes):
        return [(sizes["a"], 40), (40, sizes["b"])]

    def size_bytes(self, sizes):
        return 40 * (sizes["a"] + sizes["b"]) + 800

    def operations(self, sizes):
        return self.size_bytes(sizes or {"a": 40, "b": 40})

    def is_hopeless(self, sizes, speedup):
        return False

    def speed(self, sizes):
        faster = 80 / (sizes["a"] + sizes["b"])
        return Speed({"1": faster, "64": faster}, 1 / faster)


class Trainings:
    """Accuracy grows with units of `a` and with epochs; one member diverges."""

    images_per_epoch = 10

    def __init__(self, bad=()):
        self.asked, self.bad = [], bad

    def result(self, sizes, epochs):
        self.asked.append((key_of(sizes), epochs))
        if sizes["a"] in self.bad:
            return Result(None, None)
        return Result(1 - math.exp(-sizes["a"] * epochs / 40), 1 / epochs)

    def forget(self):
        pass


def family(budget=Budget(), values=tuple(range(40, 0, -1))):  # noqa: B008
    axes = (Axis("a", None, values, is_width=True), Axis("b", None, values, is_width=True))
    return Family(None, axes, Costs(), budget)


@pytest.fixture(autouse=True)
def _plain_family(monkeypatch):
    """`None` is the configuration of a family without rules."""
    plain = type("Plain", (), {"multiples": {}})
    monkeypatch.setitem(FAMILIES, type(None), plain)


def searched(trainings=None, propose=by_chance, budget=Budget(), **more):  # noqa: B008
    options = {"trials": 16, "epochs": (1, 2, 4), "seed": 0} | more
    return successive_halving(family(budget), trainings or Trainings(), propose, **options)


def test_each_round_halves_and_nothing_is_tried_twice():
    trials = searched()
    lengths = [sorted(len(t.results) for t in trials[at : at + 8]) for at in (0, 8)]
    assert lengths == [[1, 1, 1, 1, 2, 2, 3, 3]] * 2
    assert spent(trials) == 2 * (4 * 1 + 2 * 2 + 2 * 4)
    assert len({t.candidate.identity for t in trials}) == 16


def test_those_that_diverge_are_named_and_do_not_go_on():
    trainings = Trainings(bad=range(20, 41))
    trials = searched(trainings)
    bad = [t for t in trials if t.candidate.sizes["a"] >= 20]
    assert bad and all(len(t.results) == 1 for t in bad)
    assert diverged(trials) == [key_of(t.candidate.sizes) for t in bad]
    assert not {id(t) for t in front_of(trials)} & {id(t) for t in bad}


@pytest.mark.parametrize("propose", [by_chance, guided])
def test_all_members_are_within_the_budget(propose):
    budget = Budget(size_bytes=2000, speedup=3.0)
    for trial in searched(propose=propose, budget=budget, trials=10):
        assert trial.size_bytes <= 2000 and min(trial.speed.speedups.values()) >= 3
    assert searched(propose=propose, budget=Budget(speedup=1000.0)) == []


@pytest.mark.parametrize("propose", [by_chance, guided])
def test_a_search_depends_on_the_seed_alone(propose):
    first, again = searched(propose=propose), searched(propose=propose)
    assert [t.candidate for t in first] == [t.candidate for t in again]
    other = searched(propose=propose, seed=1)
    assert [t.candidate for t in first] != [t.candidate for t in other]


def test_a_small_family_is_searched_to_its_end():
    few = family(values=(2, 1))
    options = {"trials": 24, "epochs": (1, 2), "seed": 0}
    trials = successive_halving(few, Trainings(), guided, **options)
    assert len(trials) == 4 == len({t.candidate.identity for t in trials})


def test_single_widths_return_as_far_as_the_budget_allows():
    room = family(Budget(size_bytes=800 + 40 * 31))  # 31 units, and one width of 20 at most
    found = room.fitted((0, 20))
    assert found is not None and found.sizes == {"a": 26, "b": 5}
    assert found.levels == (14, 35)
    inside = family(Budget(size_bytes=3000)).fitted((30, 30))
    assert inside is not None and inside.levels == (30, 30)  # nothing beyond what was proposed


class OfParameters(Costs):
    """Bytes and speed are those of the number of parameters of the small network."""

    whole_bytes = 4 * parameter_count(CONFIG)

    def shapes(self, sizes):
        return sorted(sizes.items())

    def size_bytes(self, sizes):
        return 4 * parameter_count(with_sizes(CONFIG, sizes))

    def speed(self, sizes):
        faster = self.whole_bytes / self.size_bytes(sizes)
        return Speed({"1": faster, "64": 2 * faster}, 1 / faster)


@pytest.mark.slow
def test_a_search_begins_with_the_widest_even_student():
    small = Family(CONFIG, AXES, OfParameters(), Budget(size_bytes=100_000)).even()
    assert small is not None and 90_000 < OfParameters().size_bytes(small.sizes) <= 100_000
    first, *others = small.sizes["widths"]
    assert [round(width / first) for width in others] == [2, 2]
    assert small.sizes["resolution"] == 32 and small.levels == nearest(AXES, small.sizes)
    fast = Family(CONFIG, AXES, OfParameters(), Budget(speedup=1.5)).even()
    assert fast is not None and 1.5 <= OfParameters().speed(fast.sizes).speedups["1"] < 1.9
    assert Family(CONFIG, AXES, OfParameters(), Budget(size_bytes=10)).even() is None


def test_what_a_search_begins_with_goes_on_in_any_case():
    worst = Candidate((39, 39), {"a": 1, "b": 1}, "ones")
    trials = searched(trials=8, goal=ERRORS, first=worst)
    assert trials[0].candidate == worst and len(trials[0].results) == 3
    assert sorted(len(t.results) for t in trials[1:]) == [1, 1, 1, 2, 2, 3, 3]
    diverged = searched(Trainings(bad=(1,)), trials=8, first=worst)
    assert len(diverged[0].results) == 1


def test_of_errors_alone_the_most_accurate_go_on():
    for seed in range(3):
        trials = searched(trials=8, seed=seed, goal=ERRORS)
        units = sorted((t.candidate.sizes["a"] for t in trials), reverse=True)
        longest = [t.candidate.sizes["a"] for t in trials if len(t.results) == 3]
        assert sorted(longest, reverse=True) == units[:2]


def test_random_search_costs_no_more():
    trials = random_search(family(), Trainings(), epochs=4, spend=33, seed=0)
    assert len(trials) == 8 and spent(trials) == 32
    assert all(t.epochs == 4 and len(t.results) == 1 for t in trials)


def test_rungs_are_never_empty():
    assert [rungs(n) for n in (1, 2, 8, 30)] == [(1,), (1,), (1, 2, 4), (4, 8, 15)]


# The choice


def trial(size, accuracy, loss=1.0):
    made = Candidate((0,), {"a": size}, str(size))
    speed = Speed({"1": 2.0, "64": 2.0}, 1.0)
    return Trial(made, size, size / 100, speed, (Result(accuracy, loss),), 1)


def test_the_best_is_the_most_accurate_or_the_smallest_that_is_enough():
    found = [trial(10, 0.8), trial(20, 0.9), trial(30, 0.95), trial(40, 0.95, loss=0.5)]
    assert best_of(found, None).size_bytes == 40
    assert best_of(found, 0.9).size_bytes == 20
    assert best_of(found, 0.99).size_bytes == 40


# What is refused


REFUSALS = {
    "--recipe search": "--recipe: search needs a budget; pass --size, --speedup or --drop",
    "--trials 8": "--trials: the recipe has no use for it; leave it out",
    "--recipe search --size 9KB --trials 1": "--trials: must be at least 2, got 1",
    "--recipe search --size 9KB --sparsity 0.5": "--sparsity: the recipe has no use for it",
    "--recipe search --size 300": "--size: must be at least ",
    "--recipe search --speedup 100000": "--speedup: at most ",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", REFUSALS)
def test_what_cannot_be_is_refused_before_any_training(words, tmp_path, capsys):
    assert REFUSALS[words] in refusal([*TINY, *words.split()], tmp_path, capsys)


def test_a_missing_library_is_refused_before_any_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.stages.searched.find_spec", lambda name: None)
    words = [*TINY, *"--recipe search --size 90KB".split()]
    said = refusal(words, tmp_path, capsys)
    assert "optuna, which is not installed; pip install -e '.[run,search]'" in said


def test_files_of_another_machine_or_damaged_ones_are_refused(tmp_path):
    path = tmp_path / LATENCY
    assert read_kept(path, {"threads": 1}) == {}
    path.write_text('{"threads": 2}')
    assert read_kept(path, {"threads": 2}) == {"threads": 2}
    with pytest.raises(FolderError, match="threads must be 1, got 2"):
        read_kept(path, {"threads": 1})
    path.write_text("{")
    with pytest.raises(FolderError, match="is damaged"):
        read_kept(path, {})


# A run

STAGES = ["baseline", "searched", "distilled", "distilled + tuned", "reloaded", "control"]
WORDS = "--recipe search --trials 3 --size 200KB --drop 50 --epochs 4 --finetune-epochs 1".split()


def test_the_stages_of_the_recipe():
    plan = planned(256, data="digits", model="cifar", recipe="search", drop=1.0)
    assert [stage.name for stage in stages_of(plan)] == STAGES
    assert planned(256, data="digits", model="cifar", size="9KB").recipe == "auto"
    assert checks_of(plan, []) == []


def words(out, *more):
    return [*TINY[:4], "--limit", "128", *WORDS, "--out", str(out), *more]


@pytest.mark.slow
def test_a_search_that_was_stopped_gives_the_same_front_and_file(tmp_path, monkeypatch, capsys):
    out, again = tmp_path / "run", tmp_path / "again"
    status = run.main(words(out))
    found = results_of(out)
    assert status in (0, 4) and found["reload_exact"] is True
    assert [stage["name"] for stage in found["stages"]] == STAGES
    facts = found["stages"][1]["facts"]
    best = json.loads((out / FRONT).read_text())
    assert facts["sizes"] == best["chosen"] == found["stages"][2]["facts"]["sizes"]
    assert facts["trials"] == 3 and facts["diverged"] == []
    assert best["chosen"] in [member["sizes"] for member in best["front"]]
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["bytes"]["measured"] == (out / "compressed.npz").stat().st_size <= 200_000

    # The same again, stopped by Ctrl-C in the third training of the search.
    trained, count = Trainer._trained, iter(range(1000))

    def stopped(self, *given):
        if next(count) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return trained(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_trained", stopped)
        assert run.main(words(again)) == 130
    assert "stopped in stage searched" in capsys.readouterr().out.replace("\n", " ")
    results = [json.loads((f / TRIALS).read_text())["results"] for f in (again, out)]
    before, all_of_them = (sum(map(len, each.values())) for each in results)
    assert before == 2 < all_of_them
    shutil.copy(out / LATENCY, again / LATENCY)  # times vary
    assert run.main(words(again, "--resume")) in (0, 4)
    for name in (FRONT, TRIALS, "compressed.npz"):
        assert (again / name).read_bytes() == (out / name).read_bytes(), name
