"""Tensors before and after, side by side: bytes, shapes, values, and why one was left."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.artifact.tensors import Tensor
from jaxcompress.kinds import WEIGHTS, kind_of
from jaxcompress.report._png import mask_picture
from jaxcompress.report._tensors import histogram, values_of

Arrays = Mapping[str, np.ndarray]

MOST_PICTURES = 24
"""Tensors whose weights are drawn, the largest ones."""


def layers(
    rows: Sequence[Mapping[str, Any]],
    before: Arrays | None,
    reasons: Mapping[str, str],
    renamed: Mapping[str, str],
    errors: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return a row for each tensor: what it was, what it is, and what happened.

    Args:
        rows: tensors of the file.
        before: tensors as they were, by path; None if unknown.
        reasons: why a tensor was left, by path.
        renamed: paths before by paths after, where they differ.
        errors: how far tensors are off, by path.

    Returns:
        Rows in the order of the file, then those that are gone.
    """
    found, met = [], set()
    for row in rows:
        origin = renamed.get(row["path"], row["path"])
        was = None if before is None else before.get(origin)
        met.add(origin)
        found.append(
            {
                "path": row["path"],
                "was_path": origin if origin != row["path"] else None,
                "before": None if was is None else _plain(was),
                "after": dict(row),
                "change": _change(was, row, known=before is not None),
                "why": reasons.get(row["path"]) or _why(row),
                "error": errors.get(row["path"]),
            }
        )
    for path, was in () if before is None else before.items():
        if path not in met:
            gone = {"path": path, "was_path": None, "before": _plain(was), "after": None}
            why = {"change": "removed", "why": reasons.get(path, ""), "error": None}
            found.append(gone | why)
    return found


def _plain(tensor: np.ndarray) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "dtype": tensor.dtype.name,
        "bytes": int(tensor.nbytes),
        "weights": int(tensor.size),
        "nonzero": int(np.count_nonzero(tensor)),
    }


def _change(was: np.ndarray | None, row: Mapping[str, Any], *, known: bool) -> str:
    if not known:
        return "unknown"
    if was is None:
        return "new"
    return "same shape" if list(was.shape) == row["shape"] else "cut"


def _why(row: Mapping[str, Any]) -> str:
    """Return why a tensor has no compressed form, as far as its shape and dtype tell."""
    if row["form"] == "same":
        return f"equal to {row['packing']}, stored once"
    if row["form"] not in ("dense", "planes"):
        return ""
    if kind_of(np.empty(0, row["dtype"])) not in WEIGHTS.members:
        return "no floating-point numbers"
    return "fewer than two axes" if len(row["shape"]) < 2 else ""


def by_layer(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the bytes of each layer before and after, the largest after first.

    A layer is all tensors whose paths differ in the last part only; those that are gone are apart,
    as other blocks may have their names now.

    Args:
        rows: of tensors.

    Example:
        >>> was, now = {"bytes": 80}, {"bytes": 10.0, "form": "clustered"}
        >>> rows = [{"path": f"conv/{n}", "before": was, "after": now} for n in range(2)]
        >>> [(row["layer"], row["before"], row["after"]) for row in by_layer(rows)]
        [('conv', 160, 20.0)]
    """
    found: dict[tuple[str, bool], dict[str, Any]] = {}
    most: dict[tuple[str, bool], float] = {}
    for row in rows:
        name = row["path"].rpartition("/")[0] or row["path"]
        if "/" not in row["path"] and "." in row["path"]:
            name = row["path"].rpartition(".")[0]
        key = name, row["after"] is None
        empty = {"layer": name, "is_gone": key[1], "tensors": 0, "before": 0, "after": 0.0}
        layer = found.setdefault(key, empty | {"form": "removed"})
        layer["tensors"] += 1
        layer["before"] += row["before"]["bytes"] if row["before"] else 0
        size = 0.0 if row["after"] is None else row["after"]["bytes"] or 0.0
        layer["after"] += size
        if row["after"] is not None and size >= most.get(key, 0.0):
            layer["form"], most[key] = row["after"]["form"], size
    return sorted(found.values(), key=lambda layer: -layer["after"])


def renamed_blocks(paths: Sequence[str], kept: Sequence[int]) -> dict[str, str]:
    """Return paths before by paths after, where blocks were dropped and the others moved up.

    Example:
        >>> renamed_blocks(["params/blocks/1/bias", "params/head/bias"], [0, 2])
        {'params/blocks/1/bias': 'params/blocks/2/bias'}
    """
    found = {}
    for path in paths:
        match = re.fullmatch(r"((?:.*/)?blocks/)(\d+)(/.*)", path)
        if match and int(match[2]) < len(kept) and kept[int(match[2])] != int(match[2]):
            found[path] = f"{match[1]}{kept[int(match[2])]}{match[3]}"
    return found


def weights(
    tensors: Sequence[Tensor], before: Arrays | None, renamed: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return histograms of the largest tensors with two axes or more, in the order of the file.

    Args:
        tensors: of the file.
        before: tensors as they were, by path; None if unknown.
        renamed: paths before by paths after, where they differ.
    """
    drawn = [each for each in tensors if _is_drawn(each)]
    largest = sorted(drawn, key=lambda each: -int(np.prod(each.shape)))[:MOST_PICTURES]
    chosen = {each.path for each in largest}
    found = []
    for tensor in drawn:
        if tensor.path in chosen:
            was = None if before is None else before.get(renamed.get(tensor.path, tensor.path))
            now = tensor.dense()
            counts = histogram(was, now)
            if counts is not None:
                about = {"path": tensor.path, "form": tensor.form, "values": values_of(tensor.leaf)}
                found.append(about | counts | {"mask": mask_picture(now)})
    return found


def _is_drawn(tensor: Tensor) -> bool:
    is_weight = kind_of(np.empty(0, tensor.dtype)) in WEIGHTS.members
    return len(tensor.shape) > 1 and is_weight and "complex" not in tensor.dtype
