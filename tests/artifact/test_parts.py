"""Files of several parts: tensors that have streams of their own."""

import contextlib
import itertools
import pickle
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.artifact import _parts, _zip
from jaxcompress.artifact.reader import read
from jaxcompress.artifact.streams import MANIFEST
from jaxcompress.artifact.writer import encoded, pieces
from jaxcompress.leaves import Half, Quantized
from tests.helpers.files import members_of, rewritten, written

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
    jc.save(tmp_path / "m.npz", example(), layout="packed")
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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bytes_of_each_tensor_are_known_before_the_file_is_read(tmp_path, layout, monkeypatch):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (40, 60)).astype(np.uint8)
    tree = example() | {
        "codes2": jc.Clustered(codes=codes, codebook=np.array([-2, 0.5, 1], np.float32)),
        "wide": rng.standard_normal((64, 80)).astype(np.float32),
        "zero": jc.low_rank({"w": rng.standard_normal((30, 20))}, keep=0.3)["w"],
    }
    for numbers in (10, 1 << 22):
        monkeypatch.setattr(_parts, "NUMBERS", numbers)
        parts = list(encoded(sorted(tree.items()), jax.tree.leaves(jc.dense(tree)), layout))
        jc.save(tmp_path / "m.npz", tree, layout=layout)
        read_back = [tensor.stored_bytes for tensor in read(tmp_path / "m.npz").tensors]
        assert [share for part in parts for share in part.shares] == pytest.approx(read_back)
        assert read_back[-1] > 100


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


def arrays_of(tree):
    return [(a.dtype, a.shape, np.asarray(a).tobytes()) for a in jax.tree.leaves(tree)]


def outcome(path):
    """What a file holds, or None if it is refused; any other error is one of the test."""
    try:
        contents = read(path)
    except jc.ArtifactError:
        return None
    return arrays_of(contents.tree), contents.manifest


@pytest.fixture(params=["csr", "csr zip64", "entropy"])
def either(request, tmp_path, monkeypatch):
    """A file of three parts, with and without zip64."""
    layout, _, zip64 = request.param.partition(" ")
    if zip64:
        monkeypatch.setattr(_zip, "_LARGE", 400)
    jc.save(tmp_path / "m.npz", example(), layout=layout)
    return tmp_path / "m.npz"


