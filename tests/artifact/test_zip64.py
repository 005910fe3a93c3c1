"""Files and members of 4 GiB and more, with a smaller limit, so that they are small files."""

import os
import struct
import zipfile

import jax
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.artifact import _archive, _parts, _zip, manifest
from jaxcompress.artifact._archive import Archive
from jaxcompress.artifact._members import Deflated, deflate
from jaxcompress.artifact.streams import MANIFEST
from jaxcompress.artifact.writer import write
from tests.helpers.files import members_of, written


def example():
    return {name: np.arange(40, dtype="u1") + number for number, name in enumerate("abcd")}


@pytest.fixture
def limit(monkeypatch):
    """Set from which number on zip64 is needed."""
    monkeypatch.setattr(_parts, "NUMBERS", 40)
    return lambda number: monkeypatch.setattr(_zip, "_LARGE", number)


def needs(path):
    """For each entry of the directory the version of zip and the extra field; the end records."""
    data = path.read_bytes()
    at = data.rindex(b"PK\5\6")
    start = struct.unpack_from("<L", data, at + 16)[0]
    if start == 2**32 - 1:
        start = struct.unpack_from("<Q", data, at - 76 + 48)[0]
    found = []
    while data[start : start + 4] == b"PK\1\2":
        version = struct.unpack_from("<H", data, start + 6)[0]
        name, extra = struct.unpack_from("<2H", data, start + 28)
        found.append((version, data[start + 46 + name : start + 46 + name + extra]))
        start += 46 + name + extra
    return found, data[start : start + 4] == b"PK\6\6"


def extra(*numbers):
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def test_extra_fields_are_where_they_are_needed_and_nowhere_else(tmp_path, limit):
    path = tmp_path / "m.npz"
    jc.save(path, example())
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    offsets = [info.header_offset for info in infos]
    assert needs(path) == ([(20, b"")] * 5, False)
    # No size reaches the limit, but three places do.
    limit(offsets[2])
    assert max(info.file_size for info in infos) >= offsets[2] > infos[0].file_size
    jc.save(path, example())
    found, large_end = needs(path)
    assert large_end and found[:2] == [(20, b"")] * 2
    assert found[2] == (45, extra(offsets[2])) and found[3] == (45, extra(offsets[3]))
    manifest = infos[4]
    numbers = manifest.file_size, manifest.compress_size, offsets[4]
    assert found[4] == (45, extra(*numbers))
    # All sizes reach it.
    limit(100)
    jc.save(path, example())
    found, large_end = needs(path)
    assert large_end and found[0] == (45, extra(infos[0].file_size, infos[0].compress_size))


@pytest.mark.parametrize("number", [100, 300, 400, 600, 1000])
def test_other_readers_of_zip_read_them(tmp_path, limit, number):
    path = tmp_path / "m.npz"
    limit(number)
    jc.save(path, example())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 5
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["uint8.3"], example()["d"])
    jax.tree.map(np.testing.assert_array_equal, jc.load(path), example())
    assert jc.inspect(path)["version"] == 5


def test_a_file_of_one_part_needs_a_version_that_has_zip64(tmp_path, limit):
    path, tree = tmp_path / "m.npz", {"a": np.arange(30, dtype="u1")}
    jc.save(path, tree)
    assert jc.inspect(path)["version"] == 2
    limit(150)
    jc.save(path, tree)
    manifest = jc.inspect(path)
    assert manifest["version"] == 5 and manifest["parts"] == [1]
    np.testing.assert_array_equal(jc.load(path)["a"], tree["a"])


def test_zip64_in_an_older_version_is_refused(tmp_path, limit):
    path = tmp_path / "m.npz"
    jc.save(path, {"a": np.arange(30, dtype="u1")})
    members = members_of(path)
    limit(150)
    with pytest.raises(jc.ArtifactError, match="zip64 in a version of the format that has none"):
        jc.load(written(path, members))


@pytest.mark.parametrize(("write", "read"), [(200, 2**32 - 1), (2**32 - 1, 150), (200, 500)])
def test_zip64_where_it_is_not_needed_or_missing_is_refused(tmp_path, limit, write, read):
    path = tmp_path / "m.npz"
    limit(write)
    jc.save(path, example())
    limit(read)
    with pytest.raises(jc.ArtifactError, match="one form"):
        jc.load(path)


def test_too_many_members_are_not_written(tmp_path, limit, monkeypatch):
    monkeypatch.setattr(_archive, "MOST_MEMBERS", 4)
    with pytest.raises(ValueError, match="manifest: a file must have at most 4 members, got more"):
        jc.save(tmp_path / "m.npz", example())
    assert not list(tmp_path.iterdir())


class Hole(Deflated):
    """A member of five GiB that are not written."""

    stored = 5 << 30


def test_a_file_of_five_gib_says_what_it_holds_and_what_it_takes(tmp_path):
    """Nothing but the manifest is read of it: there is nothing else."""
    path, archive = tmp_path / "m.npz", Archive()
    size = 5 << 30
    entry = {"path": "a", "shape": [size], "dtype": "uint8", "form": "dense", "sha256": "0" * 64}
    data, digest = manifest.encode({"dict": [["a", 0]]}, [entry], {}, parts=[1])
    with path.open("wb") as file:
        file.writelines(archive.member("uint8", Hole((), 0, size + 128)))
        file.seek(Hole.stored, os.SEEK_CUR)
        file.writelines(archive.member(MANIFEST, deflate([data])))
        file.writelines(archive.end(digest))
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system writes holes")
    assert jc.inspect(path)["tensors"] == [entry]
    enough = 3 * size + 128
    with pytest.raises(jc.ArtifactError, match=f"the streams .* pass max_bytes={enough} "):
        jc.load(path, max_bytes=1 << 30)
    with jc.open_file(path, max_bytes=1 << 30) as file:
        assert file.paths == ["a"]
        with pytest.raises(jc.ArtifactError, match=f"pass max_bytes={enough} "):
            file["a"]


@pytest.mark.slow
def test_a_file_of_more_than_four_gib(tmp_path):
    """The numbers of all tensors are equal, so that they are coded once."""
    numbers = np.random.default_rng(0).integers(0, 256, 1 << 26, np.uint8)
    coded = _parts.encode_part([("a", numbers)], "packed")
    names = [f"{n:03}" for n in range(66)]
    parts = (coded._replace(entries=[coded.entries[0] | {"path": name}]) for name in names)
    path = tmp_path / "m.npz"
    size = write(path, parts, {"dict": [[name, n] for n, name in enumerate(names)]})
    assert size == path.stat().st_size > 2**32
    with zipfile.ZipFile(path) as archive:
        last = archive.infolist()[-2]
        assert last.filename == "uint8.65.npy" and last.header_offset > 2**32
    with jc.open_file(path) as file:
        for name in (names[0], names[33], names[-1]):
            np.testing.assert_array_equal(file[name], numbers)
