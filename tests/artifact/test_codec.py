"""The file: exact round trips in every layout, same bytes, atomic writes, templates."""

import os
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import jaxcompress as jc
from jaxcompress.artifact.coding import LAYOUTS
from jaxcompress.artifact.reader import read
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.artifact.writer import encoded, write
from jaxcompress.leaves import Half, Quantized
from jaxcompress.leaves.quantized import are_blocks
from tests.helpers.files import save

layouts = pytest.mark.parametrize("layout", LAYOUTS)


def bits(array):
    array = np.asarray(array)
    return array.dtype, array.shape, array.tobytes()


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert bits(x) == bits(y)


def round_trip(tmp_path, tree, **kwargs):
    path = tmp_path / "m.npz"
    size = jc.save(path, tree, **kwargs)
    assert size == path.stat().st_size
    return jc.load_compressed(path)


def deep_tree(levels):
    tree = jnp.ones(1)
    for _ in range(levels):
        tree = [tree]
    return tree


def example():
    params = {
        "conv": {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 2, 7)), "bias": jnp.ones(7)},
        "dense": {"kernel": jax.random.normal(jax.random.key(1), (40, 600))},
    }
    mask = jc.magnitude_mask(params, 0.95)
    return jc.kmeans(jc.apply_mask(params, mask), 5, mask=mask)


@layouts
def test_clustered_round_trip(tmp_path, layout):
    shared = example()
    assert_same(round_trip(tmp_path, shared, layout=layout), shared)
    assert_same(jc.load(tmp_path / "m.npz"), jc.dense(shared))


@layouts
def test_sparse_round_trip(tmp_path, layout):
    tree = jc.leaves.sparse(jc.dense(example()))
    assert_same(round_trip(tmp_path, tree, layout=layout), tree)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)


@st.composite
def dense_leaves(draw):
    dtype, shape = np.dtype(draw(st.sampled_from(DTYPES))), draw(SHAPES)
    size = int(np.prod(shape))
    if dtype.name in ("int4", "uint4", "bool"):
        return draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1))).astype(dtype)
    data = draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize))
    return np.frombuffer(data, dtype).reshape(shape)


@st.composite
def clustered_leaves(draw):
    k = draw(st.sampled_from([1, 2, 3, 7, 16, 17, 255, 256, 300]))
    book = draw(hnp.arrays(np.float32, k, elements=st.floats(-9, 9, width=32)))
    codes = draw(hnp.arrays(np.uint16, draw(SHAPES), elements=st.integers(0, k)))
    narrow = codes.astype(np.uint8 if k < 256 else np.uint16)
    return jc.Clustered(codes=narrow, codebook=book.astype(draw(st.sampled_from(["f4", "f2"]))))


@st.composite
def sparse_leaves(draw):
    values = draw(hnp.arrays(np.float32, hnp.array_shapes(min_side=0, max_side=40, max_dims=2)))
    return (
        jc.leaves.sparse({"x": values.reshape(1, -1)}, scope=lambda *_: True)["x"]
        if values.size
        else (values)
    )


@st.composite
def quantized_leaves(draw):
    bits, shape = draw(st.integers(1, 8)), draw(SHAPES)
    half = 1 << (bits - 1)
    integers = st.integers(-half, max(half - 1, 1))
    # An axis of 6 is cut into 1, 2, 3 or 6 blocks; of 5 into 1, 2, 3 or 5.
    counts = [
        draw(st.sampled_from([m for m in (1, 2, 3, n) if are_blocks((m,), (n,))])) for n in shape
    ]
    dtype = draw(st.sampled_from([np.float32, np.float64, ml_dtypes.bfloat16]))
    scale = draw(hnp.arrays(np.float64, counts, elements=st.floats(1e-9, 1e9))).astype(dtype)
    zero_point = draw(st.none() | hnp.arrays(np.int8, counts, elements=integers))
    values = draw(hnp.arrays(np.int8, shape, elements=integers))
    return Quantized(values=values, scale=scale, zero_point=zero_point, bits=bits)


@st.composite
def half_leaves(draw):
    values = draw(hnp.arrays(np.float32, draw(SHAPES), elements=st.floats(-9, 9, width=16)))
    dtype = np.dtype(draw(st.sampled_from([np.float32, np.float64, ml_dtypes.bfloat16])))
    stored = draw(st.sampled_from([np.float16, ml_dtypes.bfloat16]))
    return Half(values=values.astype(stored), dtype=dtype)


