"""Records know which code they measure, and what they were before."""

import json
import re

import pytest

from benchmarks import tables
from benchmarks.lib import catalogue, code, record
from benchmarks.lib.markdown import with_earlier

SOURCE = '''
"""A module."""
import math

LEVELS = 16  # a comment


def scale(x: float) -> float:
    """Return a multiple."""
    return math.pi * x
'''


@pytest.mark.parametrize(
    "same",
    [
        SOURCE.replace('"""A module."""', '"""Another."""'),
        SOURCE.replace("  # a comment", ""),
        SOURCE.replace("\n\n\n", "\n\n# moved\n\n\n"),
        SOURCE.replace("x: float) -> float", "x)"),
        SOURCE.replace('    """Return a multiple."""\n', ""),
        SOURCE.replace("math.pi * x", "(math.pi *\n            x)"),
    ],
)
def test_digest_does_not_see_what_computes_nothing(same):
    assert same != SOURCE and code.digest(same) == code.digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("16", "17"),
        ("16", "16.0"),
        ("16", "'16'"),
        ("*", "+"),
        ("math.pi", "math.e"),
        ("x)", "x=0)"),
    ],
)
def test_digest_sees_a_change(old, new):
    other = SOURCE.replace("x: float)", "x)").replace(old, new)
    assert code.digest(other) != code.digest(SOURCE)


def test_changed_files_are_changed_new_or_gone(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("a.py", "b.py", "folder/c.py", "folder/d.txt"):
        (tmp_path / name).write_text("x = 1\n")
    old = code.digests(["a.py", "folder", "missing"], tmp_path)
    assert list(old) == ["a.py", "folder/c.py"]
    (tmp_path / "a.py").write_text("x = 2\n")
    (tmp_path / "folder/c.py").rename(tmp_path / "folder/e.py")
    new = code.digests(["a.py", "folder"], tmp_path)
    assert code.changed(old, new) == ["a.py", "folder/c.py", "folder/e.py"]
    assert code.commit(["a.py"], tmp_path) == ("", False)


@pytest.mark.slow
def test_the_code_of_a_record_is_that_which_was_loaded(monkeypatch):
    for each in tables.RECORDS:
        assert record.code_now(each.measures) == code.digests(each.measures), each.name
    place = "benchmarks/lib/code.py"
    before = code.digests([place])
    monkeypatch.setattr("pathlib.Path.read_text", lambda path: "edited = 1")
    record.code_now.cache_clear()
    assert record.code_now((place,)) == before != code.digests([place])


def made(date, digest, figure, **more):
    common = {"command": "run", "commit": "abc", "hardware": "one core", "seeds": [0]}
    versions = {"jax": "1", "numpy": "2"}
    return common | {
        "date": date,
        "versions": versions,
        "code": {"a.py": digest},
        "figures": figure,
        **more,
    }


def test_history_keeps_records_of_other_code():
    first, again, second = made("d1", "1", 5), made("d2", "1", 6), made("d3", "2", 7)
    assert record.history({}, first) == [] == record.history(first, again)
    found = record.history(again | {"history": [{"date": "d0"}]}, second)
    assert [each["date"] for each in found] == ["d2", "d0"]
    assert found[0]["figures"] == 6 and "code" not in found[0]


def test_an_earlier_record_is_one_line():
    content = made("d2", "2", [{"x": 1}], history=[made("d1", "1", [{"x": 0}])])
    text = record.as_text(content)
    assert json.loads(text) == content and "\n" not in text.partition('"history": [\n')[2][:-7]


def test_a_table_shows_what_a_figure_was():
    content = made("d2", "2", {"a": "1", "b": "3"}, history=[made("d1", "1", {"a": "4"})])
    lines = with_earlier(["name", "figure"], lambda figures: list(figures.items()), content)
    assert lines[0] == "| name | figure | was |"
    assert lines[2:4] == ["| a | 1 | 4 |", "| b | 3 |  |"]
    assert "`run`, d2 at abc: one core;" in lines[5] and "measured d1 at abc" in lines[5]
    del content["history"]
    assert "was" not in with_earlier(["name", "figure"], lambda _: [["a", "1"]], content)[0]


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A record of one file of code."""
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "code_now", lambda places: code.digests(places, tmp_path))
    monkeypatch.setattr(catalogue, "digests", record.code_now)
    (tmp_path / "a.py").write_text("x = 1\n")
    return record.Record("some", "something", ("a.py",), {})


def row(seed, accuracy):
    return {"seed": seed, "accuracy": accuracy}


def merged(measured, *rows):
    for each in rows:
        record.merge(measured, each, key=lambda r: r["seed"], command=lambda rows: f"{len(rows)}")
    return measured.read()


def test_rows_of_other_code_begin_anew(measured, tmp_path):
    content = merged(measured, row(1, 0.5), row(0, 0.25), row(1, 0.75))
    assert [each["accuracy"] for each in content["figures"]] == [0.25, 0.75]
    assert content["seeds"] == [0, 1] and content["command"] == "2" and content["history"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"]) and content["minutes"] < 1
    (tmp_path / "a.py").write_text("x = 2\n")
    assert record.rows_of(measured) == []
    content = merged(measured, row(0, 1.0), row(1, 1.0))
    assert [each["accuracy"] for each in content["figures"]] == [1.0, 1.0]
    assert [len(each["figures"]) for each in content["history"]] == [2]


def test_stale_records_are_named(measured, tmp_path):
    record.write(measured, seeds=[0], figures={}, command="repeat me")
    assert catalogue.stale([measured]) == []
    (tmp_path / "a.py").write_text("x = 2\n")
    first, changed, repeat = catalogue.stale([measured])
    assert first.startswith("some: made 20") and changed.endswith("since: a.py")
    assert "repeat me" in repeat
    content = measured.read()
    del content["code"]  # as records have it that are older than digests
    measured.path.write_text(json.dumps(content))
    assert "not recorded" in catalogue.stale([measured])[1]


def test_records_measure_what_is_there():
    names = [each.name for each in tables.RECORDS]
    assert len(set(names)) == len(names)
    assert set(names) == {path.stem for path in record.RESULTS.glob("*.json")}
    for each in tables.RECORDS:
        for place in each.measures:
            assert (code.ROOT / place).exists(), f"{each.name}: {place}"


def test_commands_name_benchmarks_that_are_there():
    for each in tables.RECORDS:
        module = re.search(r"python -m benchmarks\.(\w+)", each.read()["command"])
        assert module and (code.ROOT / "benchmarks" / module[1] / "__main__.py").is_file()
