"""`pack` of tied weights: stored once by any number of processes, and read by all commands."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jaxcompress as jc
from jaxcompress.artifact import _parts
from jaxcompress.cli import packed_file
from jaxcompress.cli.sources import open_source
from jaxcompress.cli.workers import Packing
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


WIDE, MASK = normal(32, 24), np.tril(np.ones((24, 24), bool))
TIED = {
    **{f"layer{n}": normal(24, 24) for n in range(3)},
    **{f"mask{n}": MASK for n in range(3)},
    **{"lm_head": WIDE, "wte": WIDE},
}
ORDER = sorted(TIED)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Parts of two tensors or so, and workers for small files too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_parts, "NUMBERS", 1000)
    monkeypatch.setattr(packed_file, "_WORTH_WORKERS", 0)
    save_file(TIED, "m.safetensors")
    return tmp_path


def named(path="m.npz"):
    entries = jc.inspect(path)["tensors"]
    return {
        entry["path"]: entries[entry["tensor"]]["path"] for entry in entries if "tensor" in entry
    }


SAME = {"mask1": "mask0", "mask2": "mask0", "wte": "lm_head"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--lossless"], ["--sparsity", 0.3], ["--bits", 4]])
def test_they_are_stored_once_by_any_number_of_processes(options):
    said = run("pack", "m.safetensors", "--jobs", 1, *options).out
    assert named() == SAME and jc.inspect("m.npz")["version"] == 6
    assert len(jc.inspect("m.npz")["parts"]) == 4
    assert (
        "stored once: 3 tensors of 1,920 numbers: mask1 (the same as mask0), mask2 (the same as "
        "mask0), wte (the same as lm_head)\n"
    ) in said
    content = Path("m.npz").read_bytes()
    np.savez("z.npz", **TIED)
    for jobs, model in ((1, "z.npz"), (2, "m.safetensors"))[: 1 if options else 2]:
        run("pack", model, "-o", "other.npz", "--jobs", jobs, *options)
        assert Path("other.npz").read_bytes() == content
    loaded = jc.load("m.npz")
    assert sorted(loaded) == ORDER
    np.testing.assert_array_equal(loaded["wte"], loaded["lm_head"])
    np.testing.assert_array_equal(loaded["mask2"], MASK)


def test_the_size_of_one_is_what_the_rest_may_have():
    run("pack", "m.safetensors", "--target-size", "3000")
    assert named() == SAME and 2700 < os.path.getsize("m.npz") <= 3000
    with_one = {path: leaf for path, leaf in TIED.items() if path not in SAME}
    save_file(with_one, "one.safetensors")
    run("pack", "m.safetensors", "-o", "m.npz")
    run("pack", "one.safetensors", "-o", "one.npz")
    assert os.path.getsize("m.npz") < os.path.getsize("one.npz") + 400


def test_an_interrupted_run_goes_on_to_the_same_bytes(monkeypatch):
    run("pack", "m.safetensors", "-o", "whole.npz", "--jobs", 1)
    made, real = [], Packing.store

    def store(self, task):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(task)
        real(self, task)

    with monkeypatch.context() as patched:
        patched.setattr(Packing, "store", store)
        run("pack", "m.safetensors", "--jobs", 1, status=130)
    assert "going on after 3 finished parts" in run("pack", "m.safetensors", "--jobs", 1).err
    assert Path("m.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_rules_of_one_of_them_take_them_apart():
    run("pack", "m.safetensors", "--bits", "lm_head=8,*=4")
    assert "wte" not in named()
    run("pack", "m.safetensors", "-o", "m.npz", "--exclude", "lm_head")
    assert "wte" not in named()
    run("pack", "m.safetensors", "-o", "m.npz", "--drop", "lm_head")
    assert named() == {"mask1": "mask0", "mask2": "mask0"} and "lm_head" not in jc.load("m.npz")


def test_all_commands_read_them():
    run("pack", "m.safetensors", "--lossless")
    assert "same lm_head" in run("inspect", "m.npz").out
    told = json.loads(run("inspect", "m.npz", "--json").out)
    rows = {row["path"]: row for row in told["tensors"]}
    assert (rows["wte"]["form"], rows["wte"]["packing"]) == ("same", "lm_head")
    assert rows["wte"]["bytes"] == rows["wte"]["bound_bytes"] == 0
    assert rows["wte"]["nonzero"] == rows["lm_head"]["nonzero"] == WIDE.size
    assert told["total"]["dense_bytes"] == sum(leaf.nbytes for leaf in TIED.values())
    assert "wte" in run("verify", "m.npz", "--against", "m.safetensors", "--tolerance", 0).out
    run("diff", "m.npz", "m.npz")
    for suffix in ("safetensors", "npz", "msgpack"):
        run("unpack", "m.npz", "-o", f"u.{suffix}")
    for found in (load_file("u.safetensors"), dict(np.load("u.npz"))):
        assert sorted(found) == ORDER
        for path, leaf in TIED.items():
            np.testing.assert_array_equal(found[path], leaf)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_sample_is_the_first_bytes(suffix, monkeypatch):
    np.savez("m_.npz", **TIED)
    source = open_source(Path("m.safetensors" if suffix == "safetensors" else "m_.npz"))
    samples = dict(zip(source.paths, map(source.sample, range(len(source.paths))), strict=True))
    assert samples["wte"] == samples["lm_head"] != samples["layer0"]
    if suffix == "safetensors":
        assert samples["wte"] == WIDE.tobytes()
        monkeypatch.setattr("jaxcompress.cli.formats.extent.SAMPLE_BYTES", 100)
        assert source.sample(source.paths.index("wte")) == WIDE.tobytes()[:100]


def test_a_file_that_is_cut_while_it_is_read_is_refused(monkeypatch):
    source = open_source(Path("m.safetensors"))
    data = Path("m.safetensors").read_bytes()
    (header,) = struct.unpack("<Q", data[:8])
    Path("m.safetensors").write_bytes(data[: 8 + header + 10])
    with pytest.raises(jc.ArtifactError, match="the file changed while it was read"):
        source.sample(0)
    assert "not a whole safetensors file" in refused("pack", "m.safetensors", status=3)
    assert not Path("m.npz").exists()
