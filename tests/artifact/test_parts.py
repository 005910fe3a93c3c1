"""Files of several parts: tensors that have streams of their own."""

import pickle
import tracemalloc
import zipfile

import jax
import ml_dtypes
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.artifact import _parts
from jaxcompress.artifact.reader import read
from jaxcompress.artifact.streams import MANIFEST
from jaxcompress.artifact.writer import encoded, pieces
from jaxcompress.leaves import Half, Quantized

LAYOUTS = ("packed", "csr", "entropy")


def example():
    """Tensors of 5, 12, 0, 9, 4 and 1 numbers."""
    book = np.array([-2, 0.5, 1], np.float32)
    codes = np.array([[0, 1, 2, 3], [3, 0, 0, 1], [2, 2, 0, 0]], np.uint8)
    values = np.array([[-8, 7, 0], [3, -4, 1], [0, 0, 2]], np.int8)
    return {
        "bias": np.arange(5, dtype=np.float32),
        "codes": jc.Clustered(codes=codes, codebook=book),
        "empty": np.zeros((0, 3), np.int8),
        "grid": Quantized(values=values, scale=np.ones((1, 3), "f"), bits=4),
        "half": Half(values=np.array([1.5, -2, 0, 3], ml_dtypes.bfloat16), dtype=np.dtype("f4")),
        "step": np.array(7),
    }


@pytest.fixture(autouse=True)
def _parts_of_ten_numbers(monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 10)


@pytest.fixture
def path(tmp_path):
    jc.save(tmp_path / "m.npz", example())
    return tmp_path / "m.npz"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_parts_are_read(tmp_path, layout):
    path, tree = tmp_path / "m.npz", example()
    jc.save(path, tree, layout=layout, metadata={"a": 1})
    manifest = jc.inspect(path)
    assert manifest["version"] == 5 and manifest["parts"] == [2, 3, 1]
    assert manifest["metadata"] == {"a": 1}
    loaded = read(path).tree
    assert jax.tree.structure(loaded) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, loaded, tree)
    jax.tree.map(np.testing.assert_array_equal, jc.load(path), jc.dense(tree))


def test_the_members_of_a_part_bear_its_number_and_the_manifest_is_last(tmp_path):
    path = tmp_path / "m.npz"
    jc.save(path, example(), layout="csr")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    assert names == [
        *("float32", "row_lengths", "distances", "codes"),
        *("float32.1", "bits.1", "row_lengths.1", "distances.1", "codes.1", "bfloat16.1"),
        *("int64.2", MANIFEST),
    ]
    with np.load(path) as arrays:
        assert arrays["float32"].tolist() == [0, 1, 2, 3, 4, -2, 0.5, 1]
        assert arrays["int64.2"].tolist() == [7]


def test_a_file_of_one_part_is_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 1 << 22)
    jc.save(tmp_path / "m.npz", example())
    manifest = jc.inspect(tmp_path / "m.npz")
    assert manifest["version"] == 3 and "parts" not in manifest
    with zipfile.ZipFile(tmp_path / "m.npz") as archive:
        assert archive.namelist()[0] == "manifest.npy"


def test_trees_without_numbers(tmp_path):
    for tree in ({}, {"a": np.zeros((0, 2), "f"), "b": np.zeros(0, "f")}, [None]):
        jc.save(tmp_path / "m.npz", tree)
        assert jc.inspect(tmp_path / "m.npz")["version"] == 2
        found = jc.load(tmp_path / "m.npz")
        assert jax.tree.structure(found) == jax.tree.structure(tree)


def test_a_part_is_coded_by_itself_and_kept_on_disk():
    leaves = list(example().items())
    parts = list(encoded(leaves, [leaf for _, leaf in leaves], "packed"))
    alone = _parts.encode_part(leaves[2:5], "packed")
    assert pickle.loads(pickle.dumps(parts[1])) == alone == parts[1]


def test_the_bytes_come_while_the_parts_come():
    leaves, came = list(example().items()), []

    def coming():
        for path, leaf in leaves:
            came.append(path)
            yield path, leaf

    structure = {"dict": [[path, number] for number, (path, _) in enumerate(leaves)]}
    found = pieces(encoded(coming(), [leaf for _, leaf in leaves], "packed"), structure)
    next(found)
    assert came == ["bias", "codes", "empty", "grid", "half"]  # two parts: there will be several
    assert b"PK" in b"".join(found) and came[-1] == "step"


def test_no_more_than_a_part_is_held_while_writing(tmp_path, monkeypatch):
    size = 1 << 19
    monkeypatch.setattr(_parts, "NUMBERS", size)
    numbers = np.random.default_rng(0)
    leaves = ((f"{n:02}", numbers.integers(0, 256, size, np.uint8)) for n in range(40))
    like = [jax.ShapeDtypeStruct((size,), "uint8")] * 40
    structure = {"dict": [[f"{n:02}", n] for n in range(40)]}
    tracemalloc.start()
    with (tmp_path / "m.npz").open("wb") as file:
        file.writelines(pieces(encoded(leaves, like, "packed"), structure))
    assert tracemalloc.get_traced_memory()[1] < 8 * size
    tracemalloc.stop()
    assert len(jc.load(tmp_path / "m.npz")) == 40
