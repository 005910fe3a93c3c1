"""Where files are written: what is there already, what it is, and what killed writers left."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxcompress as jc
from jaxcompress.artifact._leftovers import is_temporary, new_temporary
from jaxcompress.artifact.atomic import atomic_file, write_atomically
from tests.helpers.program import refused, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, modes and links of POSIX")

TREE = {"a": np.ones((2, 2), "f")}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def temporaries(folder):
    return [path.name for path in Path(folder).iterdir() if is_temporary(path)]


@contextlib.contextmanager
def umask(value):
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path)


SPECIAL = {
    "pipe": (os.mkfifo, "found a pipe"),
    "socket": (make_socket, "found a socket"),
    "folder": (os.mkdir, "found a folder"),
}


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_never_replaced(here, kind, linked):
    make, message = SPECIAL[kind]
    make("real" if linked else "target.npz")
    if linked:
        os.symlink("real", "target.npz")
    before = {path.name: path.lstat().st_mode for path in here.iterdir()}
    save_file(TREE, "m.safetensors")
    jc.save("m.npz", TREE)
    os.link("target.npz", "target.safetensors") if kind != "folder" else os.symlink(
        "target.npz", "target.safetensors"
    )
    message = f"target.npz: the output must be a regular file, {message}; name another."
    with pytest.raises(ValueError, match=message):
        jc.save("target.npz", TREE)
    with pytest.raises(ValueError, match=message):
        write_atomically(Path("target.npz"), b"x")
    assert message in refused("pack", "m.safetensors", "-o", "target.npz")
    words = ("pack", "m.safetensors", "-o", "target.npz", "--target-size", "1KB")
    assert message in refused(*words)
    for suffix in ("npz", "safetensors"):
        assert "must be a regular file" in refused("unpack", "m.npz", "-o", f"target.{suffix}")
    assert before.items() <= {path.name: path.lstat().st_mode for path in here.iterdir()}.items()
    assert not temporaries(here)


def test_a_device_is_refused_without_being_touched(here, monkeypatch):
    """A regular file stands for it, of which the system says that it is a device."""
    Path("device").write_bytes(b"as it was")
    real = os.stat

    def stat_of(path, *args, **kwargs):
        found = real(path, *args, **kwargs)
        if os.fspath(path) != "device":
            return found
        return os.stat_result((stat.S_IFCHR | 0o666, *found[1:]))

    monkeypatch.setattr(os, "stat", stat_of)
    with pytest.raises(ValueError, match="device: the output must be .*, found a device"):
        jc.save("device", TREE)
    with pytest.raises(jc.ArtifactError, match="device: a regular file is needed: found a device"):
        jc.load("device")
    assert Path("device").read_bytes() == b"as it was"


def test_a_pipe_that_comes_while_the_file_is_written_stays(here):
    with pytest.raises(ValueError, match="found a pipe"), atomic_file(Path("m")) as file:
        file.write(b"x")
        os.mkfifo("m")
    assert stat.S_ISFIFO(os.stat("m").st_mode) and [p.name for p in here.iterdir()] == ["m"]


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o644, 0o666, 0o400, 0o755])
def test_the_mode_of_a_replaced_file_is_kept(here, bits):
    save_file(TREE, "m.safetensors")
    for name in ("o.npz", "o.safetensors"):
        Path(name).write_bytes(b"before")
        os.chmod(name, bits)
    with umask(0o022):
        jc.save("o.npz", TREE)
        assert mode("o.npz") == bits
        run("pack", "m.safetensors", "-o", "o.npz")
        run("unpack", "o.npz", "-o", "o.safetensors")
    assert mode("o.npz") == mode("o.safetensors") == bits
    assert jc.load("o.npz")["a"].shape == (2, 2)


@pytest.mark.parametrize(("mask", "bits"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_files_follow_the_umask(here, mask, bits):
    with umask(mask):
        jc.save("new.npz", TREE)
    assert mode("new.npz") == bits


def test_a_private_file_is_private_while_it_is_replaced(here):
    Path("m").write_bytes(b"before")
    os.chmod("m", 0o600)
    with umask(0), atomic_file(Path("m")) as file:
        file.write(b"secret")
        (name,) = temporaries(here)
        assert mode(name) == 0o600


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives files away")
def test_the_owner_is_kept_by_those_who_may(here):
    Path("m").write_bytes(b"before")
    os.chmod("m", 0o640)
    os.chown("m", 12345, 23456)
    write_atomically(Path("m"), b"after")
    found = os.stat("m")
    assert (found.st_uid, found.st_gid, mode("m")) == (12345, 23456, 0o640)


def test_a_group_that_cannot_be_kept_gains_nothing(here, monkeypatch):
    def denied(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", denied)
    real = os.stat

    def stat_of(path, *args, **kwargs):
        found = real(path, *args, **kwargs)
        return os.stat_result((*found[:5], found.st_gid + 1, *found[6:]))

    for before, after in ((0o640, 0o600), (0o644, 0o644), (0o664, 0o644), (0o4755, 0o755)):
        Path("m").write_bytes(b"before")
        os.chmod("m", before)
        monkeypatch.setattr(os, "stat", stat_of)
        write_atomically(Path("m"), b"after")
        monkeypatch.setattr(os, "stat", real)
        assert mode("m") == after


def test_links_stay_and_what_they_mean_is_replaced(here):
    Path("folder").mkdir()
    Path("folder/real.npz").write_bytes(b"before")
    os.chmod("folder/real.npz", 0o600)
    os.symlink("folder/real.npz", "link.npz")
    os.symlink("link.npz", "second.npz")
    os.symlink("nothing.npz", "dangling.npz")
    for name in ("link.npz", "second.npz", "dangling.npz"):
        jc.save(name, TREE)
        assert os.path.islink(name) and jc.load(name)["a"].shape == (2, 2)
    assert mode("folder/real.npz") == 0o600 and Path("nothing.npz").is_file()
    assert not temporaries(here) and not temporaries("folder")


def test_links_in_a_circle_are_named(here):
    os.symlink("b.npz", "a.npz")
    os.symlink("a.npz", "b.npz")
    save_file(TREE, "m.safetensors")
    with pytest.raises(OSError, match="a.npz"):
        jc.save("a.npz", TREE)
    assert refused("pack", "m.safetensors", "-o", "a.npz").startswith("jaxcompress: a.npz: ")
    assert os.path.islink("a.npz") and os.path.islink("b.npz")


@pytest.mark.parametrize("length", [200, 255])
def test_names_as_long_as_the_system_allows(here, length):
    for name in ("a" * length, "é" * (length // 2)):
        write_atomically(Path(name), b"x")
        assert Path(name).read_bytes() == b"x"


FULL = """
import resource, sys, numpy as np, jaxcompress as jc
from jaxcompress.artifact import _parts
from jaxcompress.cli import cli
_parts.NUMBERS = 1000
random = np.random.default_rng(0)
tree = {f"{n}": random.normal(size=(50, 50)) for n in range(9)}
np.savez("m.small.npz", **tree)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
try:
    jc.save("o.npz", tree)
