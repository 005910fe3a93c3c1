"""Parts in files of their own: what comes back is what was written, or nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.artifact import _parts
from jaxcompress.artifact.outline import outline
from jaxcompress.artifact.stored_parts import part_ranges, store_part, stored_part
from jaxcompress.artifact.writer import encoded, write
from jaxcompress.leaves import is_compressed

CODES = np.array([[0, 1, 2, 3], [3, 0, 0, 1]], np.uint8)
LEAVES = {
    "bias é": np.arange(5, dtype=np.float32),
    "codes": jc.Clustered(codes=CODES, codebook=np.array([-2, 0.5, 1], np.float32)),
    "empty": np.zeros((0, 3), np.int8),
}


@pytest.mark.parametrize("layout", ["packed", "csr", "entropy"])
def test_a_file_of_stored_parts_is_the_file(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(_parts, "NUMBERS", 10)
    pairs, parts = list(LEAVES.items()), []
    for number, tensors in enumerate(part_ranges(LEAVES.values())):
        path = tmp_path / f"{number}.part"
        store_part(path, pairs[tensors.start : tensors.stop], layout)
        parts.append(stored_part(path))
    assert len(parts) == 2
    write(tmp_path / "m.npz", parts, outline(LEAVES, is_compressed))
    assert (tmp_path / "m.npz").read_bytes() == jc.artifact.encode(LEAVES, layout=layout)
    assert parts[0].entries == next(encoded(pairs, LEAVES.values(), layout)).entries


def test_ranges_cover_all_tensors_in_order(monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 10)
    leaves = [np.zeros(n) for n in (3, 6, 1, 50, 0, 2)]
    assert part_ranges(leaves) == [range(3), range(3, 4), range(4, 6)]
    assert part_ranges([]) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("part") / "0.part"
    store_part(path, LEAVES.items(), "packed")
    assert os.listdir(path.parent) == ["0.part"]
    return path


def test_every_truncation_is_seen(whole, tmp_path):
    data, path = whole.read_bytes(), tmp_path / "cut.part"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert stored_part(path) is None
    path.write_bytes(data + b"x")
    assert stored_part(path) is None
    assert stored_part(Path("missing.part")) is None


@given(st.data())
def test_every_flipped_bit_is_seen(whole, tmp_path_factory, data):
    content = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, 8 * len(content) - 1))
    content[place // 8] ^= 1 << place % 8
    path = tmp_path_factory.getbasetemp() / "flipped.part"
    path.write_bytes(content)
    assert stored_part(path) is None


def test_a_part_that_cannot_be_written_whole_is_not_there(tmp_path):
    path = tmp_path / "0.part"
    with pytest.raises(TypeError, match="a: "):
        store_part(path, [("a", np.array(["text"]))], "packed")
    assert not list(tmp_path.iterdir())
