"""Leaves that are equal to the bit: stored once, read as if each were stored."""

import itertools
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import SingleDeviceSharding

import jaxcompress as jc
from jaxcompress.artifact import LAYOUTS, _parts
from jaxcompress.artifact.reader import read
from jaxcompress.artifact.repeats import repeated_leaves
from jaxcompress.artifact.streams import Reader
from jaxcompress.leaves import Half, LowRank, Quantized
from jaxcompress.trees import named_leaves

RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(16, 24)).astype("f")
GRID = Quantized(
    values=RNG.integers(-7, 8, (16, 24)).astype(np.int8), scale=np.ones((1, 24), "f"), bits=4
)


def copied(leaf):
    """An equal leaf with arrays of its own."""
    return jax.tree.map(np.array, leaf)


def example():
    """Leaves that are the same as others before them, of all kinds, beside some that are not."""
    return {
        "block": [{"kernel": GRID, "bias": np.ones(64, "f")} for _ in range(2)],
        "head": copied(WIDE),
        "steps": [np.arange(40), np.arange(40)],  # JAX would narrow them
        "wte": jnp.array(WIDE),
        "zeros": [np.zeros((16, 24), "f"), -np.zeros((16, 24), "f")],
    }


NAMED = [None, None, 0, 1, None, None, 5, 4, None, None]


