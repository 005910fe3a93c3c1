"""Files taken apart, changed, and put together again as a hostile author would: sums made anew."""

import hashlib
import json
from unittest import mock

import numpy as np

import jaxcompress as jc
from jaxcompress.artifact import LAYOUTS, manifest
from jaxcompress.artifact._archive import Archive, directory
from jaxcompress.artifact._members import deflate, inflate
from jaxcompress.artifact.source import opened
from jaxcompress.artifact.streams import MANIFEST, STREAMS, parsed_name


def save(path, tree, layout, **options):
    """As `jc.save`; layout `ans` is `entropy` as versions 2 to 4 of the format have it."""
    old = {"entropy": ("ans",)} if layout == "ans" else {}
    with mock.patch.dict(LAYOUTS, old):
        return jc.save(path, tree, layout="entropy" if old else layout, **options)


def members_of(path):
    """All arrays of a file in their order, the manifest as JSON."""
    with opened(path) as source:
        members = directory(source, parsed_name, manifest.DIGEST_SIZES).members
        arrays = {
            name: inflate(source, name, member, STREAMS[parsed_name(name)[0]]).copy()
            for name, member in members.items()
        }
    arrays[MANIFEST] = json.loads(arrays[MANIFEST].tobytes())
    return arrays


def written(path, members, *, text=None, comment=None):
    """Write the arrays in their order; the manifest is `text` if that is given."""
    if text is None:
        text = json.dumps(members[MANIFEST], separators=(",", ":"), ensure_ascii=False).encode()
    if comment is None:
        comment = hashlib.sha256(text).hexdigest().encode()
    arrays = members | {MANIFEST: np.frombuffer(text, np.uint8)}
    parts = {name: deflate([np.asarray(array)]) for name, array in arrays.items()}
    path.write_bytes(zipped(parts, comment))
    return path


def zipped(members, comment):
    """The bytes of a zip of these members, in their order."""
    archive = Archive()
    pieces = [piece for name, member in members.items() for piece in archive.member(name, member)]
    return b"".join([*pieces, *archive.end(comment)])


def rewritten(path, change):
    """Write the file anew after `change(members)`; returns its path."""
    members = members_of(path)
    change(members)
    return written(path, members)


def resealed(entry, *arrays):
    """Give an entry the digest of these arrays."""
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
