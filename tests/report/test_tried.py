"""Networks of a search, lottery tickets, and layers alone: of real runs and of bad files."""

import json

import numpy as np
import pytest

import jaxcompress as jc
import run
from jaxcompress import report
from jaxcompress.report._html._treemap import Box, squarified
from jaxcompress.report._search import named
from pipelines.run.alone import layer_of, write_alone
from tests.helpers.commands import tiny
from tests.report.checker import check_run
from tests.report.folders import make


def told(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.mark.slow
def test_a_search_reports_every_network(tmp_path):
    pytest.importorskip("optuna")
    folder = tmp_path / "run"
    words = "--recipe search --size 60KB --trials 3 --finetune-epochs 1"
    assert tiny(folder, *words.split()) in (0, 4)
    found = told(folder)["search"]
    assert found["trials"] == len(found["tried"]) == 3 and found["is_whole"]
    assert found["budget"] == {"size_bytes": 60000, "speedup": None, "drop": None}
    check_run(folder)


@pytest.mark.slow
def test_a_lottery_reports_its_tickets(tmp_path):
    folder = tmp_path / "run"
    words = "--model lenet-300-100 --data digits --limit 256 --epochs 2 --batch-size 64"
    words += " --recipe lottery --sparsity 0.9 --rounds 2"
    assert run.main([*words.split(), "--out", str(folder)]) == 0
    assert len(told(folder)["tickets"]["rounds"]) == 2
    assert told(folder)["tickets"]["dense_trained_on"] is not None
    check_run(folder)


def test_a_front_of_before_shows_what_it_has(tmp_path):
    folder = make(tmp_path / "run")
    front = json.loads((folder / "front.json").read_text())
    del front["tried"], front["validation_images"]
    (folder / "front.json").write_text(json.dumps(front))
    record = report.of_run(folder)
    assert [each["on_front"] for each in record["search"]["tried"]] == [True, True]
    assert record["search"]["tried"][0]["low"] is None
    assert "Networks of the front, the smallest file first" in report.page(record)


def test_a_front_of_thousands_is_a_small_page(tmp_path):
    folder = make(tmp_path / "run")
    front = json.loads((folder / "front.json").read_text())
    front["tried"] += [front["tried"][0] | {"size_bytes": 10**4 + n} for n in range(5000)]
    (folder / "front.json").write_text(json.dumps(front))
    text = report.page(report.of_run(folder))
    assert len(text.encode()) < 1_500_000 and "larger ones are in report.json only" in text


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("front.json", {"trials": "4"}, "trials must be a count, got '4'"),
        ("front.json", {"front": [{"sizes": 1}]}, "front.sizes must be an object, got 1"),
        ("front.json", {"tried": [1]}, "tried must be an object, got 1"),
        ("alone.json", {"layers": [{"layer": "a"}]}, "layers.tensors must be a list, got nothing"),
        ("results.json", {"tickets": [{"sparsity": 2}]}, "tickets.ticket must be a number"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, name, change, said):
    folder = make(tmp_path / "run")
    content = json.loads((folder / name).read_text()) | change
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{name}: {said}") as caught:
        report.of_run(folder)
    assert "\n" not in str(caught.value)


def test_numbers_beyond_their_range_are_refused(tmp_path):
    folder = make(tmp_path / "run")
    for name, place, value in (
        ("front.json", ("front", 0, "accuracy"), 1.5),
        ("front.json", ("front", 0, "size_bytes"), 0),
        ("results.json", ("tickets", 0, "ticket"), -0.5),
    ):
        content = json.loads((folder / name).read_text())
        at, whole = content, json.dumps(content)
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = value
        (folder / name).write_text(json.dumps(content))
        with pytest.raises(ValueError, match="must (be fractions|have sizes)"):
            report.of_run(folder)
        (folder / name).write_text(whole)


def test_names_of_networks():
    assert named({"widths": [4, 8], "first_width": 2}) == "widths 4-8, first width 2"


# Layers alone


def test_a_real_run_measures_each_layer_alone(finished):
    found = told(finished)["alone"]
    layers = [row["layer"] for row in found["layers"]]
    assert sorted(layers) == ["dense1", "dense2", "dense3"]
    damages = [row["kl"] for row in found["layers"]]
    assert damages == sorted(damages, reverse=True) and damages[-1] >= 0 < damages[0]
    assert found["images"] >= 16


class Linear:
    """A classifier of one product, as `make_logits` takes it."""

    view = staticmethod(lambda inputs: inputs)

    class net:  # noqa: N801
        """Its function."""

        @staticmethod
        def apply(params, stats, inputs):
            return inputs @ params["a"]["w"] @ params["b"]["w"] + params["b"]["bias"]


def write_pair(folder, before, after):
    named = {f"params/{n}/{k}": v for n, layer in before.items() for k, v in layer.items()}
    np.savez(folder / "baseline.npz", **named)
    jc.save(folder / "compressed.npz", {"params": after})


@pytest.mark.slow
def test_damage_alone_against_numpy(tmp_path):
    rng = np.random.default_rng(0)
    before = {
        "a": {"w": rng.standard_normal((5, 4)).astype("f")},
        "b": {"w": rng.standard_normal((4, 3)).astype("f"), "bias": np.zeros(3, "f")},
    }
    after = {
        "a": {"w": np.round(before["a"]["w"])},
        "b": {"w": before["b"]["w"], "bias": before["b"]["bias"]},
    }
    write_pair(tmp_path, before, after)
    data = type("Data", (), {"__len__": lambda self: 40})()
    data.inputs = rng.standard_normal((40, 5)).astype("f")
    data.labels = rng.integers(0, 3, 40)
    write_alone(tmp_path, Linear, data, flops=100)
    found = json.loads((tmp_path / "alone.json").read_text())
    assert [row["layer"] for row in found["layers"]] == ["a"], "b is as it was"

    def probabilities(first):
        logits = (data.inputs @ first @ before["b"]["w"]).astype(np.float64)
        parts = np.exp(logits - logits.max(1, keepdims=True))
        return parts / parts.sum(1, keepdims=True)

    p, q = probabilities(before["a"]["w"]), probabilities(after["a"]["w"])
    assert found["layers"][0]["kl"] == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-4)
    right = [np.mean(each.argmax(1) == data.labels) for each in (p, q)]
    assert found["layers"][0]["points_lost"] == pytest.approx(100 * (right[0] - right[1]))
    assert found["images"] == 40


