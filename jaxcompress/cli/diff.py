"""`jaxcompress diff`: what two files hold differently."""

from pathlib import Path
from typing import Any

import click

from jaxcompress.artifact.memory import limit_of
from jaxcompress.cli import screen
from jaxcompress.cli.artifacts import read
from jaxcompress.cli.comparison import compare
from jaxcompress.cli.sizes import MAX_SIZE
from jaxcompress.cli.status import DIFFERS, SAME
from jaxcompress.text import shape_text

_FIELDS = ("shape", "dtype", "form", "packing", "k", "bits")


@click.command()
@click.argument("first", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("second", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
@MAX_SIZE
def diff(first: Path, second: Path, as_json: bool, max_size: int | None) -> int:  # noqa: FBT001
    """Compare two compressed files tensor by tensor: how they are stored, values, bytes.

    relative is ||a - b|| / ||a|| with a from FIRST.
    """
    # Both are in memory: each may take half of the limit.
    left, right = (read(path, limit_of(max_size) // 2) for path in (first, second))
    changed = []
    for path in (path for path in left.tensors if path in right.tensors):
        a, b = left.tensors[path], right.tensors[path]
        row: dict[str, Any] = {"path": path}
        for field in _FIELDS:
            values = [getattr(a, field), getattr(b, field)]
            if values[0] != values[1]:
                row[field] = values
        if a.shape == b.shape:
            relative = compare(path, a.dense(), b.dense()).error.relative
            if relative:
                row["relative"] = relative
        if len(row) > 1:
            row["bytes"] = [a.stored_bytes, b.stored_bytes]
            changed.append(row)
    report = {
        "files": [str(first), str(second)],
        "file_bytes": [left.file_bytes, right.file_bytes],
        "only_in_first": [path for path in left.tensors if path not in right.tensors],
        "only_in_second": [path for path in right.tensors if path not in left.tensors],
        "changed": changed,
    }
    if as_json:
        screen.as_json(report)
    else:
        _show(report)
    same = not (changed or report["only_in_first"] or report["only_in_second"])
    return SAME if same else DIFFERS


def _show(report: dict[str, Any]) -> None:
    for side, field in zip(report["files"], ("only_in_first", "only_in_second"), strict=True):
        for path in report[field]:
            screen.line(f"only in {side}: {path}")
    if report["changed"]:
        screen.table(
            ["tensor", "what differs", "relative", "bytes"],
            [_cells(row) for row in report["changed"]],
        )
    before, after = report["file_bytes"]
    screen.line(f"{before:,} -> {after:,} bytes, {(after - before) / before:+.1%}")


def _cells(row: dict[str, Any]) -> list[str]:
    fields = [name for name in _FIELDS if name in row]
    what = ", ".join(f"{name} {_word(row[name][0])} -> {_word(row[name][1])}" for name in fields)
    relative = f"{row['relative']:.4g}" if "relative" in row else ""
    before, after = row["bytes"]
    return [row["path"], what or "values", relative, f"{before:,.0f} -> {after:,.0f}"]


def _word(value: Any) -> str:
    return shape_text(value) if isinstance(value, list | tuple) else str(value)
