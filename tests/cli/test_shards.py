"""Checkpoints in shards: read as if they were one file, and every contradiction refused by name."""

import json
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import jaxcompress as jc
from jaxcompress.artifact.manifest import MOST_BYTES
from jaxcompress.cli import sources
from jaxcompress.cli.formats import extent
from tests.helpers.damage import damage, read_or_refused
from tests.helpers.program import refused, run

INDEX = "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
RNG = np.random.default_rng(0)
FIRST = {
    "norm": RNG.normal(size=5).astype("f"),
    "a.weight": RNG.normal(size=(6, 5)).astype("f"),
}
SECOND = {"b.weight": RNG.normal(size=(5, 6)).astype(ml_dtypes.bfloat16)}
PLACED = {"norm": ONE, "a.weight": ONE, "b.weight": TWO}
BYTES = sum(array.nbytes for array in (FIRST | SECOND).values())


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder="m", placed=PLACED, metadata=(("total_size", BYTES),), strings=("pt", "pt")):
    Path(folder).mkdir(parents=True)
    save_file(FIRST, f"{folder}/{ONE}", metadata={"format": strings[0]})
    save_file(SECOND, f"{folder}/{TWO}", metadata={"format": strings[1]})
    write_index({"metadata": dict(metadata), "weight_map": placed}, folder)


def write_index(content, folder="m"):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    Path(folder, INDEX).write_bytes(text)


def test_shards_give_what_one_file_gives(here):
    make()
    save_file(FIRST | SECOND, "one.safetensors", metadata={"format": "pt"})
    options = ("--clusters", 4, "--sparsity", 0.3)
    run("pack", "one.safetensors", "-o", "one.npz", *options)
    before = {path.name: path.read_bytes() for path in Path("m").iterdir()}
    for name, output in (("m", "m.npz"), ("m/", "s.npz"), (f"m/{INDEX}", "i.npz")):
        said = run("pack", name, "-o", output, *options)
        assert not said.err and Path(output).read_bytes() == Path("one.npz").read_bytes()
    assert before == {path.name: path.read_bytes() for path in Path("m").iterdir()}
    run("verify", "m.npz", "--against", "m")
    run("unpack", "m.npz", "-o", "back.safetensors")  # the shards are one file then
    assert load_file("back.safetensors")["norm"].tobytes() == FIRST["norm"].tobytes()


def test_outputs_lie_beside_what_was_named(here, monkeypatch):
    make("llama-3.1")
    run("pack", "llama-3.1/")
    run("pack", f"llama-3.1/{INDEX}")
    assert Path("llama-3.1.npz").read_bytes() == Path("llama-3.1/model.npz").read_bytes()
    Path("llama-3.1.npz").unlink()
    monkeypatch.chdir("llama-3.1")
    run("pack", ".")
    assert (here / "llama-3.1.npz").is_file()
    assert "must not lie in the input" in refused("pack", ".", "-o", "small.npz")


def test_no_shard_is_replaced_by_the_output(here):
    make()
    content = Path("m", ONE).read_bytes()
    os.symlink(f"m/{ONE}", "link.npz")
    for output in (f"m/{ONE}", f"m/{INDEX}", "link.npz"):
        said = refused("pack", f"m/{INDEX}", "-o", output)
        assert f"{output}: the output must not be the input" in said
    assert Path("m", ONE).read_bytes() == content


def test_a_tensor_is_read_from_its_shard_alone_and_no_file_stays_open(here, monkeypatch):
    make()
    source = sources.open_source(Path("m"))
    opened = []
    real = extent.open_regular
    monkeypatch.setattr(extent, "open_regular", lambda path: opened.append(path) or real(path))
    handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    loaded = source.load(source.paths.index("b.weight"))
    assert loaded.tobytes() == SECOND["b.weight"].tobytes() and opened == [Path("m", TWO)]
    assert not handles or len(os.listdir("/proc/self/fd")) == handles


@pytest.mark.parametrize("cut", [True, False])
def test_a_shard_that_changes_while_it_is_read_is_named(here, cut):
    make()
    source = sources.open_source(Path("m"))
    path = Path("m", TWO)
    path.write_bytes(path.read_bytes()[:-1] if cut else path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(0, 0))
    assert source.load(source.paths.index("norm")).tolist() == FIRST["norm"].tolist()
    with pytest.raises(jc.ArtifactError, match=f"{TWO}: b.weight: the file changed while it was"):
        source.load(source.paths.index("b.weight"))