LEAVES = st.one_of(
    *(dense_leaves(), clustered_leaves(), sparse_leaves(), quantized_leaves(), half_leaves())
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(st.integers(-3, 3), inner, max_size=2),
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
    ),
    max_leaves=5,
)


@pytest.mark.slow
@layouts
@settings(max_examples=60, deadline=None)
@given(tree=TREES)
def test_random_trees_keep_every_bit(layout, tree):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        assert jc.save(path, tree, layout=layout) == path.stat().st_size
        assert_same(read(path).tree, tree)


@layouts
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(tmp_path, dtype, layout):
    values = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    tree = {"x": values, "scalar": np.asarray(values[0, 1]), "none": values[:0], "odd": values[0:1]}
    assert_same(round_trip(tmp_path, tree, layout=layout), tree)


def test_four_bits_take_four_bits(tmp_path):
    values = np.arange(-8, 8).astype(ml_dtypes.int4).repeat(500)
    tree = {"x": np.random.default_rng(0).permutation(values), "y": values[:3]}
    assert_same(round_trip(tmp_path, tree), tree)
    assert (tmp_path / "m.npz").stat().st_size < 4000 + 1000


def test_special_values(tmp_path):
    values = np.array([-0.0, 0.0, 1e-45, np.nan, np.inf, -np.inf, 3e38], np.float32)
    half = values.astype(ml_dtypes.bfloat16)
    tree = {"x": values, "y": half, "s": jc.leaves.sparse({"x": half.reshape(1, -1)})["x"]}
    assert_same(round_trip(tmp_path, tree), tree)


@layouts
def test_wide_codes(tmp_path, layout):
    shared = jc.kmeans({"w": np.linspace(-1, 2, 900, dtype=np.float32).reshape(30, 30)}, 400)
    assert_same(round_trip(tmp_path, shared, layout=layout), shared)


@layouts
def test_codebooks_in_any_order(tmp_path, layout):
    """Fine-tuning may carry a centroid past another, or across zero."""
    codes = np.random.default_rng(0).integers(0, 6, (20, 30)).astype(np.uint8)
    book = np.array([-1.0, 2.0, -3.0, 0.5, 0.25], np.float32)
    tree = {"w": jc.Clustered(codes=codes, codebook=book)}
    assert_same(round_trip(tmp_path, tree, layout=layout), tree)


@layouts
def test_a_million_weights(tmp_path, layout):
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 17, (1000, 1000)).astype(np.uint8) * (rng.random((1000, 1000)) < 0.2)
    book = np.linspace(-1, 1, 16).astype(np.float32)
    tree = {"w": jc.Clustered(codes=codes, codebook=book), "b": np.ones(3)}
    path = tmp_path / "m.npz"
    size = jc.save(path, tree, layout=layout)
    assert_same(read(path).tree, tree)
    # There is nothing but chance in these codes: no layout can go below the bound.
    bound = jc.metrics.entropy_bound_bytes(tree)
    assert bound < size < 1.04 * bound


@pytest.mark.slow
@layouts
@pytest.mark.parametrize("size", [64, 255, 256, 257, 512])
def test_many_small_tensors_of_chance(tmp_path, size, layout):
    """Compressed blocks of their own make incompressible numbers longer."""
    rng = np.random.default_rng(0)
    tree = {f"{i:04}": rng.integers(0, 256, size).astype(np.uint8) for i in range(400)}
    tree |= {f"f{i:04}": rng.standard_normal(size // 4).astype(np.float32) for i in range(400)}
    jc.save(tmp_path / "m.npz", tree, layout=layout)
    assert_same(read(tmp_path / "m.npz").tree, tree)


def test_numbers_of_the_other_byte_order(tmp_path):
    tree = {
        "dense": np.arange(1, 4, dtype=">f4"),
        "wide": np.array([1, 2], ">i8"),
        "codes": jc.Clustered(codes=np.array([[1, 2]], ">u2"), codebook=np.array([0.5, 2], ">f4")),
        "kept": jc.Sparse(
            values=np.array([3, 4], ">f2"), indices=np.array([0, 2], ">i4"), shape=(2, 2)
        ),
    }
    loaded = jc.dense(round_trip(tmp_path, tree))
    for name, array in jc.dense(tree).items():
        np.testing.assert_array_equal(loaded[name], array)


def test_bits_that_mean_nothing_are_dropped(tmp_path):
    tree = {
        "truth": np.array([2, 1, 0], np.uint8).view(bool),
        "four": np.array([0x18, 0xF7], np.uint8).view(ml_dtypes.int4),
    }
    loaded = round_trip(tmp_path, tree)
    assert loaded["truth"].tolist() == [True, True, False]
    assert np.asarray(loaded["four"]).astype(int).tolist() == [-8, 7]


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        ({"x": jax.ShapeDtypeStruct((2,), jnp.float32)}, TypeError, "x: leaves must be concrete"),
        (deep_tree(70), ValueError, "nested at most 64 deep"),
        (
            {"w": jc.Clustered(codes=np.ones((1, 2), np.uint8), codebook=np.ones((1, 1)))},
            ValueError,
            "w: a codebook must have one axis",
        ),
        (
            {"w": jc.Sparse(values=np.ones(1), indices=np.array([0.0]), shape=(2,))},
            ValueError,
            "w: indices must be strictly ascending positions",
        ),
    ],
)
def test_trees_that_no_file_can_hold_are_refused(tmp_path, tree, error, message):
    with pytest.raises(error, match=message):
        jc.save(tmp_path / "m.npz", tree)
    assert not list(tmp_path.iterdir())


