"""Figures are as new as their records, and say so without being drawn."""

import importlib
import sys

import pytest

from benchmarks.figures import plots

figures = importlib.import_module("benchmarks.figures.__main__")

RECORD = {
    "command": "python -m benchmarks.b",
    "date": "2026-01-02",
    "commit": "abc",
    "hardware": "a CPU",
    "versions": {"jax": "1", "numpy": "2"},
    "seeds": [0, 1],
    "figures": [{"removed": "50 %", "dense": 1}],
}


def test_figures_are_as_new_as_their_records():
    assert figures.stale() == [], "run python -m benchmarks.figures"


def test_the_check_draws_nothing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(sys, "argv", ["figures", "--check"])
    assert figures.main() == 0 and capsys.readouterr().out == ""


def test_a_digest_sees_a_figure_and_not_its_order_or_the_rest():
    same = RECORD | {"hardware": "another", "figures": [{"dense": 1, "removed": "50 %"}]}
    other = RECORD | {"figures": [{"removed": "50 %", "dense": 2}]}
    assert figures.described(same) == figures.described(RECORD) != figures.described(other)


def test_old_figures_and_captions_are_named(tmp_path, monkeypatch):
    page = tmp_path / "docs" / "deep" / "page.md"
    page.parent.mkdir(parents=True)
    page.write_text("a\n\n<!-- figure b -->\n<!-- end -->\n\nc\n")
    plot = plots.Plot("b", "what it shows", (1, 1), lambda figure, rows: None)
    drawn = tmp_path / "docs" / "figures"
    drawn.mkdir()
    for name, value in {
        "ROOT": tmp_path,
        "DRAWN": drawn,
        "DOCS": [page],
        "PLOTS": {"b": plot},
        "recorded": lambda name: RECORD,
    }.items():
        monkeypatch.setattr(figures, name, value)
    assert figures.stale() == ["b", "docs/deep/page.md"]
    (drawn / "b.svg").write_text(f"<svg>{figures.described(RECORD)}</svg>")
    page.write_text(figures.captioned(page, page.read_text()))
    assert figures.stale() == []
    before, shown, said = page.read_text().split("\n\n")[:3]
    assert before == "a"
    assert shown == "<!-- figure b -->\n![what it shows](../figures/b.svg)"
    assert said.startswith(
        "Record `benchmarks/results/b.json`, of `python -m benchmarks.b`, 2026-01-02 at abc: a CPU;"
    )
    monkeypatch.setattr(figures, "recorded", lambda name: RECORD | {"figures": []})
    assert figures.stale() == ["b"]


def test_a_page_may_not_name_a_figure_that_does_not_exist(tmp_path):
    with pytest.raises(KeyError, match="none"):
        figures.captioned(tmp_path / "a.md", "<!-- figure none -->\n<!-- end -->")


@pytest.mark.parametrize("name", plots.PLOTS)
def test_a_figure_is_small_plain_text_and_dateless(name):
    text = (figures.DRAWN / f"{name}.svg").read_text()
    assert len(text) < 60_000 and "<text" in text and "dc:date" not in text


@pytest.mark.slow
def test_equal_figures_make_equal_files(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(figures, "DRAWN", tmp_path)
    figures.draw("pruning")
    first = (tmp_path / "pruning.svg").read_bytes()
    figures.draw("pruning")
    assert (tmp_path / "pruning.svg").read_bytes() == first
    assert figures.described(figures.recorded("pruning")) in first.decode()
