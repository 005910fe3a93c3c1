"""What a file holds of each tensor, and how often its numbers occur."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact import reader
from jaxcompress.artifact.source import Buffer
from jaxcompress.artifact.summaries import summary_of
from jaxcompress.artifact.tensors import Tensor, tensors_of
from jaxcompress.leaves import Clustered, Coded, LowRank, Quantized, Sparse
from jaxcompress.leaves.quantized import spread

BINS = 48
"""Bars of a histogram."""

MOST_VALUES = 64
"""Values of a codebook that a record lists."""


def stored(path: Path, max_bytes: int | None = None) -> tuple[dict[str, Any], list[Tensor]]:
    """Return what a compressed file holds, as JSON, and its tensors.

    Args:
        path: of the file.
        max_bytes: of memory, as for `load`.

    Raises:
        ArtifactError: it is damaged.
        OSError: it cannot be read.
    """
    found = reader.read(path, max_bytes=max_bytes)
    return told(tensors_of(found), found.file_bytes, found.manifest)


def encoded(data: bytes) -> tuple[dict[str, Any], list[Tensor]]:
    """Return the same of the bytes of a file."""
    found = reader.contents(Buffer(data), max_bytes=2**62)
    return told(tensors_of(found), found.file_bytes, found.manifest)


def told(
    tensors: Sequence[Tensor], file_bytes: int, manifest: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Tensor]]:
    """Return the tensors of a file as JSON, with their totals, beside themselves."""
    summary = summary_of(tensors, file_bytes)
    rows = []
    for tensor, row in zip(tensors, summary.rows, strict=True):
        codes = codes_of(tensor.leaf)
        rows.append(
            row._asdict()
            | {
                "shape": list(row.shape),
                "distinct": distinct(tensor.dense()),
                "entropy_bits": None if codes is None else entropy(codes),
            }
        )
    states = summary.optimizer_states._asdict()
    return {
        "format_version": manifest["version"],
        "metadata": manifest["metadata"],
        "tensors": rows,
        "total": summary.total._asdict(),
        "optimizer_states": states,
    }, list(tensors)


def codes_of(leaf: Any) -> np.ndarray | None:
    """Return the symbols that a form stores for each weight; None if it has none.

    Of shared values the numbers of the values, of integers the integers less their zero points, of
    sparse tensors whether a weight is zero.
    """
    if isinstance(leaf, Coded):
        return codes_of(leaf.uncoded())
    if isinstance(leaf, Clustered):
        return np.asarray(leaf.codes).reshape(-1)
    if isinstance(leaf, Sparse):
        codes = np.zeros(math.prod(leaf.shape), np.int8)
        codes[np.asarray(leaf.indices)] = 1
        return codes
    if isinstance(leaf, Quantized):
        levels = np.asarray(leaf.values).astype(np.int16)
        if leaf.zero_point is not None:
            levels = levels - spread(np.asarray(leaf.zero_point), leaf.shape).astype(np.int16)
        return levels.reshape(-1)
    return None


def entropy(codes: np.ndarray) -> float:
    """Return the order-0 entropy of symbols, in bits a symbol: `-sum p log2 p`.

    Example:
        >>> entropy(np.array([0, 0, 1, 2]))
        1.5
    """
    counts = np.unique(codes, return_counts=True)[1]
    return float(-np.sum(counts / codes.size * np.log2(counts / codes.size))) + 0.0


def distinct(tensor: np.ndarray) -> int:
    """Return how many different values a tensor has; 0 and -0 are one, and so are all NaN.

    Example:
        >>> distinct(np.array([0.0, -0.0, 1.0]))
        2
    """
    return int(np.unique(tensor).size)


def values_of(leaf: Any) -> dict[str, Any]:
    """Return the values that weights may have: a codebook, or the grid of integers."""
    if isinstance(leaf, Coded):
        return values_of(leaf.uncoded())
    if isinstance(leaf, Clustered):
        book = np.sort(np.asarray(leaf.codebook).astype(np.float64).reshape(-1))
        return {"kind": "codebook", "count": int(book.size), "values": _some(book)}
    if isinstance(leaf, Quantized):
        scale = np.asarray(leaf.scale).astype(np.float64)
        if scale.size > 1:
            ends = {"smallest": float(scale.min()), "largest": float(scale.max())}
            return {"kind": "grids", "count": int(scale.size), "bits": leaf.bits} | ends
        codes = codes_of(leaf)
        assert codes is not None
        grid = np.unique(codes) * float(scale.reshape(-1)[0])
        return {"kind": "grid", "count": int(grid.size), "bits": leaf.bits, "values": _some(grid)}
    if isinstance(leaf, LowRank):
        return {"kind": "product", "factors": [list(factor.shape) for factor in leaf.factors]}
    return {"kind": "free"}


def _some(values: np.ndarray) -> list[float] | None:
    return [float(value) for value in values] if values.size <= MOST_VALUES else None


def histogram(before: np.ndarray | None, after: np.ndarray) -> dict[str, Any] | None:
    """Return how often the numbers other than 0 occur, before and after; None if there are none.

    Numbers that are not finite are left out.

    Args:
        before: the tensor as it was, of any shape; None if unknown.
        after: the tensor as it is.

    Returns:
        `low` and `high`, ends of the bars; `before` and `after`, a count for each bar; the zeros
        that they leave out.

    Example:
        >>> found = histogram(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
        >>> found["low"], found["high"], sum(found["after"]), found["zeros_after"]
        (1.0, 2.0, 1, 1)
    """
    kept = [None if tensor is None else _nonzero(tensor) for tensor in (before, after)]
    some = [values for values in kept if values is not None and values.size]
    if not some:
        return None
    low, high = float(min(v.min() for v in some)), float(max(v.max() for v in some))
    counts = [None if v is None else _counts(v, low, high) for v in kept]
    zeros = [None if t is None else int(t.size - np.count_nonzero(t)) for t in (before, after)]
    return {
        "low": low,
        "high": high,
        "before": counts[0],
        "after": counts[1],
        "zeros_before": zeros[0],
        "zeros_after": zeros[1],
    }


def _nonzero(tensor: np.ndarray) -> np.ndarray:
    flat = np.asarray(tensor).reshape(-1).astype(np.float64)
    return flat[np.isfinite(flat) & (flat != 0)]


def _counts(values: np.ndarray, low: float, high: float) -> list[int]:
    scaled = np.zeros_like(values)
    if high > low:
        scaled = (values / 2 - low / 2) / (high / 2 - low / 2)  # halves do not overflow
    places = np.minimum((scaled * BINS).astype(np.int64), BINS - 1)
    return np.bincount(places, minlength=BINS).tolist()
