"""Memory that reading an entry of the manifest needs, counted before any is allocated.

Each count is the size of the arrays in memory at the moment when it is largest. Where reading works
block by block, the block is not counted: `WORKING_BYTES` covers all blocks.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact._forms import SAME
from jaxcompress.errors import ArtifactError
from jaxcompress.kinds import codes_dtype
from jaxcompress.leaves.lowrank import axis_sizes, largest_product
from jaxcompress.packing import levels
from jaxcompress.packing.matrices import as_matrix
from jaxcompress.packing.tables import MOST_SYMBOLS

WORKING_BYTES = 128 << 20
"""Memory beyond `max_bytes` that reading may take: buffers, blocks, objects of the manifest."""

_INDEX = 8  # bytes of an index of numpy
_PER_COLUMN, _PER_ROW = 60, 48  # bytes of the model of `packing.contexts`, without the levels


class Need(NamedTuple):
    """Bytes for one tensor.

    Attributes:
        kept: leaf and dense tensor, as long as the tree is held.
        passing: freed when the next tensor is read.
    """

    kept: int
    passing: int


class PartNeed(NamedTuple):
    """What reading a part takes.

    Attributes:
        stream_bytes: of its decompressed streams.
        entries: of the tensors that are read; one that is the same as another, and becomes an array
            of its own, has the entry of that one in the field `named`.
        kept: for each tensor whether it is held until all are read.
    """

    stream_bytes: int
    entries: Sequence[dict[str, Any]]
    kept: Iterable[bool] = repeat(True)  # noqa: FBT003


def check_needs(parts: Iterable[PartNeed], max_bytes: int) -> None:
    """Refuse a file whose streams, leaves, dense tensors and work need too much memory.

    Args:
        parts: that are read one after the other; the streams of one are freed before the next.
        max_bytes: the most that all may take together.

    Raises:
        ArtifactError: naming the first tensor beyond the limit, and the limit that would do.
    """
    held, most = 0, 0
    beyond: tuple[str, str | None] | None = None
    for part in parts:
        passing = 0
        most = max(most, held + part.stream_bytes)
        if most > max_bytes and beyond is None:
            beyond = "streams", None
        for entry, kept in zip(part.entries, part.kept, strict=False):
            need = need_of(entry)
            held += need.kept if kept else 0
            passing = max(passing, need.passing + (0 if kept else need.kept))
            most = max(most, held + part.stream_bytes + passing)
            if most > max_bytes and beyond is None:
                beyond = "tensors", entry["path"]
    if beyond:
        raise ArtifactError(
            f"the {beyond[0]} take more than max_bytes allows",
            tensor=beyond[1],
            expected=f"<= {max_bytes} bytes",
            found=f"{most}; pass max_bytes={most} (--max-size)",
        )


def need_of(entry: dict[str, Any]) -> Need:
    """Return the bytes that a checked entry may take in memory."""
    size = math.prod(entry["shape"])
    dense = size * np.dtype(entry["dtype"]).itemsize
    leaf, passing = _FORMS[entry["form"]](entry, size, dense)
    return Need(leaf + dense, passing + dense)  # JAX copies arrays of numpy


def _dense(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    del dense
    return 0, (5 * size if entry["dtype"] in ("int4", "uint4") else 0)


def _clustered(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    del dense
    k = entry["k"]
    return size * np.dtype(codes_dtype(k)).itemsize, _codes(entry, size, k)


def _sparse(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    kept = _nonzero(entry, size)
    itemsize = dense // size if size else 0
    leaf = kept * (itemsize + (4 if size < 2**31 else _INDEX))
    # Version 1 holds the positions twice, and a mask of those that are not fillers.
    places = kept * (_INDEX if "packing" in entry else 3 * _INDEX + itemsize)
    return leaf, size + places + _codes(entry, size, 1)


def _quantized(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    scales, itemsize = math.prod(entry["scales"]), dense // size if size else 0
    shapes = zip(entry["scales"], entry["shape"], strict=False)
    repeated = any(1 < count < axis for count, axis in shapes)
    found = entry["highest"] - entry["lowest"]
    reading = _codes(entry, size, found) + 4 * size
    spread = size if repeated else scales
    if entry["zero_points"]:
        reading += 4 * spread
        dense += 4 * size + 4 * spread
    # The numbers before the multiplication, and the scales while they are repeated axis by axis.
    dense += 2 * spread * itemsize
    return size + scales * (itemsize + 1), max(reading, dense)


def _half(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    del entry, dense
    return 2 * size, 2 * size


def _planes(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    stored = size * np.dtype(entry["stored"]).itemsize
    return (stored if stored != dense else 0), 3 * stored + size


def _same(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    """Count an array of its own; its leaf is that of the entry `named`."""
    del size
    return 0, need_of(entry["named"]).passing - dense


def _low_rank(entry: dict[str, Any], size: int, dense: int) -> tuple[int, int]:
    del dense
    equation, factors = entry["product"]["equation"], entry["product"]["factors"]
    sizes = axis_sizes(equation, [factor["shape"] for factor in factors])
    itemsize = max(np.dtype(entry["dtype"]).itemsize, 4)
    products = 2 * largest_product(equation, sizes) * itemsize
    wide = sum(math.prod(factor["shape"]) for factor in factors) * itemsize
    needs = [need_of(factor) for factor in factors]
    kept = sum(need.kept for need in needs)
    return kept, max(products + wide, *(need.passing for need in needs), size)


_FORMS: dict[str, Callable[[dict[str, Any], int, int], tuple[int, int]]] = {
    "dense": _dense,
    "clustered": _clustered,
    "sparse": _sparse,
    "quantized": _quantized,
    "half": _half,
    "lowrank": _low_rank,
    "planes": _planes,
    SAME: _same,
}


def _codes(entry: dict[str, Any], size: int, k: int) -> int:
    """Return the bytes that reading codes takes, without the codes themselves."""
    return _PACKINGS[entry.get("packing", "csr")](entry, size, k)


def _nonzero(entry: dict[str, Any], size: int) -> int:
    return min(entry.get("entries", size), size)


def _csr(entry: dict[str, Any], size: int, k: int) -> int:
    del k
    shape = entry["shape"]
    return 2 * _INDEX * (size // shape[-1] if shape and shape[-1] else 1)


def _positions(entry: dict[str, Any], size: int, k: int) -> int:
    return 2 * size + _digits(_nonzero(entry, size), k)


def _plain(entry: dict[str, Any], size: int, k: int) -> int:
    del entry
    return _digits(size, k + 1)


def _digits(count: int, k: int) -> int:
    return (3 if k <= 256 else 8) * count


def _ans(entry: dict[str, Any], size: int, k: int) -> int:
    rows, columns, exchanged = as_matrix(tuple(entry["shape"]))
    kept, itemsize = _nonzero(entry, size), np.dtype(levels.dtype(k)).itemsize
    matrix = size * (3 + itemsize * (2 + exchanged))  # signs, which are zero, levels, their codes
    # Row, column, sign and magnitude of each level that is not zero.
    return matrix + kept * (12 + 3 * itemsize) + _PER_COLUMN * columns + _PER_ROW * rows


def _rans(entry: dict[str, Any], size: int, k: int) -> int:
    *_, exchanged = as_matrix(tuple(entry["shape"]))
    may_be = exchanged or len(entry["shape"]) > 2  # other axes may be the rows
    itemsize = np.dtype(codes_dtype(k)).itemsize
    cut = 2 + 2 * itemsize if k >= MOST_SYMBOLS else 0
    return size * (cut + itemsize * may_be)


_PACKINGS: dict[str, Callable[[dict[str, Any], int, int], int]] = {
    "csr": _csr,
    "gaps": _positions,
    "bits": _positions,
    "plain": _plain,
    "ans": _ans,
    "rans": _rans,
}
