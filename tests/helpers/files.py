"""Files taken apart, changed, and put together again as a hostile author would: sums made anew."""

import hashlib
import json
from unittest import mock

import numpy as np

import jaxcompress as jc
from jaxcompress.artifact import LAYOUTS, manifest
from jaxcompress.artifact import _archive as archive
from jaxcompress.artifact.streams import MANIFEST, STREAMS


def save(path, tree, layout, **options):
    """As `jc.save`; layout `ans` is `entropy` as versions 2 to 4 of the format have it."""
    old = {"entropy": ("ans",)} if layout == "ans" else {}
    with mock.patch.dict(LAYOUTS, old):
        return jc.save(path, tree, layout="entropy" if old else layout, **options)


def members_of(path):
    """All arrays of a file, the manifest as JSON."""
    with archive.opened(path) as source:
        members, _ = archive.directory(source, STREAMS, manifest.DIGEST_SIZES)
        arrays = {n: archive.inflate(source, n, m, STREAMS[n]).copy() for n, m in members.items()}
    arrays[MANIFEST] = json.loads(arrays[MANIFEST].tobytes())
    return arrays


def written(path, members, *, text=None, comment=None):
    """Write the arrays; the manifest is `text` if that is given."""
    if text is None:
        text = json.dumps(members[MANIFEST], separators=(",", ":"), ensure_ascii=False).encode()
    arrays = {MANIFEST: np.frombuffer(text, np.uint8)}
    arrays |= {name: array for name, array in members.items() if name != MANIFEST}
    if comment is None:
        comment = hashlib.sha256(text).hexdigest().encode()
    parts = {name: archive.deflate([np.asarray(array)]) for name, array in arrays.items()}
    path.write_bytes(b"".join(archive.archive(parts, comment)))
    return path


def rewritten(path, change):
    """Write the file anew after `change(members)`; returns its path."""
    members = members_of(path)
    change(members)
    return written(path, members)


def resealed(entry, *arrays):
    """Give an entry the digest of these arrays."""
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