def test_layers_that_were_cut_cannot_be_measured_alone(tmp_path):
    before = {"a": {"w": np.ones((5, 4), "f")}, "b": {"w": np.ones((4, 3), "f")}}
    write_pair(tmp_path, before, {"a": {"w": np.ones((5, 2), "f")}, "b": {"w": before["b"]["w"]}})
    write_alone(tmp_path, Linear, None, flops=100)
    found = json.loads((tmp_path / "alone.json").read_text())
    assert found["why_not"].startswith("params/a/w has another shape") and not found["layers"]


def test_layers_that_take_too_long_are_not_measured(tmp_path):
    before = {"a": {"w": np.ones((5, 4), "f")}, "b": {"w": np.ones((4, 3), "f")}}
    write_pair(tmp_path, before, {"a": {"w": 2 * before["a"]["w"]}, "b": {"w": before["b"]["w"]}})
    write_alone(tmp_path, Linear, None, flops=10**10)
    found = json.loads((tmp_path / "alone.json").read_text())
    assert found["why_not"].startswith("it would take too long") and not found["layers"]


def test_layers_are_named_by_their_tensors():
    assert layer_of("params/blocks/0/mlp/kernel") == "blocks/0/mlp"


# Areas


def test_areas_are_sizes_and_fill_the_box():
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 40):
        sizes = sorted(rng.exponential(size=count).tolist(), reverse=True)
        boxes = squarified(sizes, Box(3, 5, 48, 30))
        areas = np.array([box.width * box.height for box in boxes])
        np.testing.assert_allclose(areas, np.array(sizes) / sum(sizes) * 48 * 30)
        for n, one in enumerate(boxes):
            assert one.x >= 3 - 1e-9 and one.x + one.width <= 51 + 1e-6
            assert one.y >= 5 - 1e-9 and one.y + one.height <= 35 + 1e-6
            for other in boxes[:n]:
                wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
                high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
                assert min(wide, high) < 1e-6, "no two overlap"
    assert squarified([], Box(0, 0, 1, 1)) == []
    square = squarified([1.0] * 16, Box(0, 0, 4, 4))
    assert max(max(box.width / box.height, box.height / box.width) for box in square) < 1.01
    assert all(np.isfinite(squarified([1.0, 1e-12], Box(0, 0, 4, 4))).flat)
