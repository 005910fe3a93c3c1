"""The outcome of a run: a table for people, `results.json` for programs."""

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

import jax
from rich.table import Table
from rich.text import Text

from jaxcompress.costs import threads
from jaxcompress.text import printable
from pipelines.data import Dataset
from pipelines.models.capacity import student_sizes
from pipelines.models.devices import Division
from pipelines.options.plan import command_of, recorded, recorded_1
from pipelines.options.settings import Settings
from pipelines.run.device import processor
from pipelines.run.proof import checks_of, recorded_checks
from pipelines.run.row import Row
from pipelines.run.tickets import tickets_of

SCHEMA_VERSION = 1
_COLUMNS = ("accuracy", "sparsity", "distinct", "bytes", "ratio", "MFLOP", "ms", "MB", "seconds")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "orbax-checkpoint")


def results(
    plan: Settings,
    dataset: Dataset,
    rows: list[Row],
    *,
    shipped_bytes: int | None = None,
    division: Division | None = None,
) -> dict[str, Any]:
    """Return the content of `results.json`; docs/results-json.md lists the fields.

    Args:
        plan: of the run.
        dataset: pictures and labels.
        rows: of its stages.
        shipped_bytes: of the file with the program, if one was written.
        division: of a batch; None for one device.
    """
    by_name = {row.name: row for row in rows}
    baseline, reloaded = by_name["baseline"], by_name["reloaded"]
    control = by_name.get("control")
    return {
        "schema_version": SCHEMA_VERSION,
        "data": dataset.name,
        "data_source": dataset.source,
        "data_notice": dataset.notice,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "classes": len(dataset.classes),
        "skipped_images": len(dataset.skipped),
        "model": plan.model,
        "recipe": plan.recipe,
        "seed": plan.seed,
        "command": command_of(plan),
        "options": recorded(plan),
        "settings": recorded_1(plan, student_sizes(plan, len(dataset.classes))),
        "stages": [dataclasses.asdict(row) for row in rows],
        "baseline_accuracy": baseline.accuracy,
        "baseline_bytes": baseline.size_bytes,
        "compressed_bytes": reloaded.size_bytes,
        "ratio": baseline.size_bytes / reloaded.size_bytes,
        "shipped_bytes": shipped_bytes,
        "reloaded_accuracy": reloaded.accuracy,
        "reload_exact": reloaded.facts["exact"],
        "control_accuracy": control.accuracy if control else None,
        "tickets": tickets_of(rows),
        "checks": recorded_checks(checks_of(plan, rows)),
        "seconds": sum(row.seconds for row in rows),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in _PACKAGES},
        "device": {"kind": jax.devices()[0].device_kind, "platform": jax.default_backend()}
        | {"processor": processor(), "threads": threads()},
        "batch": (division or Division(images=plan.batch_size)).as_json(),
    }


def table(plan: Settings, dataset: Dataset, rows: list[Row]) -> Table:
    """Return the table at the end of a run, one row for each stage."""
    title = f"{plan.model} on {dataset.name}, seed {plan.seed}, recipe {plan.recipe}"
    caption = (
        "Accuracy on the test images, with the numbers named (integers: really run, by ONNX "
        "Runtime); sparsity and distinct weights over the kernels. Of one picture: operations, "
        f"milliseconds (median, {threads()} threads) and memory of a dense network of these sizes."
    )
    if dataset.notice:
        caption = f"{printable(dataset.notice)}\n{caption}"
    shown = Table(title=Text(title), caption=Text(caption))
    shown.add_column("stage", no_wrap=True)
    shown.add_column("numbers", no_wrap=True)
    for heading in _COLUMNS:
        shown.add_column(heading, justify="right", no_wrap=True)
    baseline = rows[0].size_bytes
    for row in rows:
        shown.add_row(
            row.name,
            row.arithmetic,
            f"{row.accuracy:.2%}",
            f"{row.sparsity:.1%}",
            f"{row.distinct_weights:,}",
            f"{row.size_bytes:,}",
            f"{baseline / row.size_bytes:.2f}x",
            f"{row.flops / 1e6:,.1f}",
            f"{row.latency_ms:.2f}",
            "-" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.2f}",
            f"{row.seconds:.1f}",
        )
    return shown
