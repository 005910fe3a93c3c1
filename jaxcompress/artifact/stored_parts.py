"""Parts of a file that is not finished, each in a file of its own.

Another process may have made them, or a run that was killed. A digest tells whether they are whole.
They hold what the finished file will hold, and no code.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from jaxcompress.artifact._members import Deflated
from jaxcompress.artifact._parts import Layout, Part, encode_part, lengths

_DIGEST_BYTES, _LENGTH_BYTES = 32, 8


def part_ranges(like: Iterable[Any]) -> list[range]:
    """Return the numbers of the tensors of each part, from leaves or their shapes and dtypes.

    Example:
        >>> import jax
        >>> shapes = (5,), (4096, 4096), (3,)
        >>> part_ranges(jax.ShapeDtypeStruct(shape, "float32") for shape in shapes)
        [range(0, 2), range(2, 3)]
    """
    found: list[range] = []
    for length in lengths(like):
        start = found[-1].stop if found else 0
        found.append(range(start, start + length))
    return found


def store_part(
    path: Path, leaves: Iterable[tuple[str, Any]], layout: Layout, notes: Sequence[Any] = ()
) -> None:
    """Code the tensors of a part, and write it to a file of its own, whole or not at all.

    Args:
        path: file to write; no other process may write it.
        leaves: path and leaf of each; they may come one at a time.
        layout: a key of `LAYOUTS`, or a function from path to key.
        notes: anything of JSON about the tensors; it may grow while leaves come.

    Raises:
        TypeError: a dtype that cannot be stored.
        ValueError: no such layout, or a leaf that breaks the rules of its type.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "0.part")
        ...     store_part(path, [("bias", np.zeros(3, "f"))], "packed")
        ...     part = stored_part(path)
        >>> part.entries[0]["path"], list(part.members)
        ('bias', ['float32'])
    """
    part = encode_part(leaves, layout)
    members = {
        name: [member.crc, member.size, member.stored] for name, member in part.members.items()
    }
    digest = hashlib.sha256()
    for member in part.members.values():
        for segment in member.segments:
            digest.update(segment)
    told = [part.entries, members, list(notes), digest.hexdigest()]
    header = json.dumps(told, allow_nan=False).encode()
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        file.write(hashlib.sha256(header).digest())
        file.write(len(header).to_bytes(_LENGTH_BYTES, "little") + header)
        for member in part.members.values():
            file.writelines(member.segments)
    os.replace(temporary, path)


def stored_part(path: Path) -> Part | None:
    """Return the part that `store_part` wrote; None if it is missing or damaged.

    Raises:
        OSError: the file is there, and cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return _parsed(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return None


def _parsed(file: BinaryIO, size: int) -> Part | None:
    expected = file.read(_DIGEST_BYTES)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    header = file.read(length) if length <= size else b""
    if hashlib.sha256(header).digest() != expected:
        return None
    entries, told, notes, data_digest = json.loads(header)
    digest, members = hashlib.sha256(), {}
    for name, (crc, count, stored) in told.items():
        segment = file.read(stored)
        digest.update(segment)
        members[name] = Deflated((segment,), crc, count)
    if digest.hexdigest() != data_digest or file.read(1):
        return None
    return Part(entries, members, notes)