def test_a_template_may_have_paths_that_are_the_same(tmp_path):
    tree = {"a": {"b": jnp.ones(2)}, "a/b": jnp.zeros(2)}
    jc.save(tmp_path / "m.npz", tree)
    assert_same(jc.load_into(tmp_path / "m.npz", tree), tree)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "latest.npz").symlink_to(tmp_path / "models" / "one.npz")
    jc.save(tmp_path / "latest.npz", {"x": jnp.ones(2)})
    assert (tmp_path / "latest.npz").is_symlink()
    assert read(tmp_path / "models" / "one.npz").tree["x"].tolist() == [1, 1]
    jc.save(tmp_path / ("n" * 250 + ".npz"), {"x": jnp.ones(2)})  # as long as names may be


def test_containers_and_odd_keys(tmp_path):
    x = jnp.arange(3.0)
    tree = {"a": {"b": x}, "a/b": x, "": x, "ü": {}, "3": [x, (x, {}, None)], "n": None}
    assert_same(round_trip(tmp_path, tree), tree)
    assert_same(round_trip(tmp_path, {3: x, -1: {7: x}}), {3: x, -1: {7: x}})
    assert_same(round_trip(tmp_path, x), x)


def test_named_tuples_become_dicts(tmp_path):
    Pair = namedtuple("Pair", "left right")
    pair = Pair(jnp.ones(2), jnp.zeros(1))
    assert_same(round_trip(tmp_path, pair), {"left": jnp.ones(2), "right": jnp.zeros(1)})
    assert_same(jc.load_into(tmp_path / "m.npz", pair), pair)
    assert_same(jc.load_into(tmp_path / "m.npz", jax.eval_shape(lambda: pair)), pair)


def test_all_differences_from_a_template_are_listed(tmp_path):
    path = tmp_path / "m.npz"
    jc.save(path, {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(1), "d": jnp.ones(2)})
    template = {"a": jnp.ones(2), "b": jnp.ones(4), "c": jnp.ones(1, jnp.int32), "e": jnp.ones(2)}
    with pytest.raises(ValueError, match="m.npz: must have the tensors of the template") as caught:
        jc.load_into(path, template)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert lines == [
        "e: is missing",
        "d: is not in the template",
        "b: shape must be (4,), got (3,)",
        "c: dtype must be int32, got float32",
    ]


def test_files_of_a_seed_are_the_same_for_every_layout(tmp_path):
    tree = example()
    for layout in LAYOUTS:
        assert jc.artifact.encode(tree, layout=layout) == jc.artifact.encode(tree, layout=layout)


def test_an_unknown_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="layout: must be one of csr, packed, entropy, got 'zip'"):
        jc.save(tmp_path / "m.npz", {"x": jnp.ones(1)}, layout="zip")


def test_without_its_library_an_old_entropy_file_names_the_extra(tmp_path, monkeypatch):
    save(tmp_path / "old.npz", example(), "ans")
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxcompress\[entropy\]'"):
        jc.load(tmp_path / "old.npz")
    jc.save(tmp_path / "new.npz", example(), layout="entropy")
    assert sorted(jc.load(tmp_path / "new.npz")) == sorted(example())


def test_leaves_are_added_in_the_order_of_the_tree(tmp_path):
    outline = {"dict": [["a", 0], ["b", 1]]}
    for leaves in ([("b", np.ones(2))], [("a", np.ones(2))], []):
        missing = "b" if leaves and leaves[0][0] == "a" else "a"
        parts = encoded(leaves, [np.ones(2)] * len(leaves), "packed")
        message = f"{missing}: leaves must be added in the order of the tree"
        with pytest.raises(ValueError, match=message):
            write(tmp_path / "m.npz", parts, outline)
    assert not list(tmp_path.iterdir())


