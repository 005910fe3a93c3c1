"""The page: every number out of the record, all text escaped, nothing that reaches out."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress import planner, report
from jaxcompress.report._html._elements import tag, written
from jaxcompress.report._html._scatter import Point, scatter
from tests.report.folders import EVIL, make

VOID = {"meta", "br", "wbr", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page holds: numbers with their places, tags, headings, text."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.tags, self.headings, self.ids, self.stack = [], [], [], [], []
        self.feed(text)
        assert not self.stack, f"never closed: {self.stack}"

    def handle_starttag(self, name, attrs):
        self.tags.append((name, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]
        if name not in VOID:
            self.stack.append((name, dict(attrs)))

    def handle_endtag(self, name):
        assert self.stack.pop()[0] == name

    def handle_data(self, data):
        name, attrs = self.stack[-1] if self.stack else ("", {})
        if name == "data":
            self.numbers.append((attrs["data-from"], attrs["value"], data))
        if re.fullmatch("h[1-6]", name):
            self.headings.append(int(name[1]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("report") / "run")
    record = report.of_run(folder)
    return record, report.page(record), report.card(record)


def at(record, place):
    for part in place.split("."):
        record = record[int(part)] if isinstance(record, list) else record[part]
    return record


def test_every_number_is_that_of_the_record(made):
    record, text, _ = made
    record = json.loads(json.dumps(record))
    numbers = Page(text).numbers
    assert len(numbers) > 150
    for place, value, shown in numbers:
        assert float(value) == at(record, place), place
        seen = float(shown.replace(",", "").replace("\N{MINUS SIGN}", "-"))
        exact = float(value)
        close = [
            abs(seen - exact * scale) <= 0.006 * abs(exact * scale) + 0.051 for scale in (1, 100)
        ]
        assert any(close), (place, value, shown)
    places = {place for place, *_ in numbers}
    for needed in (
        *("size.after_bytes", "size.ratio", "quality.after.low", "quality.control.value"),
        *(
            "latency.after_ms",
            "latency.after_quartiles_ms.1",
            "memory.after_bytes",
            "flops.after",
            "checks.0.measured",
        ),
        *("stages.0.accuracy", "layers.0.after.bits_per_weight", "profile.layers.0.damage"),
        *("search.tried.0.low", "search.tried.3.speedups.64", "search.budget.size_bytes"),
        *("tickets.rounds.1.ways.fine_tuned.high", "tickets.rounds.0.ticket_less.new_weights.low"),
        *("alone.layers.1.kl", "damage.sqnr_db", "layers.3.error.relative"),
        *("bytes_by_layer.0.before", "bytes_by_layer.0.after"),
        *("weights.0.zeros_after", "mistakes.points.low", "mistakes.classes.0.difference"),
    ):
        assert needed in places, needed


def test_nothing_of_others_is_markup(made):
    _, text, card = made
    assert EVIL in json.dumps(made[0]).replace('\\"', '"')
    assert "&lt;script&gt;" in text
    names = {name for name, _ in Page(text).tags}
    assert not names & {"script", "link", "iframe", "object", "form"}
    for _, attrs in Page(text).tags:
        assert not any(name.startswith("on") for name in attrs)
        assert not attrs.get("href", "#").startswith(("http", "javascript", "//"))
        assert attrs.get("src", "data:image/png").startswith("data:image/png")
    assert "url(" not in text and "@import" not in text
    body = card.partition("\n---\n")[2]
    outside = re.sub(r"```.*?```", "", body, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<", outside)


def test_control_characters_and_surrogates_can_be_written():
    text = written(tag("p", "a\x00\x1b\ud800\u202e</p>", title='"\n'))
    assert text == '<p title="&quot;\\n">a\\x00\\x1b\\ud800\\u202e&lt;/p&gt;</p>'
    assert text.encode()


def test_headings_tables_and_figures_are_named(made):
    page = Page(made[1])
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids) == len(set(page.ids))
    names = [name for name, _ in page.tags]
    assert names.count("caption") == names.count("table") > 5
    assert all("scope" in attrs for name, attrs in page.tags if name == "th")
    assert all(attrs.get("alt") for name, attrs in page.tags if name == "img")
    assert all(attrs.get("aria-label") for name, attrs in page.tags if name == "svg")
    sections = [attrs["id"] for name, attrs in page.tags if name == "section"]
    assert sections == [
        *("headline", "stages", "search", "tickets", "bytes", "layers", "structure", "weights"),
        *("mistakes", "skipped", "again"),
    ]
    assert "NOT CIFAR-10" in made[1].partition("<main")[0], "the notice cannot be missed"


def test_the_page_is_small_and_the_same_again(made, tmp_path):
    assert len(made[1].encode()) < 1_000_000
    assert report.page(json.loads(json.dumps(made[0]))) == made[1], "made of report.json alone"


@pytest.mark.slow
def test_a_result_of_the_planner_reports_itself(tmp_path):
    weights = {"w": np.random.default_rng(0).standard_normal((64, 64)).astype("f")}
    result = planner.compress_to(planner.Task(None, weights), size_bytes="3KB")
    record = result.report(tmp_path / "r.html", before=weights)
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(json.dumps(record))
    assert record["size"]["after_bytes"] == jc.size_bytes(result.params)
    assert result._repr_html_().startswith("<pre>step"), "as notebooks show it"
    text = (tmp_path / "r.html").read_text()
    assert "Report of a compressed network" in text and (tmp_path / "r.model_card.md").exists()


def test_a_file_of_many_tensors_stays_small(tmp_path):
    tree = {f"layer{n}": np.full((2, 2), n, "f") for n in range(600)}
    jc.save(tmp_path / "many.npz", tree)
    record = report.of_files([tmp_path / "many.npz"])
    text = report.page(record)
    assert len(text.encode()) < 500_000 and "smaller tensors are in report.json only" in text
    with pytest.raises(ValueError, match="at least one file"):
        report.of_files([])


def test_figures_of_one_point_have_axes():
    text = written(scatter([Point(100, 0.0, "a")], "one", y_name="y", lines=[[0]]))
    assert "NaN" not in text and "nan" not in text and text.count("<circle") == 1


def test_importing_the_report_needs_no_library_of_figures():
    import sys

    assert "jaxcompress.report" in sys.modules and "matplotlib.pyplot" not in sys.modules
