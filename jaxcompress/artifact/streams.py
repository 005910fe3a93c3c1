"""The streams of a part: their dtypes, and how tensors add to them and take from them.

All tensors of a part use the same streams, because a member of a zip costs about two hundred bytes.
All numbers of one dtype are in one stream, whatever their purpose.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.artifact._members import Deflated, Member, deflate, inflate
from jaxcompress.artifact.source import Source
from jaxcompress.errors import ArtifactError
from jaxcompress.packing import block, static

_STORED = {
    "bool": "|b1",
    **{
        f"{kind}{bits}": f"<{kind[0]}{bits // 8}"
        for kind in ("int", "uint")
        for bits in (16, 32, 64)
    },
    **{"int8": "|i1", "uint8": "|u1", "int4": "|u1", "uint4": "|u1"},
    **{"float16": "<f2", "bfloat16": "<u2", "float32": "<f4", "float64": "<f8"},
    **{"float8_e4m3fn": "|u1", "float8_e5m2": "|u1", "complex64": "<c8", "complex128": "<c16"},
}
"""The stored dtype of the numbers of each dtype, as numpy writes it."""

DTYPES = tuple(_STORED)
"""Names of the dtypes that a tensor may have."""

MANIFEST, PROGRAM, RANS = "manifest", "program", "rans"

_PLANES = {f"{name}_planes": ("|u1",) for name, d in _STORED.items() if np.dtype(d).itemsize > 1}

STREAMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((MANIFEST, PROGRAM), ("|u1",)),
    "row_lengths": ("<u4", "|u1", "<u2", "<u8"),
    **dict.fromkeys(("distances", "codes", "gaps", "bits", "digits", RANS), ("|u1",)),
    "codes_wide": ("<u2",),
    "ans": ("<u4",),
    **{name: (descr,) for name, descr in _STORED.items()},
    **_PLANES,
    # Format version 1 had a stream for each purpose of numbers.
    **{
        f"{role}_{name}": (descr,)
        for role in ("dense", "codebooks", "values")
        for name, descr in _STORED.items()
    },
}
"""All streams, each with the dtypes that it may have."""

_NUMBER = re.compile("[1-9][0-9]{0,4}")


def member_name(stream: str, part: int) -> str:
    """Return the name of the member with a stream of a part, which are numbered from 0.

    Example:
        >>> member_name("digits", 0), member_name("digits", 12)
        ('digits', 'digits.12')
    """
    return f"{stream}.{part}" if part else stream


def parsed_name(member: str) -> tuple[str, int] | None:
    """Return stream and part of a member; None if no member has such a name.

    Example:
        >>> parsed_name("digits"), parsed_name("digits.12"), parsed_name("digits.0")
        (('digits', 0), ('digits', 12), None)
    """
    stream, dot, number = member.partition(".")
    if stream not in STREAMS or (
        dot and (stream in (MANIFEST, PROGRAM) or not _NUMBER.fullmatch(number))
    ):
        return None
    return stream, int(number or 0)


Coder = Callable[[Sequence[block.Codes]], block.Encoded]
"""From tensors of codes to their bytes: `block.encoded`, or `block.estimated` for sizes alone."""


class Writer:
    """Collects the streams of a part from front to back.

    Attributes:
        splits_planes: whether streams of numbers may be split into planes of bytes.
        shares: for each tensor its bytes among the compressed bytes of the streams, as
            `Reader.stored_bytes` has them; known after `members`.
    """

    def __init__(self, coder: Coder = block.encoded) -> None:
        """Begin without any, for codes that `coder` will code."""
        self._coder = coder
        self._parts: dict[str, list[Any]] = {}
        self._owners: dict[str, list[int]] = {}
        self.splits_planes = True
        self.shares: list[float] = []

    def begin_tensor(self) -> None:
        """Begin the next tensor: what is added from now on belongs to it."""
        self.shares.append(0.0)

    def add(self, name: str, values: Any) -> None:
        """Append an array to a stream, or codes to `rans`."""
        if values.size:
            self._parts.setdefault(name, []).append(values)
            self._owners.setdefault(name, []).append(len(self.shares) - 1)

    def add_numbers(self, dtype: str, values: np.ndarray) -> None:
        """Append numbers to the stream of their dtype."""
        self.add(dtype, _stored(dtype, values.ravel()))

    def members(self) -> dict[str, Deflated]:
        """Return the streams as members of an archive, in the order of their first use."""
        members = {}
        sizes = {name: [part.size for part in parts] for name, parts in self._parts.items()}
        if codes := self._parts.get(RANS):
            self._parts[RANS], sizes[RANS] = self._coder(codes)
        for name, parts in self._parts.items():
            stream = name
            plain = deflate(parts)
            planes = f"{name}_planes"
            if self.splits_planes and planes in _PLANES:
                split = deflate(_planes(np.concatenate(parts)))
                if split.stored < plain.stored:
                    name, plain = planes, split
            members[name] = plain
            worth = plain.stored / max(sum(sizes[stream]), 1)
            for owner, size in zip(self._owners[stream], sizes[stream], strict=True):
                self.shares[owner] += worth * size
        return members


class Reader:
    """Returns entries of the streams of a part from front to back.

    Attributes:
        version: of the format.
        taken: for each tensor, the number of entries that it has taken of each stream.
    """

    def __init__(
        self, source: Source, members: Mapping[str, Member], version: int, part: int = 0
    ) -> None:
        """Take the members of the part, by stream, and its number."""
        self.version = version
        self.taken: list[dict[str, int]] = []
        self._source, self._members, self._part = source, members, part
        self._open: dict[str, np.ndarray] = {}
        self._position: Counter[str] = Counter()
        self._block: block.Block | None = None

    def begin_tensor(self) -> None:
        """Begin the next tensor: entries taken from now on belong to it."""
        self.taken.append({})

    def take(self, name: str, count: int) -> np.ndarray:
        """Return the next `count` entries of a stream.

        Raises:
            ArtifactError: there are fewer.
        """
        if not count:
            return np.empty(0, STREAMS[name][0])
        stream = self._stream(name)
        start = self._position[name]
        if count > stream.size - start:
            raise ArtifactError(
                f"{self._name(name)}: too few", expected=count, found=stream.size - start
            )
        self._position[name] += count
        self.taken[-1][name] = self.taken[-1].get(name, 0) + count
        return stream[start : start + count]

    def take_numbers(self, dtype: str, count: int, role: str) -> np.ndarray:
        """Return the next `count` numbers of a dtype; only version 1 uses their role."""
        name = f"{role}_{dtype}" if self.version == 1 else dtype
        stored = self.take(name, (count + 1) // 2 if dtype in NIBBLES else count)
        return _restored(dtype, stored, count)

    def take_codes(self, shape: tuple[int, ...], alphabet: static.Alphabet) -> np.ndarray:
        """Return the codes of the next tensor in the stream `rans`.

        Raises:
            ArtifactError: there are too few bytes.
            ValueError: they are not those of such a tensor.
        """
        own = self.taken[-1]
        if self._block is None:
            self._block = block.Block(self._take_bytes)
            own[RANS] = 0  # what all tensors share is shared out by `stored_bytes`
        before = self._block.word_bytes
        codes = self._block.read(self._take_bytes, shape, alphabet)
        own[RANS] = own.get(RANS, 0) + self._block.word_bytes - before
        return codes

    def _take_bytes(self, count: int) -> np.ndarray:
        return self.take(RANS, count)

    def check_exhausted(self) -> None:
        """Refuse members and entries that no tensor has taken.

        Raises:
            ArtifactError: naming the stream.
        """
        for name in self._members:
            stream = name.removesuffix("_planes") if name in _PLANES else name
            taken = self._position[stream]
            if not taken or taken < self._stream(stream).size:
                raise ArtifactError(f"{self._name(name)}: entries that belong to no tensor")
        if self._block is not None:
            try:
                self._block.close()
            except ValueError as error:
                raise ArtifactError(f"{self._name(RANS)}: {error}") from None

    def stored_bytes(self) -> list[float]:
        """Return the bytes of each tensor among the compressed bytes of the streams."""
        kept = {name: self._kept(name) for name in self._open}
        total: Counter[str] = sum(map(Counter, self.taken), Counter())
        worth = {name: self._members[kept[name]].stored / total[name] for name in kept}
        return [sum(n * worth[name] for name, n in taken.items()) for taken in self.taken]

    def _name(self, stream: str) -> str:
        return member_name(stream, self._part)

    def _kept(self, name: str) -> str:
        """Return the name under which the file keeps a stream."""
        planes = f"{name}_planes"
        if (name in self._members) == (planes in self._members):
            raise ArtifactError(f"{self._name(name)}: expected one member of this name")
        return planes if planes in self._members else name

    def _stream(self, name: str) -> np.ndarray:
        if name not in self._open:
            kept = self._kept(name)
            stream = inflate(self._source, self._name(kept), self._members[kept], STREAMS[kept])
            self._open[name] = stream if kept == name else _joined(name, stream)
        return self._open[name]


def _planes(numbers: np.ndarray) -> list[np.ndarray]:
    """Return the first bytes of all numbers, then the second ones, and so on."""
    return list(numbers.view(np.uint8).reshape(numbers.size, -1).T)


def _joined(name: str, planes: np.ndarray) -> np.ndarray:
    """Return the numbers with these planes."""
    descr = np.dtype(STREAMS[name][0])
    if planes.size % descr.itemsize:
        raise ArtifactError(f"{name}: planes of different lengths", found=planes.size)
    return np.ascontiguousarray(planes.reshape(descr.itemsize, -1).T).view(descr).ravel()


NIBBLES = ("int4", "uint4")


def _stored(dtype: str, values: np.ndarray) -> np.ndarray:
    """Return numbers as stored: as bits where numpy has no such dtype, two int4 in a byte."""
    if dtype in NIBBLES:
        nibbles = np.zeros(values.size + values.size % 2, np.uint8)
        nibbles[: values.size] = values.astype(np.int8).view(np.uint8) & 15
        return nibbles[::2] | nibbles[1::2] << 4
    descr = np.dtype(_STORED[dtype])
    if np.dtype(dtype).isbuiltin != 1:  # numpy has no name for it in a file
        return np.ascontiguousarray(values).view(descr)
    return values.astype(descr, copy=False)


def _restored(dtype: str, stored: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers that `_stored` was given.

    Raises:
        ArtifactError: bits that `_stored` would not give.
    """
    if dtype == "bool" and stored.view(np.uint8).max(initial=0) > 1:
        raise ArtifactError("a truth value must be 0 or 1", found=int(stored.view(np.uint8).max()))
    if dtype in NIBBLES:
        nibbles = np.stack([stored & 15, stored >> 4], axis=1).ravel()
        if nibbles[count:].any():
            raise ArtifactError("bits after the last number")
        signed = (nibbles[:count] ^ 8).astype(np.int8) - 8 if dtype == "int4" else nibbles[:count]
        return signed.astype(dtype)
    wanted = np.dtype(dtype)
    return stored.view(wanted) if wanted.isbuiltin != 1 else stored.astype(wanted, copy=False)
