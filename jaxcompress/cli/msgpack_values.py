"""A check of a msgpack before it is read: number of values, depth, each key once.

A reader makes an object of each value: ten million nils are ten megabytes, but gigabytes of
objects. A repeated key would hide a tensor.
"""

from typing import NamedTuple

from jaxcompress.artifact.outline import MOST_DEPTH
from jaxcompress.errors import ArtifactError

MOST_VALUES = 1_000_000
_MOST_DEPTH = MOST_DEPTH + 4  # arrays are containers of their shape and numbers

_SCALAR, _TEXT, _INTEGER, _ARRAY, _MAP, _EXTENSION = range(6)


def _kinds() -> list[tuple[int, int, int]]:
    """Return by the first byte: kind, bytes of the size that follows, size where none does."""
    table = [(_INTEGER, 0, 0)] * 128
    table += [(_MAP, 0, n) for n in range(16)] + [(_ARRAY, 0, n) for n in range(16)]
    table += [(_TEXT, 0, n) for n in range(32)]
    table += [(_SCALAR, 0, 0)] * 4  # nil, one that is never used, false and true
    table += [(_SCALAR, n, 0) for n in (1, 2, 4)] + [(_EXTENSION, n, 0) for n in (1, 2, 4)]
    table += [(_SCALAR, 0, n) for n in (4, 8)] + [(_INTEGER, 0, n) for n in (1, 2, 4, 8)] * 2
    table += [(_EXTENSION, 0, n) for n in (1, 2, 4, 8, 16)] + [(_TEXT, n, 0) for n in (1, 2, 4)]
    table += [(_ARRAY, n, 0) for n in (2, 4)] + [(_MAP, n, 0) for n in (2, 4)]
    return table + [(_INTEGER, 0, 0)] * 32


_KINDS = _kinds()


class _Container:
    """A container that is being walked through."""

    def __init__(self, left: int, *, is_map: bool, end: int | None = None) -> None:
        """Take how many values are left, and where the last one must end if that is known."""
        self.left, self.is_map, self.end = left, is_map, end
        self.keys: set[int | bytes] = set()

    def takes_key(self) -> bool:
        return self.is_map and not self.left % 2


def check_msgpack(data: bytes) -> None:
    """Refuse files that would take far more memory than their size, and maps that are not trees.

    Raises:
        ArtifactError: cut short, nested too deep, too many values, keys that are repeated, of
            two kinds, or neither text nor integers.
    """
    at, values, open_ = 0, 1, [_Container(1, is_map=False)]
    while open_:
        here = open_[-1]
        if not here.left:
            if here.end not in (None, at):
                raise ArtifactError("an extension of another length than its value")
            open_.pop()
            continue
        head, at = _head(data, at)
        if here.takes_key():
            at = _take_key(data, at, head, here)
        elif head.kind in (_ARRAY, _MAP, _EXTENSION):
            at += head.kind == _EXTENSION  # its number
            inside = _opened(head, at)
            values += inside.left
            _check_counts(values, len(open_))
            open_.append(inside)
        else:
            at += head.size
        here.left -= 1
    if at != len(data):
        raise ArtifactError("cut short, or bytes after the last value")


class _Head(NamedTuple):
    first: int
    kind: int
    size: int


def _head(data: bytes, at: int) -> tuple[_Head, int]:
    """Return the kind and size of the next value, and where its bytes begin."""
    if at >= len(data):
        raise ArtifactError("cut short: a value is missing")
    kind, width, size = _KINDS[data[at]]
    start = at + 1 + width
    return _Head(data[at], kind, int.from_bytes(data[at + 1 : start], "big") or size), start


def _opened(head: _Head, at: int) -> _Container:
    if head.kind == _EXTENSION:  # of one more value: an array, or a number
        return _Container(1, is_map=False, end=at + head.size)
    return _Container(head.size * (1 + (head.kind == _MAP)), is_map=head.kind == _MAP)


def _check_counts(values: int, depth: int) -> None:
    if values > MOST_VALUES or depth > _MOST_DEPTH:
        raise ArtifactError(
            "too many values, or nested too deep",
            expected=f"<= {MOST_VALUES} values, {_MOST_DEPTH} deep",
            found=f"{values} values, {depth} deep",
        )


def _take_key(data: bytes, at: int, head: _Head, here: _Container) -> int:
    """Note a key of a map, and return where it ends."""
    first, kind, size = head
    payload = data[at : at + size]
    if kind == _TEXT:
        key = payload
    elif kind == _INTEGER and size:
        key = int.from_bytes(payload, "big", signed=first >= 0xD0)
    elif kind == _INTEGER:
        key = first if first < 0x80 else first - 0x100
    else:
        raise ArtifactError("a key that is neither text nor an integer", found=data[at - 1 : at])
    if key in here.keys:
        raise ArtifactError("a key is there twice", found=_shown(key))
    other = next(iter(here.keys), key)
    if type(other) is not type(key):
        raise ArtifactError(
            "keys of a map must be of one kind", found=f"{_shown(other)} and {_shown(key)}"
        )
    here.keys.add(key)
    return at + size


def _shown(key: int | bytes) -> str:
    return repr(key.decode(errors="backslashreplace") if isinstance(key, bytes) else key)
