"""How the network of a run was made, as data for the file with its program."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jaxcompress as jc
from pipelines.data import Dataset
from pipelines.options.plan import command_of
from pipelines.options.settings import Settings
from pipelines.run.proof import checks_of, recorded_checks
from pipelines.run.row import Row
from pipelines.stages.planning import PLAN

_TIMES = "times faster"
"""Begins the names of checks of speed."""


def made(plan: Settings, dataset: Dataset, rows: Sequence[Row], folder: Path) -> dict[str, Any]:
    """Return how a network was made: the command, its stages, checks of a budget and their plan.

    Nothing in it is a measured time, which would differ when the same run is made again, and no
    path of the machine. `results.json` has the times.

    Args:
        plan: of the run.
        dataset: pictures and labels.
        rows: of its stages.
        folder: of the run.
    """
    checks = [each for each in checks_of(plan, rows) if not each.name.startswith(_TIMES)]
    found = {
        "command": command_of(plan),
        "seed": plan.seed,
        "data": dataset.name,
        "images": {"train": len(dataset.train), "test": len(dataset.test)},
        "stages": [
            {"name": row.name, "accuracy": round(row.accuracy, 6), "bytes": row.size_bytes}
            for row in rows
        ],
        "checks": recorded_checks(checks),
    }
    if not (folder / PLAN).exists():
        return found
    planned = jc.planner.read_plan(folder / PLAN)
    return found | {"plan": planned._replace(latency=[]).as_dict()}