@pytest.fixture(params=[1, 500, 1 << 22], ids=["one each", "parts", "one part"])
def path(request, tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", request.param)
    jc.save(tmp_path / "m.npz", example())
    return tmp_path / "m.npz"


def named(path):
    return [entry.get("tensor") for entry in jc.inspect(path)["tensors"]]


def test_bytes_are_those_of_one(tmp_path):
    path = tmp_path / "m.npz"
    once = jc.save(path, {"wte": WIDE})
    assert jc.inspect(path)["version"] < 6
    assert jc.save(path, {"lm_head": WIDE, "wte": copied(WIDE)}) < once + 200
    assert jc.inspect(path)["version"] == 6
    assert jc.inspect(path)["tensors"][1] == {
        **{"path": "wte", "shape": [16, 24], "dtype": "float32"},
        **{"form": "same", "tensor": 0},
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_layouts(tmp_path, layout):
    path = tmp_path / "m.npz"
    jc.save(path, example(), layout=layout)
    assert named(path) == NAMED
    jax.tree.map(np.testing.assert_array_equal, jc.load(path), jc.dense(example()))


def test_trees(path):
    tree, dense = example(), jc.dense(example())
    equal = np.testing.assert_array_equal
    here = SingleDeviceSharding(jax.devices()[0])
    assert named(path) == NAMED
    jax.tree.map(equal, read(path).tree, tree)
    jax.tree.map(equal, jc.load_compressed(path), tree)
    jax.tree.map(equal, jc.load(path), dense)
    jax.tree.map(equal, jc.load_into(path, dense), dense)
    jax.tree.map(equal, jc.load(path, sharding=here), dense)
    coded = jc.load_compressed(path, coded=True)
    jax.tree.map(equal, jc.dense(coded), dense)
    assert coded["block"][0]["kernel"] is coded["block"][1]["kernel"]
    assert np.signbit(jc.load(path)["zeros"][1]).all()  # -0.0 is another number


def test_single_tensors_in_any_order(path):
    named = named_leaves(jc.dense(example()))
    expected = dict(zip(named.paths, named.leaves, strict=True))
    for order in (expected, reversed(expected), ["wte", "head", "wte", "block/1/kernel"]):
        with jc.open_file(path) as file:
            for name in order:
                np.testing.assert_array_equal(file[name], expected[name])
            file.check()


def test_some_tensors_without_the_one_that_is_stored(path):
    with jc.open_file(path) as file:
        found = file.load(lambda path, leaf: path in ("wte", "block/1/kernel", "steps/1"))
        assert set(found) == {"block", "steps", "wte"} and found["block"][0] is None
        np.testing.assert_array_equal(found["wte"], WIDE)
        np.testing.assert_array_equal(found["block"][1]["kernel"], jc.dense(GRID))
        np.testing.assert_array_equal(found["steps"][1], np.arange(40))


def test_arrays_are_each_their_own_and_compressed_leaves_are_shared(path):
    here = SingleDeviceSharding(jax.devices()[0])
    for tree in (jc.load(path), jc.load(path, sharding=here), jc.load_compressed(path)):
        arrays = [leaf for leaf in jax.tree.leaves(tree["block"]) if leaf.shape == (64,)]
        arrays += jax.tree.leaves([tree["head"], tree["steps"], tree["wte"]])
        for one, other in itertools.combinations(map(np.asarray, arrays), 2):
            assert not np.shares_memory(one, other)
    tree = jc.load_compressed(path)
    assert tree["block"][0]["kernel"] is tree["block"][1]["kernel"]
    donated = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    found = donated(jc.load(path))
    np.testing.assert_array_equal(found["wte"], WIDE + 1)
    np.testing.assert_array_equal(found["head"], WIDE + 1)


def test_saving_what_was_loaded_gives_the_same_bytes(path, tmp_path):
    jc.save(tmp_path / "again.npz", jc.load_compressed(path))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_a_part_is_read_once_for_tensors_of_it_and_those_named_in_another(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 500)
    tree = {"a": WIDE} | {f"b{n}": leaf for n, leaf in enumerate([WIDE + 1, WIDE, WIDE + 2, WIDE])}
    jc.save(tmp_path / "m.npz", tree)
    assert jc.inspect(tmp_path / "m.npz")["parts"] == [2, 2, 1]
    seen = []
    begin = Reader.begin_tensor
    monkeypatch.setattr(Reader, "begin_tensor", lambda self: (seen.append(self), begin(self)))
    with jc.open_file(tmp_path / "m.npz") as file:
        for name, leaf in tree.items():
            np.testing.assert_array_equal(file[name], leaf)
    assert len(seen) == 4


LEAVES = [
    WIDE,
    WIDE.astype(ml_dtypes.bfloat16),
    RNG.integers(0, 5, 300),
    np.ones(300, bool),
    RNG.integers(-8, 8, 300).astype(ml_dtypes.int4),
    GRID,
    jc.kmeans({"w": WIDE}, 5)["w"],
    jc.leaves.sparse({"w": np.where(WIDE > 0.2, WIDE, 0)})["w"],
    Half(values=WIDE.astype(np.float16), dtype=np.dtype("f4")),
    LowRank(factors=(GRID, np.ones((24, 7), "f")), equation="ir,ro->io"),
]


@pytest.mark.parametrize("number", range(len(LEAVES)))
def test_every_kind_of_leaf_is_recognised(number):
    leaf = LEAVES[number]
    others = LEAVES[:number] + LEAVES[number + 1 :]
    assert repeated_leaves([*others, leaf, copied(leaf), leaf]) == {10: 9, 11: 9}


def test_what_differs_in_anything_is_not_the_same():
    other_scale = Quantized(values=GRID.values, scale=GRID.scale * 2, bits=4)
    other_bits = Quantized(values=GRID.values, scale=GRID.scale, bits=5)
    nearly = copied(WIDE)
    nearly[5, 5] = np.nextafter(nearly[5, 5], 9)
    leaves = [WIDE, nearly, WIDE.T, WIDE.reshape(-1), WIDE.view(np.int32), WIDE.astype(">f4")]
    assert not repeated_leaves([*leaves, GRID, other_scale, other_bits])
    assert repeated_leaves([WIDE, WIDE.T, np.asfortranarray(WIDE), WIDE.T.copy()]) == {2: 0, 3: 1}


def test_small_leaves_and_what_cannot_be_stored_are_not_looked_at(tmp_path):
    key = jax.random.key(0)
    shape = jax.ShapeDtypeStruct((100,), "float32")
    small = np.zeros(63, "f")
    assert not repeated_leaves([small, small, key, key, shape, shape, np.zeros(0), np.zeros(0)])
    jc.save(tmp_path / "m.npz", [small, small])
    assert jc.inspect(tmp_path / "m.npz")["version"] == 2
    with pytest.raises(TypeError, match="leaves must be concrete arrays"):
        jc.save(tmp_path / "m.npz", [shape, shape])


def test_memory_counts_what_is_stored_once_and_each_array(tmp_path):
    path = tmp_path / "m.npz"

    def need(read, tree):
        jc.save(path, tree)
        with pytest.raises(jc.ArtifactError, match="max_bytes") as caught:
            read(path, max_bytes=1)
        enough = int(str(caught.value).partition("pass max_bytes=")[2].partition(" ")[0])
        read(path, max_bytes=enough)
        return enough

    ties, dense_bytes = {"a": GRID, "b": GRID, "c": GRID}, 4 * GRID.size
    assert need(jc.load_compressed, ties) == need(jc.load_compressed, {"a": GRID})
    assert need(jc.load, ties) == need(jc.load, {"a": GRID}) + 2 * dense_bytes
    assert need(read, {"a": WIDE, "b": WIDE}) == need(read, {"a": WIDE})

    def last(path, *, max_bytes):
        with jc.open_file(path, max_bytes=max_bytes) as file:
            return file[file.paths[-1]]

    assert need(last, {"a": WIDE, "b": WIDE}) == need(last, {"a": WIDE})


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    picks=st.lists(st.integers(0, len(LEAVES) - 1), max_size=9),
    numbers=st.sampled_from([1, 700, 1 << 22]),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_random_trees(picks, numbers, layout):
    tree = [copied(LEAVES[n]) if n % 2 else LEAVES[n] for n in picks]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parts, "NUMBERS", numbers)
        path = Path(folder, "m.npz")
        jc.save(path, tree, layout=layout)
        assert named(path) == [
            picks.index(n) if n in picks[:place] else None for place, n in enumerate(picks)
        ]
        assert path.read_bytes() == jc.artifact.encode(tree, layout=layout)
        jax.tree.map(np.testing.assert_array_equal, jc.load_compressed(path), tree)
        for scope in (None, lambda path, leaf: int(path) >= len(picks) // 2):
            with jc.open_file(path) as file:
                found = jax.tree.leaves(file.load(scope)) if picks else []
            expected = jax.tree.leaves(jc.dense(tree))[-len(found) :] if found else []
            for one, other in zip(found, expected, strict=True):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)
