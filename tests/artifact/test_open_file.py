"""Single tensors of a file, and tensors that go to a mesh as they are read."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

import jaxcompress as jc
from jaxcompress.artifact import _chosen, _open_file, _parts
from jaxcompress.artifact.streams import Reader
from tests.helpers.files import rewritten

BOOK = np.array([-1, 2], np.float32)


def example():
    """Six tensors of 6, 8, 4, 9, 2 and 1 numbers."""
    codes = np.array([[0, 1, 2, 0], [2, 2, 0, 1]], np.uint8)
    return {
        "block": [
            {"bias": np.arange(6, dtype="f"), "kernel": jc.Clustered(codes=codes, codebook=BOOK)},
            {"bias": np.ones(4, np.float16), "kernel": np.eye(3, dtype="f")},
        ],
        "head": (np.full(2, 5, np.int8), None),
        "step": np.array(3, np.int32),
    }


PATHS = ["block/0/bias", "block/0/kernel", "block/1/bias", "block/1/kernel", "head/0", "step"]


@pytest.fixture(params=[1, 10, 1 << 22], ids=["one each", "parts", "one part"])
def path(request, tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", request.param)
    jc.save(tmp_path / "m.npz", example())
    return tmp_path / "m.npz"


def by_path(tree):
    flat, _ = jax.tree_util.tree_flatten_with_path(jc.dense(tree))
    return {jax.tree_util.keystr(k, simple=True, separator="/"): leaf for k, leaf in flat}


@pytest.mark.parametrize("order", [PATHS, PATHS[::-1], [PATHS[1], PATHS[4], PATHS[0], PATHS[1]]])
def test_tensors_in_any_order(path, order):
    expected = by_path(example())
    with jc.open_file(path) as file:
        assert file.paths == list(file) == PATHS and len(file) == 6
        assert "step" in file and "head/1" not in file and 0 not in file
        assert file.manifest == jc.inspect(path)
        for name in order:
            np.testing.assert_array_equal(file[name], expected[name])
            assert file[name].dtype == expected[name].dtype


def test_a_tensor_is_read_without_those_behind_it_and_other_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 10)
    jc.save(tmp_path / "m.npz", example())  # parts of 2, 2 and 2 tensors
    seen = []
    begin = Reader.begin_tensor
    monkeypatch.setattr(Reader, "begin_tensor", lambda self: (seen.append(self), begin(self)))
    with jc.open_file(tmp_path / "m.npz") as file:
        file["block/1/bias"]
        assert len(seen) == 1
        file["block/1/bias"]
        assert len(seen) == 1  # the part is kept
        file["block/1/kernel"]
        assert len(seen) == 2
        file["block/0/bias"]
        file["block/1/bias"]  # another part was read in between
        assert len(seen) == 4
        seen.clear()
        file.load(lambda path, leaf: path == "head/0")
        assert len(seen) == 1


def test_some_leaves_keep_their_containers(path):
    with jc.open_file(path) as file:
        kernels = file.load(lambda path, leaf: path.endswith("kernel"))
        assert jax.tree.structure(kernels) == jax.tree.structure(
            {"block": [{"kernel": 0}, {"kernel": 0}]}
        )
        np.testing.assert_array_equal(kernels["block"][1]["kernel"], np.eye(3))
        second = file.load(lambda path, leaf: path.startswith("block/1"))
        assert second["block"][0] is None and set(second["block"][1]) == {"bias", "kernel"}
        assert isinstance(file.load(lambda path, leaf: leaf.dtype == np.int8)["head"], tuple)
        small = file.load_compressed(lambda path, leaf: leaf.shape == (2, 4))
        assert list(small) == ["block"] and set(small["block"][0]) == {"kernel"}
        assert isinstance(small["block"][0]["kernel"], jc.Clustered)
        for whole in (file.load(), file.load(lambda path, leaf: True)):
            assert jax.tree.structure(whole) == jax.tree.structure(jc.dense(example()))
        jax.tree.map(np.testing.assert_array_equal, file.load_compressed(), example())


def test_paths_and_scopes_that_choose_nothing(path):
    with jc.open_file(path) as file:
        for wrong in ("block/0/bais", "", "head/1"):
            with pytest.raises(KeyError, match=f"{wrong}: must be the path of a tensor of .*m.npz"):
                file[wrong]
        with pytest.raises(KeyError, match="nearest of 6 are block/0/bias, block/1/bias"):
            file["block/0/bais"]
        with pytest.raises(ValueError, match=r"scope: no tensor is chosen out of 6 \(block/0/b"):
            file.load(lambda path, leaf: False)
        with pytest.raises(TypeError, match="scope: must be a function"):
            file.load_compressed("kernel")


def test_a_path_of_two_tensors(tmp_path):
    jc.save(tmp_path / "m.npz", {"a": {"b": np.ones(1)}, "a/b": np.zeros(1)})
    with jc.open_file(tmp_path / "m.npz") as file:
        assert file.paths == ["a/b", "a/b"]
        with pytest.raises(KeyError, match="a/b: must be the path of one tensor .* got 2"):
            file["a/b"]
        assert file.load()["a"]["b"][0] == 1


def test_a_closed_file(path):
    with jc.open_file(path) as file:
        file["step"]
    assert file.paths == PATHS
    for read in (lambda: file["step"], file.load, file.load_compressed):
        with pytest.raises(ValueError, match=r"m\.npz: is closed; read from it inside"):
            read()


def test_errors_of_the_block_are_its_own(path):
    with pytest.raises(ZeroDivisionError), jc.open_file(path):
        _ = 1 / 0
    with jc.open_file(path) as file, pytest.raises(ZeroDivisionError):
        file.load(sharding=lambda path, leaf: 1 / 0)


def test_a_file_that_changes_while_it_is_open(path):
    with jc.open_file(path) as file:
        file["block/0/bias"]
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"0")
        os.utime(path, ns=(0, 0))
        with pytest.raises(jc.ArtifactError, match="m.npz: .*the file has changed since"):
            file.load()


def test_a_file_that_is_replaced_while_it_is_open_is_read_as_it_was(path):
    with jc.open_file(path) as file:
        jc.save(path, {"other": np.ones(2)})
        np.testing.assert_array_equal(file["block/1/kernel"], np.eye(3))
    assert list(jc.load(path)) == ["other"]


def test_damage_is_found_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 10)
    path = tmp_path / "m.npz"
    jc.save(path, example(), layout="csr")
    rewritten(path, lambda members: members["float16.1"].__setitem__(0, 9))
    with jc.open_file(path) as file:
        np.testing.assert_array_equal(file["block/0/bias"], np.arange(6))
        for _ in range(2):  # and nothing of it is kept
            with pytest.raises(jc.ArtifactError, match="m.npz: block/1/bias: sha256 differs"):
                file["block/1/kernel"]
        assert file["step"] == 3


def test_what_is_left_over_in_a_part_is_refused(tmp_path):
    path = tmp_path / "m.npz"
    jc.save(path, {"a": np.ones(2, "f"), "b": np.ones(3, "f")}, layout="csr")

    def change(members):
        members["float32"] = np.ones(6, "f")

    rewritten(path, change)
    with jc.open_file(path) as file:
        assert file["a"].shape == (2,)
        with pytest.raises(jc.ArtifactError, match="float32: entries that belong to no tensor"):
            file["b"]
        with pytest.raises(jc.ArtifactError, match="float32: entries that belong to no tensor"):
            file.load(lambda path, leaf: path == "b")


def test_max_bytes_counts_what_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "NUMBERS", 1000)
    path = tmp_path / "m.npz"
    jc.save(path, {"a": np.zeros(1000, "f"), "b": np.zeros(100, "f"), "c": np.ones(1000, "f")})
    with jc.open_file(path, max_bytes=12_200) as file:
        assert file["a"].sum() == 0 and file.load(lambda path, leaf: path == "a")["a"].sum() == 0
        assert file["b"].size == 100
        with pytest.raises(jc.ArtifactError, match=r"c: .*max_bytes.*pass max_bytes=\d+ "):
            file["c"]
        with pytest.raises(jc.ArtifactError, match="c: the tensors take more"):
            file.load()
    with pytest.raises(jc.ArtifactError, match="max_bytes") as caught:
        jc.load(path, max_bytes=1)
    enough = int(str(caught.value).partition("pass max_bytes=")[2].partition(" ")[0])
    assert len(jc.load(path, max_bytes=enough)) == 3
    with pytest.raises(jc.ArtifactError, match=f"pass max_bytes={enough} "):
        jc.load(path, max_bytes=enough - 1)
    # On a mesh each tensor leaves the host: the largest part is enough.
    here = SingleDeviceSharding(jax.devices()[0])
    with pytest.raises(jc.ArtifactError, match="max_bytes") as caught:
        jc.load(path, max_bytes=1, sharding=here)
    less = int(str(caught.value).partition("pass max_bytes=")[2].partition(" ")[0])
    assert less < enough and len(jc.load(path, max_bytes=less, sharding=here)) == 3


PROGRAM = """
import jax, numpy as np, jaxcompress as jc
from jax.sharding import NamedSharding, PartitionSpec as P
from jaxcompress.artifact import _parts
_parts.NUMBERS = 50
rng = np.random.default_rng(0)
tree = {
    "a": jc.kmeans({"w": rng.normal(size=(16, 8)).astype("f")}, 4)["w"],
    "b": [rng.normal(size=8).astype("bfloat16"), np.arange(8, dtype="int4")],
    "c": np.array(7, np.int32), "d": np.arange(8.0),
}
jc.save("m.npz", tree)
plain = jax.device_get(jc.dense(tree))
mesh = jax.make_mesh((8,), ("x",))
split, whole = NamedSharding(mesh, P("x")), NamedSharding(mesh, P())
by_rank = lambda path, leaf: split if leaf.shape else whole
for sharding in (by_rank, {"a": split, "b": [split, whole], "c": whole, "d": split}, whole):
    found = jc.load("m.npz", sharding=sharding)
    jax.tree.map(np.testing.assert_array_equal, found, plain)
    print([len(leaf.devices()) for leaf in jax.tree.leaves(found)[:4]],
          found["a"].sharding.shard_shape((16, 8)), found["b"][1].dtype, type(found["d"]).__name__)
