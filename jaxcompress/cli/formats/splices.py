"""Fields of protobuf replaced in a copy of a file; all other bytes stay as they are."""

import os
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from jaxcompress.artifact.regular import open_regular
from jaxcompress.cli.formats.wire import Field, encoded

_BLOCK = 1 << 24


class Edit(NamedTuple):
    """A field with other contents.

    Attributes:
        field: of BYTES.
        parents: the fields around it, from the outermost.
        data: its new contents.
    """

    field: Field
    parents: tuple[Field, ...]
    data: bytes


class Splice(NamedTuple):
    """Bytes that replace those from `start` to `end`; None if as many are written later."""

    start: int
    end: int
    data: bytes | None

    def growth(self) -> int:
        """Return how many bytes more there are."""
        return 0 if self.data is None else len(self.data) - (self.end - self.start)


def splices(edits: Iterable[Edit]) -> list[Splice]:
    """Return the bytes that change: of the fields, and the lengths of all that are around them."""
    found: list[Splice] = []
    grown: dict[tuple[Field, ...], int] = {}
    for edit in edits:
        data = _length(len(edit.data)) + edit.data
        found.append(Splice(edit.field.head, edit.field.end, data))
        grown[edit.parents] = grown.get(edit.parents, 0) + found[-1].growth()
    for depth in range(max(map(len, grown), default=0), 0, -1):  # a longer length lengthens others
        for parents in [parents for parents in grown if len(parents) == depth]:
            *around, field = parents
            length = _length(field.value + grown[parents])
            found.append(Splice(field.head, field.start, length))
            outer = tuple(around)
            grown[outer] = grown.get(outer, 0) + grown[parents] + found[-1].growth()
    return found


class Places:
    """Where bytes of the original lie in the copy."""

    def __init__(self, changes: Iterable[Splice]) -> None:
        """Take all changes."""
        changes = sorted(changes, key=lambda change: change.end)
        self._ends = [change.end for change in changes]
        self._shifts = [0, *np.cumsum([change.growth() for change in changes]).tolist()]

    def __call__(self, position: int) -> int:
        """Return the position in the copy of a byte that no change replaces."""
        return position + self._shifts[bisect_right(self._ends, position)]


def copy(source: Path, target: BinaryIO, changes: Iterable[Splice]) -> None:
    """Write a file with the changes; those that are written later may overlap."""
    with open_regular(source) as file:
        at = 0
        for start, end, data in sorted(changes, key=lambda change: change.start):
            _pass(file, target, start - at)
            if data is None:
                target.seek(max(end - max(start, at), 0), os.SEEK_CUR)
            else:
                target.write(data)
            at = max(at, end)
            file.seek(at)
        while block := file.read(_BLOCK):
            target.write(block)


def _pass(file: BinaryIO, target: BinaryIO, count: int) -> None:
    while count > 0 and (block := file.read(min(count, _BLOCK))):
        target.write(block)
        count -= len(block)


def _length(value: int) -> bytes:
    return encoded(np.array([value], np.uint64))
