"""Random damage, with sums made anew: a file is read or refused, and nothing else happens."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcompress.artifact.reader import read
from jaxcompress.artifact.streams import MANIFEST
from jaxcompress.errors import ArtifactError
from tests.helpers.files import members_of, written

GOLDEN = sorted((Path(__file__).parent / "golden").glob("v[23456]*.npz"))


def read_or_refuse(path):
    try:
        read(path, max_bytes=1 << 24)
    except ArtifactError as error:
        assert error.file == str(path)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_bytes_changed_anywhere(data):
    content = bytearray(data.draw(st.sampled_from(GOLDEN)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(start + 40, len(content))))
        content[start:stop] = data.draw(st.binary(max_size=40))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        path.write_bytes(content)
        read_or_refuse(path)


NUMBERS = st.one_of(st.integers(0, 40), st.sampled_from([255, 256, 65_535, 2**31, 2**48 - 1]))


def damage_stream(draw, stream):
    """Change a few entries, or how many there are."""
    stream = stream.copy()
    if draw(st.booleans()):
        return np.resize(stream, draw(st.integers(1, 2 * stream.size)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, stream.size - 1))
        bits = draw(st.binary(min_size=stream.itemsize, max_size=stream.itemsize))
        stream[at : at + 1] = np.frombuffer(bits, stream.dtype)
    return stream


def values_of(field, entries):
    """What this field is anywhere in the manifest, and what its products and factors have there."""
    for entry in entries:
        if field in entry:
            yield entry[field]
        if "product" in entry:
            yield from values_of(field, [entry["product"], *entry["product"]["factors"]])


def damage_manifest(draw, manifest):
    entry = draw(st.sampled_from(manifest["tensors"]))
    if "product" in entry and draw(st.booleans()):
        entry = draw(st.sampled_from([entry["product"], *entry["product"]["factors"]]))
    field = draw(st.sampled_from(sorted(set(entry) - {"path", "sha256", "factors"})))
    old = entry[field]
    if isinstance(old, list):
        entry[field] = draw(st.lists(NUMBERS, max_size=3))
    elif isinstance(old, int):
        entry[field] = draw(NUMBERS)
    else:
        entry[field] = draw(st.sampled_from(list(values_of(field, manifest["tensors"]))))


@pytest.mark.slow
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_numbers_changed_by_an_author_who_makes_sums_anew(path, data):
    members = members_of(path)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(members)))
        if name == MANIFEST:
            damage_manifest(data.draw, members[MANIFEST])
        else:
            members[name] = damage_stream(data.draw, members[name])
    with tempfile.TemporaryDirectory() as folder:
        read_or_refuse(written(Path(folder) / "m.npz", members))


@pytest.mark.parametrize("name", ["v3_csr", "v4_csr"])
def test_signalling_nan_is_refused_without_a_warning(name, tmp_path):
    members = members_of(Path(__file__).parent / "golden" / f"{name}.npz")
    members["bfloat16"] = np.full_like(members["bfloat16"], 0x7F81)
    with pytest.raises(ArtifactError, match="finite"):
        read(written(tmp_path / "m.npz", members), max_bytes=1 << 24)