with jc.open_file("m.npz") as file:
    some = file.load(lambda path, leaf: path == "a", sharding=split)
print(list(some), some["a"].addressable_shards[3].data.shape)
for wrong in (split, {"a": split}, lambda path, leaf: P("x")):
    try:
        jc.load("m.npz", sharding=wrong)
    except (TypeError, ValueError) as error:
        print(type(error).__name__, str(error)[:48].strip())
"""

SHOWN = """\
[8, 8, 8, 8] (2, 8) int4 ndarray
[8, 8, 8, 8] (2, 8) int4 ndarray
[8, 8, 8, 8] (16, 8) int4 ndarray
['a'] (2, 8)
ValueError c: shape must be one that NamedSharding(mesh=Mes
ValueError sharding: a tree must have one for each tensor,
TypeError a: sharding must be a jax.sharding.Sharding, got
"""


@pytest.mark.slow
def test_tensors_go_to_a_mesh(tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | flags, cwd=tmp_path, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == SHOWN


def test_no_array_of_the_host_outlives_its_turn(tmp_path, monkeypatch):
    """Each tensor is on its device before the next one is read."""
    monkeypatch.setattr(_parts, "NUMBERS", 1)
    jc.save(tmp_path / "m.npz", [np.full(3, n, "f") for n in range(3)])
    events = []
    read, place = _chosen.leaves_of, _open_file.placed

    def leaves_of(part, reader):
        for leaf in read(part, reader):
            events.append(f"read {int(leaf[0])}")
            yield leaf

    def placed(array, sharding):
        events.append(f"place {int(array[0])}")
        return place(array, sharding)

    monkeypatch.setattr(_chosen, "leaves_of", leaves_of)
    monkeypatch.setattr(_open_file, "placed", placed)
    jc.load(tmp_path / "m.npz", sharding=SingleDeviceSharding(jax.devices()[0]))
    assert events == [f"{what} {n}" for n in range(3) for what in ("read", "place")]