def test_metadata_and_inspect(tmp_path):
    round_trip(tmp_path, example(), metadata={"classes": ["cat", "dog"], "accuracy": 0.5})
    manifest = jc.inspect(tmp_path / "m.npz")
    assert manifest["metadata"] == {"classes": ["cat", "dog"], "accuracy": 0.5}
    assert [t["path"] for t in manifest["tensors"]] == ["conv/bias", "conv/kernel", "dense/kernel"]


def test_what_cannot_be_stored_is_named(tmp_path):
    path = tmp_path / "m.npz"
    with pytest.raises(ValueError, match="metadata: must be JSON"):
        jc.save(path, {"x": jnp.ones(1)}, metadata={"x": float("nan")})
    with pytest.raises(ValueError, match="metadata: must be JSON"):
        jc.save(path, {"x": jnp.ones(1)}, metadata={"x": object()})
    with pytest.raises(TypeError, match="keys must be strings or integers"):
        jc.save(path, {(1, 2): jnp.ones(1)})
    with pytest.raises(TypeError, match="key: must be numbers to be stored"):
        jc.save(path, {"key": jax.random.key(0)})
    assert not path.exists() and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_same_bytes_in_another_process(tmp_path):
    program = (
        "import sys, numpy as np, jaxcompress as jc;"
        "w = np.random.default_rng(0).standard_normal((30, 40)).astype('f');"
        "jc.save(sys.argv[1], jc.kmeans({'w': w, 'b': w[0]}, 4), metadata={'a': 1})"
    )
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for file, seed in zip(files, "12", strict=True):
        environment = os.environ | {"PYTHONHASHSEED": seed, "JAX_PLATFORMS": "cpu"}
        subprocess.run([sys.executable, "-c", program, file], check=True, env=environment)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    jc.save(path, {"x": jnp.ones(2)})
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        jc.save(path, {"x": jnp.zeros(2)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


SAVES = """
import itertools, sys
import numpy as np
import jaxcompress as jc

trees = [{"x": np.full(200_000, n, np.float32)} for n in (1, 2)]
for tree in itertools.cycle(trees):
    jc.save(sys.argv[1], tree)
    print("saved", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_kill_leaves_a_whole_file(tmp_path):
    path = tmp_path / "m.npz"
    command = [sys.executable, "-c", SAVES, str(path)]
    for pause in (0.0, 0.003, 0.011):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"saved\n"
            time.sleep(pause)
            process.kill()
        assert read(path).tree["x"][0] in (1, 2)


FULL = """
import resource, signal, sys
import numpy as np
import jaxcompress as jc

jc.save(sys.argv[1], {"x": np.ones(3)})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # a file may not grow beyond that
try:
    jc.save(sys.argv[1], {"x": np.random.default_rng(0).random(10_000)})
except OSError as error:
    print("refused", error.errno)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_full_disk_leaves_the_previous_file(tmp_path):
    path = tmp_path / "m.npz"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert done.stdout.startswith("refused"), done.stderr
    np.testing.assert_array_equal(read(path).tree["x"], np.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_what_save_writes_load_takes(tmp_path):
    zeros = jc.leaves.sparse({"w": jnp.zeros((3, 4)), "v": jnp.ones((2, 2))})
    assert_same(round_trip(tmp_path, zeros), zeros)
    wide = jc.Clustered(codes=jnp.array([[1, 2]], jnp.int32), codebook=jnp.array([1.0, 2.0]))
    loaded = round_trip(tmp_path, {"w": wide})["w"]
    assert loaded.codes.dtype == jnp.uint8 and loaded.codes.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("codes", "codebook", "message"),
    [
        ([[1, 3]], [1.0, 2.0], "w: codes must be at most 2"),
        ([[1, -1]], [1.0, 2.0], "w: codes must be integers from 0"),
        ([[1.0, 1.0]], [1.0], "w: codes must be integers from 0"),
        ([[1, 1]], [np.inf], "w: must be finite"),
    ],
)
def test_what_load_would_refuse_save_refuses(tmp_path, codes, codebook, message):
    leaf = jc.Clustered(codes=np.array(codes), codebook=np.array(codebook, np.float32))
    with pytest.raises(ValueError, match=message):
        jc.save(tmp_path / "m.npz", {"w": leaf})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("indices", [[1, 1], [2, 1], [-1, 1], [1, 6], [1]])
def test_sparse_positions_are_checked_when_saving(tmp_path, indices):
    leaf = jc.Sparse(values=np.ones(2, np.float32), indices=np.array(indices), shape=(2, 3))
    with pytest.raises(ValueError, match="w: indices must be strictly ascending"):
        jc.save(tmp_path / "m.npz", {"w": leaf})


def grid(**changes):
    parts = {
        "values": np.array([[1, -2, 0], [3, 0, 0]], np.int8),
        "scale": np.ones((1, 3), np.float32),
        "zero_point": None,
        "bits": 3,
    }
    return Quantized(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 9}, "bits must be 1 to 8, got 9"),
        ({"bits": 2}, "values must be int8 from -2 to 1"),
        ({"values": np.ones((2, 3), np.int32)}, "values must be int8 .* got int32"),
        ({"scale": np.ones(3, np.float32)}, r"blocks of \(2, 3\), got shape \(3,\)"),
        ({"scale": np.zeros((1, 3), np.float32)}, "scales must be finite and above 0"),
        ({"scale": np.ones((1, 3), np.int8)}, "scales must be floating-point numbers, got int8"),
        ({"zero_point": np.ones((1, 1), np.int8)}, r"the shape of scales \(1, 3\), got \(1, 1\)"),
        ({"zero_point": np.full((1, 3), 4, np.int8)}, "zero points must be int8 from -4 to 3"),
    ],
)
def test_grids_are_checked_when_saving(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f"w: .*{message}.*; make the leaf with quantize"):
        jc.save(tmp_path / "m.npz", {"w": grid(**changes)})
    assert not list(tmp_path.iterdir())


