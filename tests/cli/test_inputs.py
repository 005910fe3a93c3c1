"""What the command reads: files that end, in little memory, and each tensor by its own name."""

import json
import os
import socket
import struct
import sys
import tarfile
import zipfile

import msgpack
import numpy as np
import pytest
from click.testing import CliRunner
from flax import serialization
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.artifact import manifest
from jaxcompress.cli import cli, refusals, sources
from jaxcompress.cli.msgpack_values import MOST_VALUES, check_msgpack
from tests.helpers.damage import damage, read_or_refused
from tests.helpers.files import save
from tests.helpers.program import refused, run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("name", ["m.pth.tar", "m.tar", "m.tgz", "m"])
def test_an_archive_of_tar_is_called_so(here, name, mode):
    save_file({"a": np.ones((2, 2))}, "m.safetensors")
    with tarfile.open(name, mode) as archive:
        archive.add("m.safetensors")
    assert f"{name}: is an archive of tar; unpack it, and name" in refused("pack", name)
    assert not (here / "m.npz").exists()


def test_a_zip_that_is_no_file_of_pytorch_is_refused_by_its_suffix(here):
    np.savez("m.npz", a=np.ones(3))
    os.rename("m.npz", "m.ckpt")
    assert "m.ckpt: weights must be .safetensors, .npz" in refused("pack", "m.ckpt")
    (here / "m.ckpt").write_bytes(b"PK\3\4" + b"\0" * 99)
    assert "m.ckpt: " in refused("pack", "m.ckpt", status=3)
    (here / "m.ckpt").write_bytes(b"")
    assert "m.ckpt: weights must be" in refused("pack", "m.ckpt")


