"""The record of compressed files alone, and the record of trees."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact.encoding import encode
from jaxcompress.artifact.tensors import Tensor
from jaxcompress.report._damage import errors_of
from jaxcompress.report._json import read_json
from jaxcompress.report._layers import Arrays, by_layer, layers, weights
from jaxcompress.report._left import left_of
from jaxcompress.report._profile import plan_of_file, reasons
from jaxcompress.report._tensors import encoded, stored
from jaxcompress.trees import PyTree

SCHEMA_VERSION = 1


def of_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
    against: Mapping[str, np.ndarray] | None = None,
    plan: str | os.PathLike[str] | None = None,
    max_bytes: int | None = None,
) -> dict[str, Any]:
    """Return the record of compressed files: where the bytes are, tensor by tensor.

    Args:
        paths: of the files, the one that the report is about first.
        against: the weights before compression, by path.
        plan: that the first file was made by, for why tensors were left.
        max_bytes: of memory for each file, as for `load`.

    Returns:
        The content of `report.json`.

    Raises:
        ArtifactError: a file is damaged.
        ValueError: no file, or a plan that the file was not made by.
        OSError: a file cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxcompress.artifact import save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "net.npz")
        ...     size = save(path, {"bias": np.zeros(3, "float32")})
        ...     found = of_files([path])
        >>> found["size"]["after_bytes"] == size, found["layers"][0]["why"]
        (True, 'not recorded')
    """
    if not paths:
        raise ValueError("paths: must be at least one file, got none; name a compressed file.")
    found = [_read(Path(path), max_bytes) for path in paths]
    head, tensors = found[0]
    record = blank("files", title=head["name"])
    record["files"] = [file for file, _ in found]
    if plan is not None:
        at = Path(plan)
        record["plan"] = plan_of_file(at, read_json(at), head["metadata"])
    why = left_of(tensors, head["metadata"], reasons(record["plan"], None))
    fill_layers(record, head, tensors, against, why, {})
    record["size"] = {
        "before_bytes": head["total"]["dense_bytes"],
        "before_is": "the tensors without compression",
        "after_bytes": head["total"]["file_bytes"],
        "ratio": head["total"]["dense_bytes"] / head["total"]["file_bytes"],
        "shipped_bytes": None,
    }
    record["skipped"].append("Quality and speed: files alone do not tell them.")
    if against is None:
        record["skipped"].append(
            "Weights before compression were not given: shapes and histograms are of the file, and "
            "errors are unknown."
        )
    return record


def of_tree(params: PyTree) -> tuple[dict[str, Any], list[Tensor]]:
    """Return what the file of a tree would hold, and its tensors."""
    told, tensors = encoded(encode(params))
    return {"name": "the tree in memory", "bytes": told["total"]["file_bytes"]} | told, tensors


def _read(path: Path, max_bytes: int | None) -> tuple[dict[str, Any], list[Tensor]]:
    told, tensors = stored(path, max_bytes)
    return {"name": path.name} | facts_of(path) | told, tensors


def facts_of(path: Path) -> dict[str, Any]:
    """Return bytes and digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def blank(kind: str, *, title: str) -> dict[str, Any]:
    """Return a record with nothing in it; every record has these fields."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "title": title,
        "notice": "",
        "size": None,
        "quality": None,
        "latency": None,
        "memory": None,
        "flops": None,
        "checks": [],
        "stages": [],
        "files": [],
        "layers": [],
        "forms": [],
        "damage": None,
        "alone": None,
        "bytes_by_layer": [],
        "plan": None,
        "profile": None,
        "search": None,
        "tickets": None,
        "seeds": None,
        "structure": [],
        "weights": [],
        "mistakes": None,
        "skipped": [],
        "warnings": [],
        "run": None,
    }


def fill_layers(
    record: dict[str, Any],
    file: Mapping[str, Any],
    tensors: Sequence[Tensor],
    before: Arrays | None,
    why: Mapping[str, str],
    renamed: Mapping[str, str],
) -> None:
    """Fill in what a record says of tensors: layers, forms, structure, weights, errors."""
    errors, together = errors_of(tensors, before, renamed)
    rows = layers(file["tensors"], before, why, renamed, errors)
    record["layers"] = rows
    record["damage"] = together
    record["bytes_by_layer"] = by_layer(rows)
    record["forms"] = _forms(rows)
    record["structure"] = [
        {
            "path": row["path"],
            "before": row["before"]["shape"],
            "after": None if row["after"] is None else row["after"]["shape"],
        }
        for row in rows
        if row["change"] in ("cut", "removed")
    ]
    record["weights"] = weights(tensors, before, renamed)


def _forms(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tensors, weights and bytes of each form, the largest first."""
    found: dict[str, dict[str, Any]] = {}
    for row in (row["after"] for row in rows if row["after"] is not None):
        form = found.setdefault(
            row["form"], {"form": row["form"], "tensors": 0, "weights": 0, "bytes": 0.0}
        )
        form["tensors"] += 1
        form["weights"] += row["weights"]
        form["bytes"] += row["bytes"] or 0.0
    return sorted(found.values(), key=lambda form: -form["bytes"])
