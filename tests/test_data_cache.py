"""Arrays kept on disk: made once, whole or not at all; work done by threads in order."""

import numpy as np
import pytest

from pipelines.data import cache
from pipelines.data.cache import cached, code_digest, in_parallel
from pipelines.data.dataset import DataError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXCOMPRESS_DATA", str(tmp_path))
    return tmp_path


def counting(calls, value=7):
    def make(create):
        calls.append(value)
        create("numbers", (3, 2), np.uint8)[:] = value
        create("labels", (3,), np.int32)[:] = [1, 2, 3]

    return make


def test_made_once_for_a_key():
    calls = []
    for key in ({"a": 1}, {"a": 1}, {"a": 2}):
        arrays = cached("things", key, counting(calls))
        assert arrays["numbers"].tolist() == [[7, 7]] * 3 and arrays["labels"].tolist() == [1, 2, 3]
        assert arrays["numbers"].dtype == np.uint8 and not arrays["numbers"].flags.writeable
    assert len(calls) == 2


def test_what_breaks_off_leaves_nothing(folder):
    def make(create):
        create("numbers", (3,), np.uint8)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cached("things", {}, make)
    assert list((folder / "things").iterdir()) == []
    assert cached("things", {}, counting([]))["numbers"].shape == (3, 2)


def test_a_damaged_copy_is_made_again(folder):
    calls = []
    cached("things", {}, counting(calls))
    (path,) = folder.glob("things/*/numbers.npy")
    path.write_bytes(path.read_bytes()[:-1])
    assert cached("things", {}, counting(calls))["numbers"].tolist() == [[7, 7]] * 3
    assert len(calls) == 2


def test_the_quicker_of_two_processes_wins(monkeypatch):
    def make(create):
        create("numbers", (1,), np.uint8)[:] = 2
        with monkeypatch.context() as patch:
            patch.setattr(cache.os, "getpid", lambda: -1)
            cached("things", {}, counting([], value=1))

    assert cached("things", {}, make)["numbers"].tolist() == [[1, 1]] * 3


def test_a_folder_that_cannot_be_written_is_named(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("JAXCOMPRESS_DATA", str(folder / "file"))
    with pytest.raises(DataError, match="cannot be written .*JAXCOMPRESS_DATA"):
        cached("things", {}, counting([]))


def test_the_code_digest_follows_the_code(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    before = code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    assert code_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2")
    assert code_digest(tmp_path) != before
    assert code_digest(tmp_path / "a.py") == code_digest(tmp_path)
    (tmp_path / "b.py").write_text("")
    assert code_digest(tmp_path / "a.py") != code_digest(tmp_path)
    assert code_digest(tmp_path / "a.py", tmp_path / "b.py") == code_digest(tmp_path)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 10, 23])
def test_parts_come_in_order(monkeypatch, cores, count):
    monkeypatch.setattr(cache, "_cores", lambda: cores)
    said = []
    parts = in_parallel(
        lambda part: list(range(part.start, part.stop)),
        count,
        label="counting",
        progress=lambda *words: said.append(words),
        chunk=5,
    )
    numbers = [number for _, part in parts for number in part]
    assert numbers == list(range(count))
    assert [done for _, done, _ in said] == [*range(5, count, 5), *([count] if count else [])]
    assert all(words[::2] == ("counting", count) for words in said)


def test_an_error_in_a_part_comes_out():
    def fail(part):
        if part.start >= 2:
            raise ValueError(part.start)

    with pytest.raises(ValueError, match="2"):
        list(in_parallel(fail, 100, label="", progress=None, chunk=1))