def test_halves_are_checked_when_saving(tmp_path):
    for values, dtype, message in (
        (np.ones(2, np.float32), "f4", "values must be float16 or bfloat16"),
        (np.ones(2, np.float16), "i4", "stand for floating-point numbers, got float16 for int32"),
        (np.full(2, np.inf, np.float16), "f4", "must be finite"),
    ):
        with pytest.raises(ValueError, match=f"w: .*{message}"):
            jc.save(tmp_path / "m.npz", {"w": Half(values=values, dtype=np.dtype(dtype))})


def test_a_file_has_the_oldest_version_that_holds_its_leaves(tmp_path):
    path = tmp_path / "m.npz"
    for tree, version in (
        ({}, 2),
        (example(), 2),
        ({"w": grid()}, 3),
        ({"w": Half(values=np.ones(2, np.float16), dtype=np.dtype("f4"))}, 3),
    ):
        jc.save(path, tree, layout="packed")
        assert jc.inspect(path)["version"] == version
    rare = jc.Clustered(codes=np.eye(30, dtype=np.uint8), codebook=np.ones(1, np.float32))
    jc.save(path, {"w": rare}, layout="entropy")
    assert jc.inspect(path)["version"] == 5


def test_grids_take_the_bits_of_the_levels_that_occur(tmp_path):
    rng = np.random.default_rng(0)

    def size(values, bits):
        leaf = Quantized(values=values.astype(np.int8), scale=np.ones((1, 1), "f4"), bits=bits)
        return jc.save(tmp_path / "m.npz", {"w": leaf})

    signs = rng.choice([-1, 1], (400, 200))
    assert size(signs, 1) < 80_000 / 8 * 1.05 + 600
    # A sparse ternary tensor, and four values on a grid of 8 bits: two bits each.
    assert size(signs * (rng.random(signs.shape) < 0.05), 2) < 80_000 * 0.45 / 8 + 600
    assert size(rng.choice([-127, -3, 40, 101], signs.shape), 8) < 80_000 / 4 * 1.05 + 600


def test_the_bytes_of_a_file_are_those_of_its_tensors(tmp_path):
    """Words that all tensors share are told apart: each counts about what it takes alone."""
    random = np.random.default_rng(0)

    def leaf(k):
        codes = random.integers(0, k + 1, (120, 100)).astype(np.uint8)
        return jc.Clustered(codes=codes, codebook=np.arange(1.0, k + 1).astype("f"))

    leaves = {"a": leaf(1), "b": leaf(15), "c": leaf(255)}
    jc.save(tmp_path / "m.npz", leaves, layout="entropy")
    found = {info.path: info.stored_bytes for info in read(tmp_path / "m.npz").tensors}
    for path, bits in (("a", 1), ("b", 4), ("c", 8)):
        codebook = leaves[path].codebook.nbytes
        assert 1500 * bits < found[path] < 1500 * bits * 1.05 + codebook + 60