ENDLESS = {"pipe": os.mkfifo, "socket": make_socket}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "msgpack", "flax"])
def test_inputs_that_never_end_are_refused_at_once(here, kind, suffix, linked):
    name = f"m.{suffix}"
    ENDLESS[kind]("real" if linked else name)
    if linked:
        os.symlink("real", name)
    jc.save("good.npz", {"a": np.ones((2, 2))})
    message = f"{name}: a regular file is needed: found a {kind}"
    for words in (
        ("pack", name, "-o", "o.npz"),
        ("verify", "good.npz", "--against", name),
        ("verify", name),
        ("unpack", name, "-o", "o.npz"),
        ("inspect", name),
        ("diff", "good.npz", name),
        ("diff", name, "good.npz"),
    ):
        assert message in refused(*words, status=3)
    for read in (jc.load, jc.load_compressed, jc.inspect):
        with pytest.raises(jc.ArtifactError, match=message):
            read(name)
    assert not os.path.exists("o.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_in_an_orbax_folder(here):
    ocp = pytest.importorskip("orbax.checkpoint")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(here / "ckpt", {"a": np.ones((2, 2))})
    os.mkfifo(here / "ckpt" / "d" / "pipe") if (here / "ckpt" / "d").is_dir() else os.mkfifo(
        here / "ckpt" / "pipe"
    )
    assert "pipe: a regular file is needed" in refused("pack", "ckpt", status=3)


def test_arrays_of_an_npz_are_read_by_their_own_names(here):
    tensors = {name: np.full((2, 2), i, "f") for i, name in enumerate(("a", "a.npy", "a.npy.npy"))}
    np.savez("m.npz", **tensors)
    run("pack", "m.npz", "-o", "o.npz", "--clusters", 2)
    assert {name: float(leaf[0, 0]) for name, leaf in jc.load("o.npz").items()} == {
        "a": 0, "a.npy": 1, "a.npy.npy": 2,
    }  # fmt: skip
    run("verify", "o.npz", "--against", "m.npz", "--tolerance", 0)
    with zipfile.ZipFile("m.npz") as archive:
        content = archive.read("a.npy")
    with zipfile.ZipFile("bad.npz", "w") as archive:
        archive.writestr("a.npy", content)
        archive.writestr("a", content)
    assert "a: not an array" in refused("pack", "bad.npz", "-o", "o.npz", status=3)


@pytest.mark.parametrize("count", [3, 30])
def test_an_npz_is_opened_as_often_for_many_tensors_as_for_few(here, monkeypatch, count):
    np.savez("m.npz", **{f"t{i}": np.ones((2, 2), "f") for i in range(count)})
    opened = []

    class Counted(zipfile.ZipFile):
        def __init__(self, *args, **kwargs):
            opened.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(sources.zipfile, "ZipFile", Counted)
    source = sources.open_source(here / "m.npz")
    for index in range(count):
        source.load(index)
    assert len(opened) == 1


def test_npz_members_that_numpy_would_not_have_written(here):
    np.savez("plain.npz", a=np.ones((2, 2)))
    with zipfile.ZipFile("plain.npz") as archive:
        content = archive.read("a.npy")
    with zipfile.ZipFile("longer.npz", "w") as archive:
        archive.writestr("a.npy", content + b"x")
    with zipfile.ZipFile("packed.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", content)
    data = bytearray((here / "plain.npz").read_bytes())
    data[data.index(content) + len(content) - 1] ^= 1
    (here / "flipped.npz").write_bytes(data)
    data = bytearray((here / "plain.npz").read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (here / "locked.npz").write_bytes(data)
    for name, message in (
        ("longer", "bytes after the array"),
        ("packed", "otherwise compressed"),
        ("flipped", "CRC"),
        ("locked", "encrypted"),
    ):
        assert message in refused("pack", f"{name}.npz", "-o", "o.npz", status=3)


def test_tensors_larger_than_memory_are_refused_by_name(here, monkeypatch):
    save_file({"a": np.ones((300, 2)), "b": np.ones(2)}, "m.safetensors")
    np.savez("m.npz", a=np.ones((300, 2)), b=np.ones(2))
    tree = {"a": np.ones((300, 2))}
    (here / "m.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    monkeypatch.setattr(refusals, "free_bytes", lambda: 4000)
    for name, where in (("npz", "a: "), ("safetensors", "a: "), ("msgpack", "")):
        said = refused("pack", f"m.{name}", "-o", "o.npz")
        assert (
            f"m.{name}: {where}must fit in memory, got " in said and "4,000 that are free" in said
        )


def test_a_sparse_giant_is_refused_by_its_header(here):
    header = b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    header += b" " * (-len(header) % 8)
    with open("m.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4398046511104)
    assert "a: must fit in memory" in refused("pack", "m.safetensors", "-o", "o.npz")
    long = b'{"__metadata__":{"a":"' + b"x" * (1 << 24) + b'"}}'
    (here / "m.safetensors").write_bytes(len(long).to_bytes(8, "little") + long)
    assert "header is too long" in refused("pack", "m.safetensors", "-o", "o.npz", status=3)


MSGPACK = {
    "nils": (b"\xdd" + struct.pack(">L", 10_000_000) + b"\xc0" * 10_000_000, "too many values"),
    "many arrays of nils": (
        b"\xdd" + struct.pack(">L", 9) + (b"\xdc\xff\xff" + b"\xc0" * 65_535) * 9 * 2,
        "bytes after the last",
    ),
    "arrays that add up": (
        b"\xdd" + struct.pack(">L", 20) + (b"\xdc\xff\xff" + b"\xc0" * 65_535) * 20,
        "too many values",
    ),
    "declared, not there": (b"\xdd" + struct.pack(">L", 2**32 - 1), "too many values"),
    "a long text": (b"\x81\xa1a\xdb" + struct.pack(">L", 2**32 - 1), "cut short"),
    "a long key": (b"\x81\xdb" + struct.pack(">L", 2**32 - 1), "cut short"),
    "deep arrays": (b"\x91" * 100_000 + b"\xc0", "nested too deep"),
    "deep maps": (b"\x81\xa1a" * 1000 + b"\xc0", "nested too deep"),
    "nils in an extension": (
        b"\x81\xa1a\xc9" + struct.pack(">LB", 5 + 10**6, 1)
        + b"\xdd" + struct.pack(">L", 10**6) + b"\xc0" * 10**6,
        "too many values",
    ),
    "a key twice": (b"\x82\xa1a\x01\xa1a\x02", "a key is there twice: found 'a'"),
    "a key twice, written otherwise": (b"\x82\xa1a\x01\xd9\x01a\x02", "a key is there twice"),
    "a number twice": (b"\x82\x01\x01\xcc\x01\x02", "a key is there twice: found 1"),
    "a negative number twice": (b"\x82\xff\x01\xd0\xff\x02", "a key is there twice: found -1"),
    "keys that collide": (b"\x82\xa11\x01\x01\x02", "of one kind: found '1' and 1"),
    "a key of nothing": (b"\x81\xc0\x01", "a key that is neither text nor an integer"),
    "a key in a container": (b"\x81\x91\x01\x01", "a key that is neither text nor an integer"),
    "a key of bytes": (b"\x81\xc4\x01a\x01", "a key that is neither text nor an integer"),
    "two documents": (b"\x80\x80", "bytes after the last value"),
    "never used": (b"\xc1", "not a whole Flax msgpack file"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", MSGPACK)
def test_msgpack_that_no_tree_should_be_made_of(here, name):
    data, message = MSGPACK[name]
    (here / "m.msgpack").write_bytes(data)
    said = refused("pack", "m.msgpack", "-o", "o.npz", status=3)
    assert message in said and "m.msgpack: " in said


def test_names_that_collide_are_named_both(here):
    tree = {"a": {"b": np.ones((2, 2))}, "a/b": np.zeros((2, 2))}
    (here / "m.msgpack").write_bytes(serialization.msgpack_serialize(tree))
    said = refused("pack", "m.msgpack", "-o", "o.npz")
    assert "a/b: a name must mean one tensor, got ['a']['b'] and ['a/b']" in said
    assert not os.path.exists("o.npz")


KEYS = st.one_of(st.text(max_size=40), st.integers(-(2**63), 2**64 - 1))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=300),
    st.binary(max_size=300),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.dictionaries(st.text(max_size=40), inner, max_size=20),
        st.dictionaries(st.integers(-(2**63), 2**64 - 1), inner, max_size=20),
    ),
    max_leaves=30,
)


@pytest.mark.slow
@settings(deadline=None)
@given(VALUES)
def test_whatever_msgpack_writes_is_let_through(value):
    check_msgpack(msgpack.packb(value))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=9), st.lists(st.integers(0, 99), max_size=9), max_size=4))
