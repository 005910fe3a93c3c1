"""Folders that unpack writes: shards with their index, whole or not at all."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import jaxcompress as jc
from jaxcompress.cli.formats import safetensors_folder
from jaxcompress.cli.formats.new_folder import new_folder
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)
TREE = {name: RNG.normal(size=(4, 5)).astype("f") for name in "abc"} | {"d": np.arange(3)}
INDEX = "model.safetensors.index.json"
HIDDEN = ".out.jaxcompress-unpacking"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jc.save("m.npz", TREE, metadata={"safetensors": {"format": "pt"}})
    return tmp_path


def names(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def test_shards_with_their_index(here):
    said = run("unpack", "m.npz", "-o", "out", "--shard-size", "170").out
    files = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    assert names() == [*files, INDEX]
    assert f"out: {sum(p.stat().st_size for p in Path('out').iterdir()):,} bytes, 4 tensors" in said
    assert json.loads(Path("out", INDEX).read_text()) == {
        "metadata": {"total_size": 3 * 80 + 24},
        "weight_map": {"a": files[0], "b": files[0], "c": files[1], "d": files[1]},
    }
    back = load_file(f"out/{files[0]}") | load_file(f"out/{files[1]}")
    assert {name: array.tobytes() for name, array in back.items()} == {
        name: array.tobytes() for name, array in TREE.items()
    }
    run("pack", "out", "--lossless", "-o", "again.npz")
    assert jc.inspect("again.npz")["metadata"]["safetensors"] == {"format": "pt"}
    run("verify", "again.npz", "--against", "out", "--tolerance", 0)
    assert sorted(os.listdir()) == ["again.npz", "m.npz", "out"]


def test_one_file_needs_no_index(here):
    run("unpack", "m.npz", "-o", "out")
    assert names() == ["model.safetensors"]
    Path("empty.d").mkdir()
    run("unpack", "m.npz", "-o", "empty.d")
    assert names("empty.d") == ["model.safetensors"]


def test_outputs_that_would_destroy_something(here):
    run("unpack", "m.npz", "-o", "out")
    before = Path("out/model.safetensors").read_bytes()
    said = refused("unpack", "m.npz", "-o", "out")
    assert "out: the output must be a new or empty folder, got one that holds model.safe" in said
    Path("file").write_text("x")
    assert "must be a new folder, got a file" in refused("unpack", "m.npz", "-o", "file")
    os.rename("m.npz", "m")
    assert "must be a new folder, got the input" in refused("unpack", "m", "-o", "m")
    assert "none: the folder of the output is missing" in refused("unpack", "m", "-o", "none/out")
    assert "or a folder, got '.x'" in refused("unpack", "m", "-o", "out.x")
    said = refused("unpack", "m", "-o", "o.safetensors", "--shard-size", "5GB")
    assert "--shard-size and --compressed-tensors are for folders" in said
    assert "--like: only for .onnx and .gguf, or with" in refused(
        "unpack", "m", "-o", "o", "--like", "file"
    )
    assert Path("out/model.safetensors").read_bytes() == before and Path("file").is_file()


def test_nothing_is_left_after_an_error(here, monkeypatch):
    real = safetensors_folder.write_safetensors

    def broken(path, *rest):
        if "00002" in path.name:
            raise OSError(28, "No space left on device")
        return real(path, *rest)

    monkeypatch.setattr(safetensors_folder, "write_safetensors", broken)
    said = refused("unpack", "m.npz", "-o", "out", "--shard-size", "100")
    assert "out: No space left on device" in said and os.listdir() == ["m.npz"]
    Path("out").mkdir()
    refused("unpack", "m.npz", "-o", "out", "--shard-size", "100")
    assert names() == [] and sorted(os.listdir()) == ["m.npz", "out"]


def test_what_a_killed_run_left_is_used_again(here):
    Path(HIDDEN).mkdir()
    Path(HIDDEN, "model-00001-of-00009.safetensors").write_text("half")
    run("unpack", "m.npz", "-o", "out")
    assert names() == ["model.safetensors"] and not Path(HIDDEN).exists()


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_two_runs_do_not_write_one_folder(here):
    with new_folder(Path("out")) as folder:
        (folder / "mine").touch()
        assert "one run at a time may write to it" in refused("unpack", "m.npz", "-o", "out")
        assert names(folder) == ["mine"]
    assert names() == ["mine"]


def test_files_that_came_in_the_meantime_stay(here):
    with pytest.raises(OSError, match="out"), new_folder(Path("out")):
        Path("out").mkdir()
        Path("out/theirs").touch()
    assert names() == ["theirs"] and not Path(HIDDEN).exists()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 60))
def test_every_tensor_is_in_one_shard(tmp_path_factory, sizes, most):
    folder = tmp_path_factory.mktemp("shards")
    tree = {f"t{n}": np.full(size, n, np.uint8) for n, size in enumerate(sizes)}
    safetensors_folder.write_shards(folder, tree, tree.__getitem__, {}, most)
    found = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    assert [name for shard in found for name in sorted(shard)] == sorted(tree)
    for shard in found:
        assert sum(a.nbytes for a in shard.values()) <= most or len(shard) == 1
        assert all(tree[name].tolist() == array.tolist() for name, array in shard.items())
