"""Runs that differ in the seed only: means and ranges, and what is refused."""

import json

import pytest

from jaxcompress import report
from tests.helpers.program import refused, run
from tests.report.checker import check_run, check_seeds
from tests.report.folders import make, with_seed
from tests.report.test_page import Page, at


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("seeds")
    first = make(place / "first")
    return [with_seed(first, place / f"run{seed}", seed) for seed in (3, 1, 2)]


def test_means_ranges_and_each_number(folders, tmp_path):
    report.write(folders[0] / "report.html", report.of_seeds(folders))
    told = json.loads((folders[0] / "report.json").read_text())
    check_seeds(folders, told)
    assert check_run(folders[0]) >= 3, "the rest is of the first run"
    assert told["quality"]["seeds"] == 3 and told["title"].endswith(", 3 seeds")
    assert told["seeds"]["headline"]["quality_after_value"]["mean"] == pytest.approx(0.86)
    assert "seed 2: budget missed: bytes" in told["warnings"]
    page = Page((folders[0] / "report.html").read_text())
    places = {place for place, *_ in page.numbers}
    for needed in (
        *("seeds.headline.quality_after_value.mean", "seeds.headline.size_after_bytes.each.2"),
        *("seeds.stages.2.accuracy.low", "seeds.tickets.1.ticket_less.random_mask.high"),
        *("seeds.checks.0.measured.mean", "seeds.headline.quality_control_value.mean"),
    ):
        assert needed in places, needed
    assert all(float(value) == at(told, place) for place, value, _ in page.numbers)
    assert "quality.after.value" not in places, "no single run in the headline"


def test_the_command_takes_several_runs(folders, tmp_path):
    run("report", *folders, "-o", tmp_path / "page.html")
    assert json.loads((tmp_path / "page.json").read_text())["seeds"]["runs"][1]["seed"] == 1
    card = (tmp_path / "page.model_card.md").read_text()
    assert "| test accuracy, % | 90.00 | 86.00 (85.00 to 87.00) |" in card
    assert "means of 3 seeds" in card and "Seed 3, 1, 2;" in card and "value: 0.86" in card


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "vit"}, "model must be 'cifar', as of"),
        ({"test_images": 401}, "test_images must be 400, as of"),
        ({"options": {"model": "cifar", "lr": 1.0}}, "options.control must be True, as of"),
        ({"versions": {"jax": "0"}}, "versions.jax must be "),
        ({"device": {"threads": 2}}, "device.kind must be 'cpu', as of"),
        ({"seed": 3}, "seed must be another one than that of "),
    ],
)
def test_runs_that_differ_in_more_than_the_seed_are_refused(folders, tmp_path, change, said):
    other = with_seed(folders[0], tmp_path / "other", 9, change)
    with pytest.raises(ValueError, match="other: ") as caught:
        report.of_seeds([folders[0], other])
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert said in refused("report", folders[0], other, "-o", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_stages_must_be_the_same(folders, tmp_path):
    other = with_seed(folders[0], tmp_path / "other", 9)
    told = json.loads((other / "results.json").read_text())
    told["stages"][1]["name"] = "another"
    (other / "results.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="stages must be those of"):
        report.of_seeds([folders[0], other])