def test_strings_that_shards_do_not_share_are_left_out_with_a_note(here):
    make("same")
    run("pack", "same")
    assert jc.inspect("same.npz")["metadata"]["safetensors"] == {"format": "pt"}
    make("other", strings=("pt", "np"))
    assert "other: shards carry other strings" in run("pack", "other").err
    assert "safetensors" not in jc.inspect("other.npz")["metadata"]


@pytest.mark.parametrize("size", [BYTES + 30, "many", None, -1, 10**30])
def test_another_total_size_is_a_note(here, size):
    make(metadata=[("total_size", size)])
    said = run("pack", "m").err
    assert f"total_size says {size!r}, but the tensors take {BYTES:,} bytes" in said


@pytest.mark.parametrize("metadata", [[], [("total_size", float(BYTES))], [("other", 1)]])
def test_no_note_without_need(here, metadata):
    make(metadata=metadata)
    assert not run("pack", "m").err


CONTRADICTIONS = {
    "listed, not there": (PLACED | {"c": ONE}, f"c: {{}}: expected {ONE}, found no shard"),
    "there, not listed": (
        {"norm": ONE, "b.weight": TWO},
        f"a.weight: {{}}: expected no shard, found {ONE}",
    ),
    "in another shard": (PLACED | {"norm": TWO}, f"norm: {{}}: expected {TWO}, found {ONE}"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_an_index_that_says_other_than_the_headers(here, name):
    placed, message = CONTRADICTIONS[name]
    make(placed=placed)
    rule = "a tensor must be in the one shard that the index names"
    assert f"m/{INDEX}: {message.format(rule)}" in refused("pack", "m", status=3)
    assert not Path("m.npz").exists()


def test_a_tensor_in_two_shards(here):
    make()
    save_file(SECOND | {"norm": FIRST["norm"]}, f"m/{TWO}")
    said = refused("pack", "m", status=3)
    assert f"{INDEX}: norm: " in said and f"expected {ONE}, found {ONE} and {TWO}" in said
    os.link(f"m/{ONE}", "m/again.safetensors")
    make("n", placed=PLACED | {"norm": "again.safetensors"})
    os.link(f"n/{ONE}", "n/again.safetensors")
    assert "a.weight: " in refused("pack", "n", status=3)


def test_missing_shards_are_listed(here):
    make(placed=PLACED | {f"t{i}": f"s{i}.safetensors" for i in range(9)})
    said = refused("pack", "m")
    assert f"m/{INDEX}: all shards must lie beside it, missing s0.safetensors, " in said
    assert "and 6 more; fetch them again" in said


OUTSIDE = [
    "../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "./x.safetensors",
    "..\\x.safetensors", "C:x.safetensors", "", ".", "..", "x.bin", "x\0.safetensors",
    "x\n.safetensors", "\ud800.safetensors", 5, None, [ONE], {"shard": ONE, "dtype": "F32"}, True,
]  # fmt: skip


@pytest.mark.parametrize("shard", OUTSIDE, ids=repr)
def test_an_index_names_files_beside_it_and_nothing_else(here, shard):
    make(placed=PLACED | {"norm": shard})
    save_file(FIRST, "x.safetensors")
    said = refused("pack", "m", status=3)
    assert f"m/{INDEX}: norm: a shard must be the name of a .safetensors beside the index" in said


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_links_out_of_the_folder(here):
    make("real")
    make("m")
    Path("m", TWO).unlink()
    os.symlink(f"../real/{TWO}", f"m/{TWO}")
    for name in ("m", f"m/{INDEX}"):
        said = refused("pack", name, "-o", "o.npz")
        assert f"m/{TWO}: a file of a folder must lie in it, got a link to " in said
    Path("m", TWO).unlink()
    Path("m", "data").write_bytes(Path("real", TWO).read_bytes())
    os.symlink("data", f"m/{TWO}")
    run("pack", "m")
    Path("m", TWO).unlink()
    os.symlink(TWO, f"m/{TWO}")
    assert f"m/{TWO}: " in refused("pack", "m", "-o", "o.npz")
    os.symlink("m", "linked")
    Path("m", TWO).unlink()
    Path("m", "data").rename(f"m/{TWO}")
    run("pack", "linked")


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_the_cache_of_the_hub(here):
    make("hub/snapshots/abc")
    Path("hub/blobs").mkdir()
    for number, path in enumerate(sorted(Path("hub/snapshots/abc").iterdir())):
        path.rename(f"hub/blobs/{number}")
        path.symlink_to(f"../../blobs/{number}")
    run("pack", "hub/snapshots/abc", "-o", "m.npz")
    assert jc.load("m.npz")["norm"].tolist() == FIRST["norm"].tolist()


INDEXES = {
    "not JSON": (b"{", "not readable"),
    "not UTF-8": (json.dumps({"weight_map": {}}).encode("utf-16"), "not readable"),
    "empty": (b"", "not readable"),
    "a list": ([], "must hold an object weight_map"),
    "no map": ({"metadata": {}}, "must hold an object weight_map"),
    "a map of another kind": ({"weight_map": [ONE]}, "must hold an object weight_map"),
    "metadata of another kind": ({"metadata": 5, "weight_map": PLACED}, "must be an object"),
    "deep": (b'{"a":' * 100_000, "not readable"),
    "deep lists": (b"[" * 1_000_000, "not readable"),
    "a long number": (b'{"weight_map": ' + b"9" * 5000 + b"}", "not readable"),
    "long": (b" " * (MOST_BYTES + 1), "the index is too long"),
    "a name twice": (
        json.dumps({"weight_map": PLACED}).replace("a.weight", "norm").encode(),
        "a key is there twice: found norm",
    ),
    "a map twice": (b'{"weight_map": {}, "weight_map": {}}', "a key is there twice"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_is_none(here, name):
    content, message = INDEXES[name]
    make()
    write_index(content)
    said = refused("pack", "m", status=3)
    assert f"m/{INDEX}: " in said and message in said


def test_a_header_that_names_a_tensor_twice(here):
    entry = b'"a":{"dtype":"%s","shape":[1],"data_offsets":[0,4]}'
    header = b"{" + entry % b"F32" + b"," + entry % b"I32" + b"}"
    header += b" " * (-len(header) % 8)
    data = len(header).to_bytes(8, "little") + header + b"\0\0\0\0"
    Path("m.safetensors").write_bytes(data)
    assert "m.safetensors: " in refused("pack", "m.safetensors", status=3)


KINDS = {
    "pipe": (os.mkfifo if hasattr(os, "mkfifo") else None, 3, "a regular file is needed"),
    "folder": (os.mkdir, 2, "Is a directory"),
    "text": (lambda path: Path(path).write_text("no"), 3, "not a whole safetensors file"),
}


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [TWO, INDEX])
def test_what_is_no_shard_and_no_index(here, kind, name):
    place, status, message = KINDS[kind]
    make()
    Path("m", name).unlink()
    place(f"m/{name}")
    said = refused("pack", "m", status=status)
    assert f"m/{name}: " in said
    assert message in said or (kind == "text" and name == INDEX and "not readable" in said)


def test_folders_in_which_it_is_not_clear_what_is_meant(here):
    Path("none").mkdir()
    assert "none: a folder must hold safetensors or pytorch_model.bin, or be an orbax" in refused(
        "pack", "none"
    )
    save_file(FIRST, "none/some.safetensors")
    run("pack", "none", "-o", "one.npz")  # the only file, of any name
    save_file(SECOND, "none/other.safetensors")
    said = refused("pack", "none")
    assert "one file, got other.safetensors, some.safetensors; name one of them" in said
    make("whole")
    save_file(FIRST | SECOND, "whole/model.safetensors")
    said = refused("pack", "whole")
    assert f"must hold one checkpoint, got model.safetensors and the shards of {INDEX}" in said
    make("two")
    os.rename(f"two/{INDEX}", "two/a.safetensors.index.json")
    run("pack", "two")
    os.link("two/a.safetensors.index.json", "two/b.safetensors.index.json")
    assert "got a.safetensors.index.json, b.safetensors.index.json" in refused(
        "pack", "two", "-o", "o.npz"
    )
    make("more")
    save_file(FIRST, "more/consolidated.safetensors")
    said = run("pack", "more").err
    assert f"more: left out, since {INDEX} does not name them: consolidated.safetensors" in said


def test_orbax_and_safetensors_are_told_apart(here):
    make("both")
    Path("both/default").mkdir()
    Path("both/default/_METADATA").write_text("{}")
    assert "both: a folder must hold one checkpoint, got one of orbax and" in refused(
        "pack", "both"
    )
    assert "or a folder, got '.json'; rename or convert" in refused(
        "pack", Path("both", INDEX).rename("both/config.json")
    )


def test_an_index_of_no_tensors(here):
    make(placed={}, metadata=())
    assert "--scope: no tensor is chosen out of 0" in refused("pack", f"m/{INDEX}")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_shards_and_indexes_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged") / "m"
    make(folder)
    path = folder / data.draw(st.sampled_from([INDEX, ONE, TWO]))
    damage(path, data)
    read_or_refused(folder)
