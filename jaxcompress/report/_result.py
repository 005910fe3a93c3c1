"""The record of a result of the planner, and of a plan."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxcompress.report._files import blank, fill_layers, of_tree
from jaxcompress.report._json import read_json
from jaxcompress.report._profile import plan_record, profile_record, reasons
from jaxcompress.trees import PyTree, named_leaves


class Proved(Protocol):
    """A compressed network and its proof: a `planner.Result` is one."""

    @property
    def params(self) -> PyTree:
        """The parameters, with compressed leaves."""
        ...

    @property
    def plan(self) -> Any:
        """The plan that was carried out."""
        ...

    @property
    def steps(self) -> Sequence[Any]:
        """What was done, each with `name`, `size_bytes`, `quality` and `note`."""
        ...

    @property
    def checks(self) -> Sequence[Any]:
        """Promises, each with `name`, `budget`, `predicted`, `measured` and `is_met`."""
        ...

    @property
    def control(self) -> float | None:
        """Quality of the uncompressed network; None if unknown."""
        ...


def of_result(result: Proved, *, before: PyTree | None = None) -> dict[str, Any]:
    """Return the record of a network that the planner has compressed.

    Args:
        result: of `compress_to` or `planner.carry_out`.
        before: the parameters before compression, for shapes and histograms.

    Returns:
        The content of `report.json`.

    Raises:
        TypeError: parameters that `save` does not take.

    Example:
        >>> import numpy as np
        >>> from jaxcompress import planner
        >>> weights = np.random.default_rng(0).standard_normal((64, 64)).astype("float32")
        >>> result = planner.compress_to(planner.Task(None, {"w": weights}), size_bytes="3KB")
        >>> found = of_result(result, before={"w": weights})
        >>> found["checks"][0]["name"], found["size"]["ratio"] > 5
        ('bytes', True)
    """
    head, tensors = of_tree(result.params)
    record = blank("result", title="a network within a budget")
    record["files"] = [head]
    plan = plan_record(Path("plan"), _plain(result.plan._asdict()))
    record["plan"] = plan
    arrays = None
    if before is not None:
        named = named_leaves(before)
        arrays = dict(zip(named.paths, map(np.asarray, named.leaves), strict=True))
    fill_layers(record, head, tensors, arrays, reasons(plan, None), {})
    dense = head["total"]["dense_bytes"] if arrays is None else _bytes(arrays)
    record["size"] = {
        "before_bytes": dense,
        "before_is": "the tensors without compression",
        "after_bytes": head["total"]["file_bytes"],
        "ratio": dense / head["total"]["file_bytes"],
        "shipped_bytes": None,
    }
    record["checks"] = [
        {
            "name": check.name,
            "budget": _number(check.budget),
            "predicted": _number(check.predicted),
            "measured": _number(check.measured),
            "met": bool(check.is_met),
        }
        for check in result.checks
    ]
    record["stages"] = [
        {
            "name": step.name,
            "size_bytes": int(step.size_bytes),
            "quality": _number(step.quality),
            "note": step.note,
            "is_control": False,
        }
        for step in result.steps
    ]
    last = next((step.quality for step in reversed(result.steps) if step.quality is not None), None)
    if last is not None or result.control is not None:
        record["quality"] = {
            "metric": "as evaluate says",
            "samples": None,
            "after": _number(last),
            "control": _number(result.control),
        }
    missed = [check.name for check in result.checks if not check.is_met]
    record["warnings"] = [f"budget missed: {name}" for name in missed]
    if arrays is None:
        record["skipped"].append("Weights before compression were not given: pass before=.")
    return record


def of_plan(
    path: str | os.PathLike[str], *, profile: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Return the record of a plan that was not carried out yet, or of a profile.

    Args:
        path: of a plan, or of a profile.
        profile: of the profile that the plan was made from.

    Returns:
        The content of `report.json`.

    Raises:
        ValueError: a file is neither.
        OSError: a file cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from jaxcompress import planner
        >>> found = planner.profile(planner.Task(None, {"w": np.eye(64, dtype="float32")}))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "net.profile.json")
        ...     found.save(path)
        ...     of_plan(path)["profile"]["metric"]
        'weights'
    """
    path = Path(path)
    told = read_json(path)
    kind = told.get("kind") if isinstance(told, dict) else None
    record = blank("plan", title=path.name)
    if kind == "plan":
        record["plan"] = plan_record(path, told)
    elif kind == "profile" and profile is None:
        record["profile"] = profile_record(path, told, None)
    else:
        raise ValueError(f"{path}: must be a plan or a profile, got neither; name one.")
    if profile is not None:
        at = Path(profile)
        record["profile"] = profile_record(at, read_json(at), record["plan"]["network"])
    record["skipped"].append("Nothing was compressed yet: carry the plan out.")
    return record


def _plain(value: Any) -> Any:
    """Return named tuples as objects, as files of plans have them."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _bytes(arrays: dict[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())
