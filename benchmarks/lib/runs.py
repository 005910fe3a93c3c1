"""Runs of `run.py` in parts: one goes on where a copy of another stands."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import jaxcompress as jc
from pipelines.data.dataset import Dataset
from pipelines.models.networks import networks_of
from pipelines.options.settings import Settings
from pipelines.run.console import Console
from pipelines.run.folder import claim, locked, write_json
from pipelines.run.identity import identity
from pipelines.run.job import Interrupted, Job
from pipelines.run.report import results
from pipelines.run.row import Row
from pipelines.stages.files import BASELINE, read_plain
from pipelines.stages.table import stages_of


def run(
    plan: Settings,
    dataset: Dataset,
    folder: Path,
    *,
    stop_before: str | None = None,
    without: Collection[str] = (),
) -> list[Row]:
    """Go on with the run in a folder, to its end or to a stage; returns the rows so far.

    Args:
        plan: what to do.
        dataset: pictures and labels.
        folder: of the run.
        stop_before: name of the stage to stop before.
        without: names of stages to leave out, controls that are known from another run.
    """
    with locked(folder):
        settings = folder / "settings.json"
        if settings.exists():  # a copy of another run, which goes its own way from here
            write_json(settings, identity(plan, dataset))
        claim(folder, identity(plan, dataset), resume=settings.exists())
        job = Job(
            plan,
            dataset,
            networks_of(plan, dataset),
            folder,
            Console(),
            lambda: job.stage == stop_before,
        )
        job.stages = tuple(stage for stage in job.stages if stage.name not in without)
        try:
            return job.run()
        except Interrupted:
            return job.rows


def outcome(plan: Settings, dataset: Dataset, rows: list[Row]) -> dict[str, Any]:
    """Return what tables need of every finished run."""
    told = results(plan, dataset, rows)
    kept = ("baseline_accuracy", "control_accuracy", "reloaded_accuracy", "reload_exact")
    kept += ("baseline_bytes", "compressed_bytes", "ratio", "train_images")
    return {
        "stages": {row.name: row.accuracy for row in rows},
        "validation": {row.name: row.validation_accuracy for row in rows},
        "seconds": round(sum(row.seconds for row in rows if row.name != "control"), 1),
    } | {name: told[name] for name in kept}


def trained(plan: Settings, dataset: Dataset, folder: Path) -> Path:
    """Return the file of the network that the first stage of a plan trains, for `start` of others.

    It is made if it is not there.

    Args:
        plan: what to do.
        dataset: pictures and labels.
        folder: of the run, which may go on.
    """
    path = folder / "trained.npz"
    if not path.is_file():
        if not (folder / BASELINE).is_file():
            run(plan, dataset, folder, stop_before=stages_of(plan)[1].name)
        (whole, *_) = networks_of(plan, dataset)
        metadata = whole.classifier.as_metadata()
        jc.save(path, read_plain(folder / BASELINE).tree, metadata=metadata)
    return path