except OSError as error:
    assert error.filename == "o.npz", error
    cli.main(["pack", "m.small.npz", "-o", "o.npz", *sys.argv[2:]])
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [100, 12_000])  # parts fit, and then none
@pytest.mark.parametrize("words", [["--clusters", "200"], ["--target-size", "18KB"]])
def test_a_full_disk_names_the_file_and_leaves_the_previous_one(here, room, words):
    Path("o.npz").write_bytes(b"before")
    command = [sys.executable, "-c", FULL, str(room), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    *kept, last = done.stderr.splitlines()
    assert done.returncode == 2 and last == "jaxcompress: o.npz: File too large"
    assert Path("o.npz").read_bytes() == b"before"
    left = {path.name for path in here.iterdir()} - {"m.small.npz", "o.npz"}
    if room < 1000 or "--target-size" in words:
        assert not kept and not left
    else:
        (line,) = kept
        assert "o.npz: 4 finished parts are kept in" in line and "--restart begins anew" in line
        assert left == {".o.npz.jaxcompress-parts"}


WRITER = """
import time
from pathlib import Path
from jaxcompress.artifact.atomic import atomic_file
with atomic_file(Path("m.npz")) as file:
    file.write(b"x" * 10000)
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def writer():
    with subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"writing\n"
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_what_killed_writers_left_goes_at_the_next_write(here):
    with writer() as alive:
        (held,) = temporaries(here)
        with writer() as other:
            other.kill()
            other.wait()
            assert len(temporaries(here)) == 2
            jc.save("another.npz", TREE)
            assert temporaries(here) == [held]  # its writer lives
        alive.kill()
        alive.wait()
        jc.save("another.npz", TREE)
        assert not temporaries(here)


def test_nothing_else_is_taken_for_a_leftover(here):
    path, handle = new_temporary(here / "m.npz", 0o600)
    os.close(handle)
    names = [path.name[1:], path.name + "x", f".m.npz.{'0' * 16}", ".jaxcompress-tmp", "a.b"]
    for name in names:
        Path(name).write_bytes(b"mine")
    pipe, link, folder = (f".{k}.{'0' * 16}.jaxcompress-tmp" for k in "plf")
    os.mkfifo(pipe)
    os.symlink("a.b", link)
    os.mkdir(folder)
    jc.save("other.npz", TREE)
    found = {entry.name for entry in here.iterdir()}
    assert found == {*names, pipe, link, folder, "other.npz"}
