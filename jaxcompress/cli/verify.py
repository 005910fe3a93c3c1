"""`jaxcompress verify`: a check of a file, and its distance from the original weights."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from jaxcompress.artifact import ArtifactFile, open_file
from jaxcompress.cli import screen
from jaxcompress.cli.comparison import Comparison, Error, compare, together
from jaxcompress.cli.refusals import check_names
from jaxcompress.cli.sizes import MAX_SIZE
from jaxcompress.cli.sources import open_source
from jaxcompress.cli.status import DIFFERS, SAME, Refused
from jaxcompress.oneshot.outcomes import Report
from jaxcompress.oneshot.sources import Source
from jaxcompress.text import shape_text
from jaxcompress.trees import is_floating, plain_bytes


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    help="Weights to compare with, as pack takes them.",
)
@click.option(
    "--tolerance", type=float, help="Largest relative error of a tensor that is no difference."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
@MAX_SIZE
def verify(
    model: Path,
    against: Path | None,
    tolerance: float | None,
    as_json: bool,  # noqa: FBT001
    max_size: int | None,
) -> int:
    """Read all of MODEL and check it; with --against, measure the error of each tensor.

    relative is ||a - b|| / ||a|| with a from --against, largest is max |a - b|, cosine that of
    the angle between a and b. Tensors that only one side has, or of other shapes, differ; errors
    do only above --tolerance.
    """
    if tolerance is not None and (against is None or not tolerance >= 0):
        raise Refused(
            f"--tolerance: must be at least 0 and come with --against, got {tolerance}; leave it "
            "out or name the weights to compare with."
        )
    with open_file(model, max_bytes=max_size) as file:
        check_names(model, file.paths)
        report: dict[str, Any] = {"file": str(model), "tensors": len(file)}
        status, changed = SAME, Report([])
        if against is None:
            file.check()
        else:
            with screen.progress() as track:
                found, changed = _compare(file, open_source(against), against, track)
            report |= found
    if against is not None:
        beyond = [
            row["path"]
            for row in report["errors"]
            if tolerance is not None and not row["relative"] <= tolerance
        ]
        report["beyond_tolerance"] = beyond
        if beyond or report["missing"] or report["extra"] or report["other_shape"]:
            status = DIFFERS
    if as_json:
        screen.as_json(report)
    else:
        _show(report, against, changed)
    return status


def _compare(
    file: ArtifactFile, source: Source, against: Path, track: Any
) -> tuple[dict[str, Any], Report]:
    """Compare all tensors in the order of the file, which is read from front to back.

    Returns what differs, and the report of the weights among it, as `pack` makes it.
    """
    check_names(against, source.paths)
    numbers = {path: index for index, path in enumerate(source.paths)}
    rows: dict[str, Comparison] = {}
    other_shape: list[str] = []
    sizes = dict(zip(source.paths, map(plain_bytes, source.leaves), strict=True))
    for path in track(file.paths, "comparing", lambda path: sizes.get(path, 0)):
        tensor = np.asarray(file[path])  # also of what is not compared: all must be whole
        if path not in numbers:
            continue
        if tensor.shape != tuple(source.leaves[numbers[path]].shape):
            other_shape.append(path)
            continue
        rows[path] = compare(path, source.load(numbers[path]), tensor)
    compared = [path for path in source.paths if path in rows]
    repeated = {entry["path"] for entry in file.manifest["tensors"] if entry["form"] == "same"}
    # Positions are no weights, and a tensor that is stored with another one counts once, as in what
    # `pack` says.
    weights = [
        path
        for path in compared
        if path not in repeated and is_floating(source.leaves[numbers[path]])
    ]
    changed = [rows[path] for path in weights if rows[path].outcome.error_norm]
    report = {
        "against": str(against),
        "missing": [path for path in source.paths if path not in file],
        "extra": [path for path in file if path not in numbers],
        "other_shape": sorted(other_shape, key=numbers.__getitem__),
        "errors": [
            {"path": path, "shape": list(source.leaves[numbers[path]].shape)}
            | rows[path].error._asdict()
            for path in compared
        ],
        "total": together(changed)._asdict(),
    }
    return report, Report([each.outcome for each in changed])


def _show(report: dict[str, Any], against: Path | None, changed: Report) -> None:
    if against is not None:
        rows = [[row["path"], shape_text(row["shape"]), *_cells(row)] for row in report["errors"]]
        screen.table(["tensor", "shape", *Error._fields], rows)
        for line in changed.errors if changed.outcomes else ():
            screen.line(line)
        for field, what in (
            ("missing", f"only in {against}"),
            ("extra", "only in the file"),
            ("other_shape", "another shape"),
            ("beyond_tolerance", "beyond the tolerance"),
        ):
            for path in report[field]:
                screen.line(f"{what}: {path}")
    screen.line(f"{report['file']}: whole, {report['tensors']} tensors")


def _cells(error: dict[str, float]) -> list[str]:
    return [f"{error['relative']:.4g}", f"{error['largest']:.4g}", f"{error['cosine']:.6f}"]
