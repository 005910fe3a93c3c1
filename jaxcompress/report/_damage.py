"""How far tensors are from what they were, and what each layer alone does to the answers."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact.tensors import Tensor
from jaxcompress.oneshot.outcomes import Outcome, decibels, error_together, outcome_of
from jaxcompress.report._json import checked, read_json

ALONE = "alone.json"
"""The file of a run with the damage of each layer alone: `images`, `layers`, or `why_not`.

A layer has `layer`, its name, `tensors`, their paths, `kl`, the Kullback-Leibler divergence of the
answers to validation images in nats, and `points_lost`, of accuracy on them.
"""

_ALONE = {"version": "a count", "why_not": "a text?", "images": "a count", "layers": "a list"}
_LAYER = {"layer": "a text", "tensors": "a list", "kl": "a number?", "points_lost": "a number"}


def errors_of(
    tensors: Sequence[Tensor], before: Mapping[str, np.ndarray] | None, renamed: Mapping[str, str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:
    """Return how far tensors are off, by path, and those that changed together.

    The relative error is `||a - b|| / ||a||`, with what it was, a. Tensors of other shapes than
    before have none.

    Args:
        tensors: of the file.
        before: tensors as they were, by path; None if unknown.
        renamed: paths before by paths after, where they differ.

    Returns:
        `relative` and `sqnr_db`, `-20 log10` of it, which is None where it is 0; the same of those
        that changed, with how many were compared and how many changed; None where none was
        compared.
    """
    found: dict[str, dict[str, Any]] = {}
    outcomes: list[Outcome] = []
    for tensor in tensors:
        was = None if before is None else before.get(renamed.get(tensor.path, tensor.path))
        if was is not None and was.shape == tensor.shape and was.dtype.name == tensor.dtype:
            outcome = outcome_of(tensor.path, was, tensor.dense())
            found[tensor.path] = _error(outcome.relative_error)
            outcomes.append(outcome)
    if not outcomes:
        return found, None
    changed = [outcome for outcome in outcomes if outcome.error_norm > 0]
    together = _error(error_together(changed))
    return found, {"compared": len(outcomes), "changed": len(changed), **together}


def _error(relative: float) -> dict[str, Any]:
    if not math.isfinite(relative):
        return {"relative": None, "sqnr_db": None}
    return {"relative": relative, "sqnr_db": decibels(relative) if relative else None}


def alone_record(path: Path) -> dict[str, Any] | None:
    """Return the damage of each layer alone, the worst first; None where none was measured.

    Args:
        path: of `alone.json`.

    Raises:
        ValueError: it is no such file.
    """
    if not path.exists():
        return None
    told = checked(path, read_json(path), _ALONE)
    rows = [checked(path, each, _LAYER, at="layers") for each in told["layers"]]
    rows = [{name: row[name] for name in _LAYER} for row in rows]
    return {
        "images": told["images"],
        "why_not": told["why_not"],
        "layers": sorted(rows, key=lambda row: (row["kl"] is not None, -(row["kl"] or 0.0))),
    }
