"""Arrays kept on disk: made once, whole or not at all; work done by threads in order."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.data import parallel
from pipelines.data.cache import cached, code_digest
from pipelines.data.dataset import DataError
from pipelines.data.parallel import in_parallel


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
    assert [path.suffix for path in (folder / "things").iterdir()] == [".lock"]
    assert cached("things", {}, counting([]))["numbers"].shape == (3, 2)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["numbers.npy", "labels.npy", "index.json"])
def test_what_was_damaged_is_made_again(folder, harm, name):
    calls = []
    cached("things", {}, counting(calls))
    (path,) = folder.glob(f"things/*/{name}")
    harm(path)
    assert cached("things", {}, counting(calls))["numbers"].tolist() == [[7, 7]] * 3
    assert len(calls) == 2


def test_what_a_killed_process_left_is_cleared_away(folder):
    cached("things", {}, counting([]))
    (made,) = (path for path in folder.glob("things/*") if path.is_dir())
    made.rename(made.with_suffix(".part"))
    assert cached("things", {}, counting([], value=3))["numbers"].max() == 3
    assert not list(folder.glob("things/*.part"))


def test_one_makes_it_and_the_others_wait():
    calls, started = [], threading.Event()

    def slow(create):
        started.set()
        time.sleep(0.2)
        counting(calls)(create)

    def second():
        started.wait()
        return cached("things", {}, counting(calls, value=8))

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(cached, "things", {}, slow), pool.submit(second)]
    assert [result.result()["numbers"].max() for result in results] == [7, 7]
    assert calls == [7]


def test_a_folder_that_cannot_be_written_is_named(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("JAXCOMPRESS_DATA", str(folder / "file"))
    with pytest.raises(DataError, match="cannot be used as a cache .*JAXCOMPRESS_DATA"):
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
    monkeypatch.setattr(parallel, "_cores", lambda: cores)
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
