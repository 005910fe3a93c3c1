"""Files that were written once and must load for ever; nothing may be changed in them unnoticed.

The files of tests/artifact/golden are never written anew: a new version of the format adds files.
"""

import shutil
import zipfile
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.artifact.reader import read
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import Half, LowRank, Quantized
from jaxcompress.trees import named_leaves

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.npz"))
files = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)


def arrays_of(tree):
    """Every array in a tree of leaves, with what it is called."""
    named = named_leaves(tree)
    return {
        path: (str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes())
        for path, leaf in zip(named.paths, named.leaves, strict=True)
    }


def expected_1():
    """The tree of v1.npz, computed again from the seed it was made of."""
    rng = np.random.default_rng(7)
    w = rng.standard_normal((12, 20)).astype("f")
    w[rng.random(w.shape) < 0.6] = 0
    wide = rng.standard_normal((2, 600)).astype("f")
    wide[:, 5:590] = 0
    params = {
        "dense": {"kernel": w, "bias": np.arange(4, dtype="f")},
        "half": np.array([1.5, -0.0], ml_dtypes.bfloat16),
        "count": np.array(3, np.int32),
    }
    return jc.kmeans(params, 4) | jc.leaves.sparse({"wide": {"kernel": wide}})


def expected_2():
    """The tree of the files of version 2."""
    codes = np.array([[(i * i + 3 * j * i + j) % 11 for j in range(13)] for i in range(9)])
    codes = np.where(codes > 7, 0, codes).astype(np.uint8)
    codes[4] = 0
    book = np.array([-1.5, -0.25, -0.125, 0.5, 0.75, 1.0, 3.0], np.float32)
    kept = np.array([0, 1, 2, 300, 301, 600, 2000])
    return {
        "dense": {
            "bias": np.array([0.1, -0.0, np.inf], np.float32),
            "kernel": jc.Clustered(codes=codes, codebook=book),
        },
        "every": [
            np.array([0, 1, 1], bool),
            (np.array(7, np.int8), np.array([[-8, 7, 3]]).astype(ml_dtypes.int4)),
            np.array([1.5, 2.5, -3.0]).astype(ml_dtypes.bfloat16),
            None,
            {},
        ],
        "full": jc.Clustered(
            codes=((np.arange(600) ** 2 // 7) % 15 + 1).reshape(20, 30).astype(np.uint8),
            codebook=np.linspace(-2, 2, 15).astype(np.float64),
        ),
        "sparse": jc.Sparse(
            values=np.arange(7, dtype=np.float16), indices=kept.astype(np.int32), shape=(3, 700)
        ),
        "ü/ ": np.zeros((0, 3), np.float32),
    }


def expected_small():
    """The tree of v2_small.npz."""
    places = np.arange(400)
    kept = places[(places * places * 7 + places) % 13 % 4 != 0]
    leaf = jc.Sparse(
        values=(kept % 17).astype(np.int8), indices=kept.astype(np.int32), shape=(10, 40)
    )
    return {"dense": {"bias": np.array([0.5, -2.0], np.float32), "kernel": leaf}}


def expected_3():
    """The tree of the files of version 3: every kind of grid, and numbers of sixteen bits."""
    places = np.arange(14 * 11).reshape(14, 11)
    full = ((places**2 // 5) % 255 - 127).astype(np.int8)
    scale = np.linspace(0.25, 0.5, 11, dtype=np.float32)
    blocks = np.array([[-128, 127], [5, 0], [-7, 100]], np.int8)
    book = np.array([-1.5, 0.5], np.float32)
    return {
        "affine": Quantized(
            values=np.roll(full[:8, :2], 3),
            scale=np.array([[1, 2], [0.5, 3], [0.75, 4]], np.float64),
            zero_point=blocks,
            bits=8,
        ),
        "binary": Quantized(
            values=np.where(places % 7 == 0, 0, np.where(places**2 % 5 < 2, 1, -1)).astype(np.int8),
            scale=np.array([[0.125]], np.float16),
            bits=1,
        ),
        "bytes": Quantized(values=full, scale=scale[None], bits=8),
        "empty": Quantized(
            values=np.zeros((0, 3), np.int8), scale=np.ones((1, 1), np.float32), bits=4
        ),
        "half": Half(
            values=np.array([[0.5, -2.0, 0.0]]).astype(ml_dtypes.bfloat16), dtype=np.dtype("f4")
        ),
        "nibbles": [
            Quantized(
                values=np.where(places % 3, 0, full // 16).astype(np.int8),
                scale=np.array([[0.5]]).astype(ml_dtypes.bfloat16),
                bits=4,
            ),
            Half(values=np.arange(5, dtype=np.float16), dtype=np.dtype("f8")),
        ],
        "shared": jc.Clustered(codes=(places % 3).astype(np.uint8), codebook=book),
    }


def expected_4():
    """The tree of the files of version 4: products of factors of every form."""
    places = np.arange(3 * 5 * 4 * 2).reshape(3, 5, 4, 2)
    book = np.array([-1.5, 0.5, 0.75], np.float32)
    codes = ((places**2 // 3) % 4).astype(np.uint8)
    values = ((places[0] * 37) % 255 - 127).astype(np.int8)
    return {
        "convolution": LowRank(
            factors=(np.arange(72, dtype="f").reshape(3, 3, 4, 2) / 8, -np.ones((2, 5), "f")),
            equation="hwir,ro->hwio",
        ),
        "layers": [
            LowRank(
                factors=(
                    places[..., 0].astype(ml_dtypes.bfloat16),
                    places[:, :4, :3, 1].astype(ml_dtypes.bfloat16),
                ),
                equation="ir,ro->io",
            )
        ],
        "parallel": LowRank(
            factors=tuple(np.arange(2.0 * n).reshape(n, 2) - n for n in (3, 2, 4, 5)),
            equation="hr,wr,ir,or->hwio",
        ),
        "turned": LowRank(
            factors=(
                Quantized(values=values[0], scale=np.array([[0.25, 0.5]], np.float32), bits=8),
                jc.Clustered(codes=codes[0, 0], codebook=book),
            ),
            equation="or,ir->io",
        ),
        "two": LowRank(
            factors=(
                Half(values=np.array([[0.5, -2.0, 0.0]], np.float16), dtype=np.dtype("f4")),
                jc.Clustered(codes=codes, codebook=book),
                jc.Sparse(
                    values=np.array([1.5, -3], np.float32),
                    indices=np.array([1, 6], np.int32),
                    shape=(2, 4),
                ),
            ),
            equation="ir,rhws,so->hwio",
        ),
    }


def expected_5():
    """What packing `rans` can hold: numbers of rows and columns, a lag, lower bits, planes."""
    rng = np.random.default_rng(23)
    spread = np.exp(rng.standard_normal((48, 1)))
    levels = np.clip(np.rint(rng.standard_normal((48, 20)) * spread * 2), -7, 7).astype(np.int8)
    wide = rng.integers(0, 301, (5, 40)).astype(np.uint16)
    codes = (rng.random((8, 16)) < 0.4).astype(np.uint8)[np.arange(64) % 8]
    floats = np.ldexp(rng.choice([-1.0, 1.0], (64, 64)), -rng.integers(3, 6, (64, 64)))
    return {
        "bytes": rng.integers(0, 2, 4096).astype(np.int8),
        "empty": jc.Clustered(codes=np.zeros((0, 3), np.uint8), codebook=np.float32([1.0])),
        "half": Half(values=floats.astype(ml_dtypes.bfloat16), dtype=np.dtype("f4")),
        "levels": Quantized(values=levels, scale=np.full((1, 20), 0.5, np.float32), bits=4),
        "product": LowRank(
            factors=(
                jc.Clustered(codes=codes[:4, :2], codebook=np.float32([-0.5])),
                np.float32([[1.0, 2.0, 3.0], [-1.0, 0.0, 0.5]]),
            ),
            equation="ir,ro->io",
        ),
        "repeated": jc.Clustered(codes=codes, codebook=np.float32([0.25])),
        "small": np.float32([1.5, -0.0]),
        "sparse": jc.Sparse(
            values=np.float16([1, -2, 4]), indices=np.int32([3, 10, 90]), shape=(5, 20)
        ),
        "wide": jc.Clustered(codes=wide, codebook=np.arange(-150.0, 150.0).astype("f4")),
    }


def expected_6():
    """Leaves of every form that are the same as one before them, in their part and in another."""
    places = np.arange(24 * 16).reshape(24, 16)
    codes = ((places**2 // 3) % 4).astype(np.uint8)
    shared = jc.Clustered(codes=codes, codebook=np.float32([-1.5, 0.5, 0.75]))
    values = (places % 15 - 7).astype(np.int8)
    grid = Quantized(values=values, scale=np.full((1, 16), 0.5, np.float32), bits=4)
    embedding = (places * 37 % 101 / 64).astype(np.float32)
    mask = np.tril(np.ones((20, 20), bool))
    factors = (grid, np.full((16, 5), 0.25, np.float32))
    product = LowRank(factors=factors, equation="ir,ro->io")
    return {
        "blocks": [{"kernel": shared, "mask": mask}, {"kernel": shared, "mask": mask}],
        "head": embedding,
        "product": (product, product),
        "small": [np.ones(2, np.float32), np.ones(2, np.float32)],
        "wte": embedding,
        "zz": [grid, grid, grid],
    }


def expected_7():
    """The weights of `x @ kernel + bias`."""
    kernel = (np.arange(12) % 5 - 2).astype(np.int8).reshape(4, 3)
    return {
        "bias": np.float32([0.5, 0, -0.5]),
        "kernel": Quantized(values=kernel, scale=np.full((1, 3), 0.25, np.float32), bits=4),
    }


EXPECTED = {
    "v1": expected_1,
    **dict.fromkeys(("v2_csr", "v2_entropy", "v2_packed"), expected_2),
    "v2_small": expected_small,
    **dict.fromkeys(("v3_csr", "v3_entropy", "v3_packed"), expected_3),
    **dict.fromkeys(("v4_csr", "v4_entropy", "v4_packed"), expected_4),
    "v5_entropy": expected_5,
    "v5_parts": expected_2,
    "v6_ties": expected_6,
    "v7_program": expected_7,
}


def test_every_file_is_known_and_each_has_its_version_and_layout():
    assert {path.stem for path in GOLDEN} == set(EXPECTED)
    assert all(jc.inspect(path)["version"] == int(path.stem[1]) for path in GOLDEN)
    packings = {
        path.stem: {
            part["packing"]
            for tensor in jc.inspect(path)["tensors"]
            for part in tensor.get("product", {"factors": [tensor]})["factors"]
            if "packing" in part
        }
        for path in GOLDEN
    }
    assert packings == {
        "v1": set(),
        "v2_csr": {"csr"},
        "v2_entropy": {"ans"},
        "v2_packed": {"gaps", "plain"},
        "v2_small": {"bits"},
        "v3_csr": {"csr", "plain"},
        "v3_entropy": {"ans", "plain"},
        "v3_packed": {"gaps", "bits", "plain"},
        "v4_csr": {"csr"},
        "v4_entropy": {"ans"},
        "v4_packed": {"bits", "plain"},
        "v5_entropy": {"plain", "rans"},
        "v5_parts": {"gaps", "plain"},
        "v6_ties": {"plain", "rans"},
        "v7_program": {"plain"},
    }


def test_the_file_of_parts_has_several():
    assert jc.inspect(Path(__file__).parent / "golden/v5_parts.npz")["parts"] == [2, 5, 1, 1]


def test_the_file_of_ties_names_leaves_in_its_parts_and_in_others():
    manifest = jc.inspect(Path(__file__).parent / "golden/v6_ties.npz")
    named = [entry.get("tensor") for entry in manifest["tensors"]]
    assert named == [None, None, 0, 1, None, None, 5, None, None, 4, None, 10, 10]
    assert manifest["parts"] == [3, 4, 5, 1]
    repeated = {"path": "wte", "shape": [24, 16], "dtype": "float32", "form": "same", "tensor": 4}
    assert manifest["tensors"][9] == repeated


@files
def test_golden_files_load(path):
    tree, expected = read(path).tree, EXPECTED[path.stem]()
    assert arrays_of(tree) == arrays_of(expected)
    if not path.stem.startswith("v1"):  # whose lists were other containers
        assert jax.tree.structure(tree) == jax.tree.structure(expected)
    dense = jc.dense(tree)
    loaded = jc.load(path)
    assert arrays_of(loaded) == arrays_of(dense)


@files
def test_numpy_reads_the_members(path):
    with np.load(path) as arrays, zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert "manifest" in arrays.files
        assert all(arrays[name].ndim == 1 for name in arrays.files)


def outcome(path):
    """What the file holds, or None if it is refused; any other error is one of the test."""
    try:
        contents = read(path)
    except ArtifactError:
        return None
    return arrays_of(contents.tree), contents.manifest


def assert_refused_or_same(tmp_path, path, variants):
    expected = outcome(path)
    target = tmp_path / "damaged.npz"
    shutil.copy(path, target)
    for data in variants:
        target.write_bytes(data)
        assert outcome(target) in (None, expected)


def flipped(data, stride, start=0):
    for bit in range(start, 8 * len(data), stride):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.mark.slow
@files
def test_some_flipped_bits_are_refused_or_change_nothing(tmp_path, path):
    data = path.read_bytes()
    assert_refused_or_same(tmp_path, path, flipped(data, 61))


@pytest.mark.slow
@pytest.mark.parametrize(
    "stride",
    [pytest.param(7, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.exhaustive)],
)
@files
def test_many_flipped_bits_are_refused_or_change_nothing(tmp_path, path, stride):
    data = path.read_bytes()
    assert_refused_or_same(tmp_path, path, flipped(data, stride))


def assert_truncations_are_refused(tmp_path, path, lengths):
    data, target = path.read_bytes(), tmp_path / "short.npz"
    for length in lengths(len(data)):
        target.write_bytes(data[:length])
        assert outcome(target) is None


@pytest.mark.slow
@files
def test_some_truncations_are_refused(tmp_path, path):
    assert_truncations_are_refused(tmp_path, path, lambda size: range(0, size, 7))


@pytest.mark.slow
@files
def test_every_truncation_is_refused(tmp_path, path):
    assert_truncations_are_refused(tmp_path, path, range)


@files
def test_bytes_more_at_either_end_are_refused(tmp_path, path):
    data, target = path.read_bytes(), tmp_path / "long.npz"
    for longer in (data + b"\0", b"\0" + data, data + data):
        target.write_bytes(longer)
        assert outcome(target) is None
