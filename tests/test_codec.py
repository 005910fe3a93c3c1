"""The file: exact round trips, same bytes, atomic writes, damaged files refused."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections import namedtuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import jaxcompress as jc
from jaxcompress import archive, codec, forms
from jaxcompress.packing import csr


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


def example():
    params = {
        "conv": {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 2, 7)), "bias": jnp.ones(7)},
        "dense": {"kernel": jax.random.normal(jax.random.key(1), (40, 600))},
    }
    mask = jc.magnitude_mask(params, 0.95)
    return jc.kmeans(jc.apply_mask(params, mask), 5, mask=mask)


def test_clustered_round_trip(tmp_path):
    shared = example()
    assert_same(round_trip(tmp_path, shared), shared)
    assert_same(jc.load(tmp_path / "m.npz"), jc.dense(shared))


def test_sparse_round_trip(tmp_path):
    tree = jc.sparse(jc.dense(example()))
    assert_same(round_trip(tmp_path, tree), tree)


FLOATS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, min_side=0, max_side=5))


@settings(max_examples=60, deadline=None)
@given(FLOATS)
def test_dense_floats_keep_every_bit(values):
    data = codec.encode({"x": values})
    assert_same(decode(data), {"x": values})


def decode(data):
    members = archive.read_members(data)
    manifest = codec._read_manifest(members)
    reader = forms.Reader(members)
    leaves = [forms.read_leaf(entry, reader) for entry in manifest["tensors"]]
    reader.check_exhausted()
    return codec.fill(manifest["tree"], leaves)


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 3), st.integers(0, 600)), elements=st.integers(0, 9)
    ).flatmap(lambda a: st.tuples(st.just(a), st.floats(0, 1)))
)
def test_csr_round_trip_with_long_gaps(case):
    matrix, density = case
    matrix = matrix * (np.random.default_rng(0).random(matrix.shape) < density)
    positions, entries = csr.decode(csr.encode(matrix, matrix != 0), matrix.shape)
    flat = np.zeros(matrix.size, matrix.dtype)
    flat[positions] = entries
    np.testing.assert_array_equal(flat.reshape(matrix.shape), matrix)
    assert (np.diff(positions) > 0).all()


def test_csr_by_hand():
    matrix = np.zeros((2, 600), np.uint8)
    matrix[0, 0], matrix[0, 3], matrix[1, 520] = 7, 8, 9
    packed = csr.encode(matrix, matrix != 0)
    assert packed.row_lengths.tolist() == [2, 3]
    assert packed.distances.tolist() == [1, 3, 255, 255, 11]
    assert packed.entries.tolist() == [7, 8, 0, 0, 9]


@pytest.mark.parametrize("dtype", forms.DTYPES)
def test_every_dtype(tmp_path, dtype):
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    tree = {"x": values, "scalar": values[0, 1], "none": values[:0]}
    tree["scalar"] = np.asarray(tree["scalar"])
    assert_same(round_trip(tmp_path, tree), tree)


def test_special_values(tmp_path):
    values = np.array([-0.0, 0.0, 1e-45, np.nan, np.inf, -np.inf, 3e38], np.float32)
    half = values.astype(ml_dtypes.bfloat16)
    tree = {"x": values, "y": half, "s": jc.sparse({"x": half.reshape(1, -1)})["x"]}
    assert_same(round_trip(tmp_path, tree), tree)


def test_wide_codes(tmp_path):
    shared = jc.kmeans({"w": np.linspace(1, 2, 900, dtype=np.float32).reshape(30, 30)}, 400)
    assert_same(round_trip(tmp_path, shared), shared)


def test_containers_and_odd_keys(tmp_path):
    x = jnp.arange(3.0)
    tree = {"a": {"b": x}, "a/b": x, "": x, "ü": {}, 3: [x, (x, {}, None)], "n": None}
    tree = {str(k) if k == 3 else k: v for k, v in tree.items()}
    assert_same(round_trip(tmp_path, tree), tree)
    assert_same(round_trip(tmp_path, {3: x, -1: {7: x}}), {3: x, -1: {7: x}})
    assert_same(round_trip(tmp_path, x), x)


def test_named_tuples_become_dicts(tmp_path):
    Pair = namedtuple("Pair", "left right")
    loaded = round_trip(tmp_path, Pair(jnp.ones(2), jnp.zeros(1)))
    assert_same(loaded, {"left": jnp.ones(2), "right": jnp.zeros(1)})


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
    with pytest.raises(TypeError, match="key: dtype must be one of"):
        jc.save(path, {"key": jax.random.key(0)})
    assert not path.exists() and not list(tmp_path.iterdir())


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


def rewritten(path, change):
    """Write the file anew after `change(members)`; returns its path."""
    with np.load(path) as archive:
        members = {name: archive[name] for name in archive.files}
    change(members)
    np.savez(path, **members)
    return path


def manifest_of(members):
    return json.loads(members["manifest"].tobytes())


def set_manifest(members, **changes):
    text = json.dumps(manifest_of(members) | changes)
    members["manifest"] = np.frombuffer(text.encode(), np.uint8)


def first_tensor(members, index=1, **changes):
    manifest = manifest_of(members)
    manifest["tensors"][index] |= changes
    set_manifest(members, **manifest)


DAMAGE = {
    "newer version": (lambda m: set_manifest(m, version=2), "version: .* found 2; upgrade"),
    "another format": (lambda m: set_manifest(m, format="x"), "format: expected 'jaxcompress'"),
    "code above k": (lambda m: m["codes"].__setitem__(0, 200), "conv/kernel: code 200"),
    "column too far": (lambda m: m["distances"].__setitem__(0, 250), "conv/kernel: column 249"),
    "distance zero": (lambda m: m["distances"].__setitem__(0, 0), "a distance of 0"),
    "row length": (lambda m: m["row_lengths"].__setitem__(0, 90), "row lengths adding up"),
    "NaN codebook": (lambda m: m["codebooks_float32"].__setitem__(0, np.nan), "not finite"),
    "missing member": (lambda m: m.pop("codes"), "codes: member is missing"),
    "extra member": (lambda m: m.update(more=np.ones(3)), "more: 3 unused"),
    "short stream": (lambda m: m.update(codes=m["codes"][:5]), "codes: expected"),
    "long stream": (
        lambda m: m.update(codes=np.append(m["codes"], np.uint8(1))),
        "codes: 1 unused",
    ),
    "other dtype": (
        lambda m: m.update(codes=m["codes"].astype(np.int32)),
        "expected uint8, found int32",
    ),
    "two axes": (lambda m: m.update(codes=m["codes"][None]), "expected one axis"),
    "objects": (lambda m: m.update(codes=np.array([None])), "not readable"),
    "negative shape": (lambda m: first_tensor(m, shape=[-1, 3]), "no array of shape"),
    "other shape": (lambda m: first_tensor(m, shape=[3, 3, 3, 7]), "adding up"),
    "huge shape": (lambda m: first_tensor(m, 0, shape=[2**40, 2**40]), "dense_float32: expected"),
    "unknown form": (lambda m: first_tensor(m, form="zip"), "unknown form 'zip'"),
    "unknown dtype": (lambda m: first_tensor(m, dtype="object"), "no array of"),
    "leaf twice": (
        lambda m: set_manifest(m, tree={"list": [0, 0, 1]}),
        "3 numbered leaves for 3|numbered",
    ),
    "leaf unknown": (lambda m: set_manifest(m, tree={"list": [0, 1, 9]}), "leaf number 9 of 3"),
    "no tree": (lambda m: set_manifest(m, tree="x"), "no container"),
    "no JSON": (lambda m: m.update(manifest=np.zeros(4, np.uint8)), "not readable"),
    "no manifest": (lambda m: m.pop("manifest"), "not readable"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_by_name(tmp_path, name):
    change, message = DAMAGE[name]
    path = tmp_path / "m.npz"
    jc.save(path, example())
    with pytest.raises(jc.ArtifactError, match=message) as caught:
        jc.load(rewritten(path, change))
    assert str(path) in str(caught.value)


def test_truncated_files_are_refused(tmp_path):
    path = tmp_path / "m.npz"
    data = codec.encode({"x": jnp.arange(4.0)})
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(jc.ArtifactError):
            jc.load(path)


def test_not_a_zip_and_not_there(tmp_path):
    path = tmp_path / "m.npz"
    path.write_bytes(b"hello")
    with pytest.raises(jc.ArtifactError, match="m.npz: not readable"):
        jc.inspect(path)
    with pytest.raises(FileNotFoundError):
        jc.load(tmp_path / "missing.npz")


def test_duplicate_members_are_refused(tmp_path):
    path = tmp_path / "m.npz"
    jc.save(path, {"x": jnp.ones(2)})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        content = io.BytesIO()
        np.save(content, np.zeros(2, np.float32))
        archive.writestr("dense_float32.npy", content.getvalue())
    with pytest.raises(jc.ArtifactError, match="members must be unique"):
        jc.load(path)


def test_what_save_writes_load_takes(tmp_path):
    zeros = jc.sparse({"w": jnp.zeros((3, 4)), "v": jnp.ones((2, 2))})
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
        ([[1, 1]], [np.inf], "w: weights must be finite"),
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