def test_some_truncations_and_flipped_bits(either, tmp_path):
    data, expected = either.read_bytes(), outcome(either)
    target = tmp_path / "damaged.npz"
    assert expected is not None
    for length in range(0, len(data), 13):
        target.write_bytes(data[:length])
        assert outcome(target) is None
    for bit in range(0, 8 * len(data), 101):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        target.write_bytes(damaged)
        assert outcome(target) in (None, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "either",
    [
        pytest.param("csr", marks=pytest.mark.exhaustive),
        pytest.param("csr zip64", marks=pytest.mark.exhaustive),
        pytest.param("entropy", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_every_truncation_and_flipped_bit(either, tmp_path):
    data, expected = either.read_bytes(), outcome(either)
    target = tmp_path / "damaged.npz"
    for length in range(len(data)):
        target.write_bytes(data[:length])
        assert outcome(target) is None
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        target.write_bytes(damaged)
        assert outcome(target) in (None, expected)


def moved(name, new):
    """Another name for a member, in its place."""

    def change(members):
        found = {new if key == name else key: array for key, array in members.items()}
        members.clear()
        members.update(found)

    return change


def told(**fields):
    return lambda members: members[MANIFEST].update(fields)


def first(name):
    """A member in front of all others."""

    def change(members):
        found = {name: members.pop(name)} | members
        members.clear()
        members.update(found)

    return change


HOSTILE = {
    "no parts": (lambda m: m[MANIFEST].pop("parts"), "other fields"),
    "parts in an older version": (told(version=4), "other fields"),
    "parts in a number": (told(parts=3), "parts must be a list of numbers"),
    "parts in text": (told(parts=["2", 3, 1]), "parts must be a list of numbers"),
    "parts of truth": (told(parts=[2, 3, True]), "parts must be a list of numbers"),
    "an empty part": (told(parts=[2, 0, 3, 1]), "parts must add up to the tensors"),
    "a part of less than nothing": (told(parts=[2, 5, -1]), "parts must add up to the tensors"),
    "tensors of no part": (told(parts=[2, 3]), "parts must add up to the tensors: expected 6"),
    "parts of no tensors": (told(parts=[2, 3, 1, 1]), "parts must add up to the tensors"),
    "fewer parts": (told(parts=[2, 4]), "a member of no part: expected 2, found int64.2"),
    "more parts": (
        told(parts=[1, 1, 3, 1]),
        "float32: entries that belong",
    ),
    "parts cut elsewhere": (told(parts=[1, 4, 1]), "float32: entries that belong to no tensor"),
    "a part that another one has": (
        moved("int64.2", "int64.1"),
        "int64.1: entries that belong",
    ),
    "a part 0 with its number": (
        moved("codes", "codes.0"),
        "unknown member: found codes.0",
    ),
    "a number with a zero": (moved("float32.1", "float32.01"), "unknown member: found float32.01"),
    "a number with a sign": (moved("float32.1", "float32.+1"), "unknown member"),
    "a number of other digits": (moved("float32.1", "float32.1 "), "unknown member"),
    "a number of a number": (moved("float32.1", "float32.1.1"), "unknown member"),
    "a huge number": (moved("int64.2", f"int64.{10**9}"), "unknown member"),
    "a number beyond the parts": (moved("int64.2", "int64.3"), "a member of no part: expected 3"),
    "a stream of no name": (moved("float32.1", ".1"), "unknown member"),
    "a manifest of a part": (moved("float32.1", "manifest.1"), "unknown member"),
    "the manifest first": (first(MANIFEST), "members must be in the order of parts"),
    "parts in another order": (first("int64.2"), "members must be in the order of parts"),
    "a member nobody takes": (
        lambda m: m.update({"int8.2": np.ones(1, "i1"), MANIFEST: m.pop(MANIFEST)}),
        "int8.2: entries that belong to no tensor",
    ),
    "entries nobody takes": (
        lambda m: m.update({"int64.2": np.array([7, 7])}),
        "int64.2: entries that belong to no tensor",
    ),
    "streams of another part": (
        lambda m: m.update({"float32": m["float32.1"], "float32.1": m["float32"]}),
        "bias: float32: too few|sha256|belong",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_parts_are_refused_by_name(tmp_path, name):
    change, message = HOSTILE[name]
    path = tmp_path / "m.npz"
    jc.save(path, example(), layout="csr")
    rewritten(path, change)
    with pytest.raises(jc.ArtifactError, match=message) as caught:
        jc.load(path, max_bytes=1 << 24)
    assert caught.value.file == str(path) and "\n" not in str(caught.value)


def test_any_cut_is_read(tmp_path):
    """A reader takes parts of any sizes, not only those that this writer makes."""
    path, leaves = tmp_path / "m.npz", list(example().items())
    structure = {"dict": [[name, number] for number, (name, _) in enumerate(leaves)]}
    for cut in ([1] * 6, [6], [4, 2], [1, 5]):
        ends = np.cumsum([0, *cut])
        parts = [_parts.encode_part(leaves[a:b], "csr") for a, b in itertools.pairwise(ends)]
        path.write_bytes(b"".join(pieces(parts, structure)))
        jax.tree.map(np.testing.assert_array_equal, read(path).tree, example())


@pytest.mark.slow
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_what_an_author_changes_is_read_or_refused(data):
    """Numbers of the manifest and of streams, names and places of members, with sums made anew."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        jc.save(path, example(), layout=data.draw(st.sampled_from(["packed", "csr"])))
        members = members_of(path)
        for _ in range(data.draw(st.integers(1, 3))):
            names = sorted(set(members) - {MANIFEST})
            kind = data.draw(st.sampled_from(["parts", "name", "place", "size"]))
            name = data.draw(st.sampled_from(names))
            if kind == "parts":
                cut = st.lists(st.integers(-1, 7), max_size=7)
                members[MANIFEST]["parts"] = data.draw(cut)
            elif kind == "name":
                stem = name.partition(".")[0]
                moved(name, f"{stem}.{data.draw(st.integers(0, 4))}".removesuffix(".0"))(members)
            elif kind == "place":
                first(name)(members)
            else:
                size = data.draw(st.integers(1, 2 * members[name].size))
                members[name] = np.resize(members[name], size)
        written(path, members)
        with contextlib.suppress(jc.ArtifactError):
            read(path, max_bytes=1 << 24)
