"""Files of GGUF that are damaged, or say what is not true; made without the library."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.cli.formats.gguf import GgufSource
from jaxcompress.cli.status import Refused
from tests.helpers.program import refused


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def value(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def array(kind, count, data=b""):
    return struct.pack("<IQ", kind, count) + data


def tensor(name="w", dims=(4, 2), kind=0, start=0):
    head = text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, start)
    return head


MATRIX = tensor()


def made(values=(), tensors=(MATRIX,), numbers=32, *, magic=b"GGUF", version=3, counts=None):
    """A file; counts of tensors and values that lie are given."""
    counts = counts or (len(tensors), len(values))
    data = magic + struct.pack("<IQQ", version, *counts) + b"".join(values) + b"".join(tensors)
    data += bytes(-len(data) % 32)
    return data + np.arange(numbers, dtype=np.uint8).tobytes()


def test_the_smallest_file_is_read(here):
    Path("m.gguf").write_bytes(made())
    source = GgufSource(Path("m.gguf"))
    assert source.paths == ["w"] and source.load(0).shape == (2, 4)
    Path("m.gguf").write_bytes(made(version=2))
    assert source.leaves == GgufSource(Path("m.gguf")).leaves


def test_numbers_may_lie_beyond_4_gib(here):
    data = made(tensors=[tensor("large", (5 << 30,), 24), tensor(start=5 << 30)], numbers=0)
    with open("m.gguf", "wb") as file:  # a hole on the disk
        file.write(data)
        file.seek(len(data) + (5 << 30))
        file.write(bytes(range(32)))
    source = GgufSource(Path("m.gguf"))
    assert source.load(1).tobytes() == bytes(range(32))


UINT32, STRING, ARRAY = 4, 8, 9
ALIGN = value("general.alignment", UINT32, struct.pack("<I", 64))
DEEP = array(ARRAY, 1) * 9 + array(0, 0)
WRONG = {
    "empty": (b"", "more bytes than the file has"),
    "another magic": (made(magic=b"GGML"), "not a GGUF file"),
    "version 1": (made(version=1), "an unknown version: expected 2 or 3, found 1"),
    "version 4": (made(version=4), "found 4"),
    "big endian": (made(version=3 << 24), "bytes are in the order of other machines"),
    "many values": (made(counts=(1, 2**63)), "more values than the file has"),
    "a value too much": (made(counts=(1, 1)), "m.gguf: "),
    "many tensors": (made(counts=(2**40, 0)), "more tensors than the file has"),
    "a tensor too much": (made(counts=(2, 0)), "m.gguf: "),
    "a key too long": (made([struct.pack("<Q", 2**50)]), "more bytes than the file has"),
    "a key twice": (made([ALIGN, ALIGN]), "a key is there twice: found general.alignment"),
    "a key that is no text": (made([value(b"\xff", 0, b"\0")]), "not readable"),
    "an unknown kind": (made([value("a", 13, bytes(8))]), "an unknown type of value"),
    "many items": (made([value("a", ARRAY, array(10, 2**61))]), "more items than the file"),
    "many strings": (made([value("a", ARRAY, array(STRING, 2**61))]), "more items than the file"),
    "arrays too deep": (made([value("a", ARRAY, DEEP)]), "nested too deep"),
    "alignment 0": (made([value("general.alignment", 4, bytes(4))]), "a power of two: found 0"),
    "alignment 3": (made([value("general.alignment", 4, b"\3\0\0\0")]), "found 3"),
    "alignment of text": (made([value("general.alignment", 8, text("32"))]), "found 32"),
    "too few bytes": (made(numbers=31), "w: numbers must lie in the file"),
    "a huge shape": (made(tensors=[tensor(dims=(2**32, 2**32))]), "w: too many numbers"),
    "a large shape": (made(tensors=[tensor(dims=(2**30, 2**30))]), "w: numbers must lie in the"),
    "huge and empty": (made(tensors=[tensor(dims=(2**63, 0))]), "w: too many numbers"),
    "many axes": (made(tensors=[tensor(dims=(1,) * 5)]), "w: too many axes: expected <= 4"),
    "endless axes": (
        made(tensors=[text("w") + struct.pack("<I", 2**32 - 1) + bytes(40)]),
        "w: too many axes",
    ),
    "not aligned": (made(tensors=[tensor(start=4)], numbers=64), "w: not aligned"),
    "not aligned as it says": (
        made([ALIGN], [tensor(start=32)], numbers=200),
        "w: not aligned: expected a multiple of 64, found 32",
    ),
    "behind the end": (made(tensors=[tensor(start=2**62)]), "w: numbers must lie in the file"),
    "twice": (made(tensors=[tensor(), tensor(start=32)], numbers=64), "w: a tensor is there twice"),
    "one place for two": (
        made(tensors=[tensor(), tensor("v")]),
        "numbers of two tensors overlap",
    ),
    "overlapping": (
        made(tensors=[tensor(dims=(4, 4)), tensor("v", start=32)], numbers=64),
        "v: numbers of two tensors overlap",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_header_that_lies_is_refused(here, case):
    data, reason = WRONG[case]
    Path("m.gguf").write_bytes(data)
    said = refused("pack", "m.gguf", "--lossless", status=3)
    assert said.startswith("jaxcompress: m.gguf: ") and reason in said
    assert os.listdir() == ["m.gguf"]


def test_unknown_types_are_refused_by_name(here):
    pytest.importorskip("gguf")
    for kind in (4, 99, 2**31):
        Path("m.gguf").write_bytes(made(tensors=[tensor(kind=kind)]))
        said = refused("pack", "m.gguf")
        assert f"m.gguf: w: must be of a type that gguf can read, got {kind} " in said


def test_blocks_need_the_library_and_whole_rows(here, monkeypatch):
    pytest.importorskip("gguf")
    Path("m.gguf").write_bytes(made(tensors=[tensor(dims=(48, 2), kind=2)], numbers=54))
    said = refused("pack", "m.gguf", status=3)
    assert "w: a row must be a whole number of blocks: expected a multiple of 32, found 48" in said
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    said = refused("pack", "m.gguf")
    assert "m.gguf: w: needs gguf, which is not installed; pip install 'jaxcompress[gguf]'" in said


SMALL = made(
    [
        value("general.architecture", STRING, text("llama")),
        value("a", ARRAY, array(STRING, 2, text("b") + text("c"))),
        value("n", ARRAY, array(5, 2, bytes(8))),
    ],
    [tensor(), tensor("v", (3,), 1, 32)],
    numbers=38,
)


def outcome(data, path):
    """What is read, or None if it is refused."""
    path.write_bytes(data)
    try:
        source = GgufSource(path)
        return {name: source.load(index) for index, name in enumerate(source.paths)}
    except (jc.ArtifactError, Refused):
        return None


def test_a_file_that_is_cut_is_refused(here):
    assert sorted(outcome(SMALL, Path("m.gguf"))) == ["v", "w"]
    for size in range(len(SMALL)):
        assert outcome(SMALL[:size], Path("m.gguf")) is None


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4))
def test_a_damaged_file_is_refused_or_read_in_bounds(tmp_path_factory, changes):
    data = bytearray(SMALL)
    for place, byte in changes:
        data[place] = byte
    found = outcome(bytes(data), tmp_path_factory.mktemp("m") / "m.gguf")
    for array in (found or {}).values():
        assert array.nbytes <= len(data) * 64