def test_whatever_flax_writes_is_let_through(shapes):
    tree = {name: np.zeros(shape[:3], "f2") for name, shape in shapes.items() if len(shape) < 3}
    tree |= {"number": np.float32(3), "complex": 2j}
    check_msgpack(serialization.msgpack_serialize(tree))


@pytest.mark.parametrize("data", [b"\xd4\0\xd4\0\0", b"\xd5\0\0\0", b"\xc7\2\0\0\0\0"])
def test_an_extension_ends_with_its_value(data):
    with pytest.raises(jc.ArtifactError, match="extension of another length|bytes after the last"):
        check_msgpack(data)


@settings(max_examples=300, deadline=None)
@example(b"\xd4\x00\xd4\x00\x00")
@given(st.binary(max_size=200))
def test_bytes_are_let_through_or_refused(data):
    try:
        check_msgpack(data)
    except jc.ArtifactError:
        return
    try:  # what is let through has the length that msgpack sees
        msgpack.unpackb(data, ext_hook=lambda code, data: code, strict_map_key=False)
    except msgpack.ExtraData:
        raise
    except Exception:
        return


def test_the_limit_is_far_above_any_network():
    assert MOST_VALUES >= 100_000


NAMED = {
    "plain.npz": (lambda path: np.savez(path, a=np.ones(3)), "an ordinary .npz"),
    "zip.npz": (lambda path: zipfile.ZipFile(path, "w").writestr("x/data.pkl", b"x"), "a zip that"),
    "s.npz": (lambda path: save_file({"a": np.ones(3)}, path), "a file of safetensors"),
    "n.npz": (lambda path: path.write_bytes(b"\x93NUMPY\1\0v\0"), "an .npy"),
    "h.npz": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" * 9), "an HDF5 file"),
    "p.npz": (lambda path: path.write_bytes(b"\x80\4\x95" * 9), "a pickle, which is never opened"),
    "m.npz": (
        lambda path: path.write_bytes(serialization.msgpack_serialize({"a": np.ones(3)})),
        "a msgpack",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_files_of_others_are_called_what_they_are(here, name):
    make, what = NAMED[name]
    made = make(here / name)
    del made
    message = f"{name}: not a file that jaxcompress wrote, but {what}"
    for words in (("inspect", name), ("verify", name), ("unpack", name)):
        assert message in refused(*words, status=3)
    with pytest.raises(jc.ArtifactError, match=message):
        jc.inspect(name)


def test_files_of_nobody_and_pieces_of_ours_are_not_guessed_at(here):
    jc.save("m.npz", {"a": np.ones(3)})
    data = (here / "m.npz").read_bytes()
    for part in (b"", b"PK", b"PK\3\4", b"hello" * 9, data[:40], data[:-9], data[:-1]):
        (here / "x.npz").write_bytes(part)
        said = refused("inspect", "x.npz", status=3)
        assert "jaxcompress wrote" not in said and "x.npz: " in said


def test_metadata_that_safetensors_cannot_carry(here):
    for value in (5, [1], {"a": 1}, {"a": {"b": "c"}}):
        jc.save("m.npz", {"a": np.ones(3)}, metadata={"safetensors": value})
        said = run("unpack", "m.npz", "-o", "o.safetensors")
        assert "safetensors can carry strings by name only; left out" in said.err
        assert said.out.startswith("o.safetensors: ")


def test_metadata_nested_deep_is_refused_when_written_and_survived_when_read(here, monkeypatch):
    deep = []
    for _ in range(600):
        deep = [deep]
    with pytest.raises(ValueError, match="metadata: must be JSON, .*nested"):
        jc.save("m.npz", {"a": np.ones(3)}, metadata={"deep": deep})
    assert not os.path.exists("m.npz")
    monkeypatch.setattr(manifest, "_check_depth", lambda metadata: None)  # as others may write it
    jc.save("m.npz", {"a": np.ones(3)}, metadata={"deep": deep})
    assert jc.load("m.npz")["a"].shape == (3,)
    run("verify", "m.npz")
    for words in (["inspect", "m.npz"], ["inspect", "m.npz", "--json"]):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code in (0, 2) and "a fault" not in done.stderr


def test_names_longer_than_a_zip_can_hold(here):
    save_file({"a" * 70_000: np.ones((2, 2))}, "m.safetensors")
    run("pack", "m.safetensors")
    assert "a name in .npz must have at most 65,535 bytes" in refused(
        "unpack", "m.npz", "-o", "back.npz"
    )
    run("inspect", "m.npz")
    run("verify", "m.npz")
    run("unpack", "m.npz", "-o", "back.safetensors")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_inputs_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    kind = data.draw(st.sampled_from(["npz", "safetensors", "msgpack"]))
    path = folder / f"m.{kind}"
    tree = {"a": np.ones((3, 4), "f"), "b/c": np.arange(5)}
    if kind == "npz":
        np.savez(path, **tree)
    elif kind == "safetensors":
        save_file(tree, path)
    else:
        path.write_bytes(serialization.msgpack_serialize(tree))
    damage(path, data)
    read_or_refused(path)


def test_inspect_shows_the_manifest_where_constriction_is_missing(here, monkeypatch):
    codes = np.array([[0, 1, 2], [0, 0, 1]], np.uint8)
    leaf = jc.Clustered(codes=codes, codebook=np.array([-1, 1], "f"))
    save("m.npz", {"w": leaf, "b": np.ones(3, "f")}, "ans", metadata={"a": 1})
    jc.save("plain.npz", {"w": leaf})
    whole = json.loads(run("inspect", "m.npz", "--json").out)
    monkeypatch.setitem(sys.modules, "constriction", None)
    said = run("inspect", "m.npz", "--json")
    assert "m.npz: only the manifest is shown; layout entropy: needs constriction" in said.err
    report = json.loads(said.out)
    known = ("path", "shape", "dtype", "form", "packing", "k", "bits", "weights", "dense_bytes")
    for row, full in zip(report["tensors"], whole["tensors"], strict=True):
        assert {name: row[name] for name in known} == {name: full[name] for name in known}
        assert row["bytes"] is None and row["bound_bytes"] is None
    rows = {row["path"]: row for row in report["tensors"]}
    assert rows["w"]["nonzero"] == 3 and rows["w"]["sparsity"] == 0.5
    assert rows["b"]["nonzero"] is None and report["total"]["nonzero"] is None
    assert report["total"]["ratio"] == whole["total"]["ratio"] and report["metadata"] == {"a": 1}
    shown = run("inspect", "m.npz")
    assert "total of 2" in shown.out and "50.0%" in shown.out
    assert not run("inspect", "plain.npz").err
    assert "needs constriction" in refused("verify", "m.npz")
    assert jc.inspect("m.npz")["metadata"] == {"a": 1}
