"""The section of stages: quality against bytes, with the controls; plans that were tried."""

from collections.abc import Sequence
from typing import Any

from jaxcompress.report._html._elements import Child, tag
from jaxcompress.report._html._numbers import Told, words
from jaxcompress.report._html._scatter import Point, scatter
from jaxcompress.report._html._seeds import of_first
from jaxcompress.report._html._seeds import stages as over_seeds
from jaxcompress.report._html._tables import Column, table


def stages(told: Told) -> list[Child]:
    """Return the curve of the stages and their table."""
    rows = told.at("stages")
    if not rows:
        return []
    is_run = "accuracy" in rows[0]
    drawn = _means(told) if told.at("seeds.stages") else rows
    curve = _curve(drawn, is_run=is_run, is_mean=drawn is not rows)
    return [curve, *over_seeds(told), _of_run(told) if is_run else _of_result(told)]


def _means(told: Told) -> list[dict[str, Any]]:
    """Return stages with the means of the seeds, and their ranges for intervals."""
    pairs = zip(told.at("stages"), told.at("seeds.stages"), strict=True)
    return [
        row
        | {"accuracy": mean["accuracy"]["mean"], "size_bytes": mean["size_bytes"]["mean"]}
        | {f"accuracy_{end}": mean["accuracy"][end] for end in ("low", "high")}
        for row, mean in pairs
    ]


def _curve(rows: Sequence[dict[str, Any]], *, is_run: bool, is_mean: bool) -> Child:
    points, line = [], []
    for n, row in enumerate(rows):
        height = 100 * row["accuracy"] if is_run else row["quality"]
        if height is None or row["size_bytes"] < 1:
            continue
        said = f"{row['name']}: {words(height, 'points')}{' %' if is_run else ''}, "
        if not row["is_control"]:
            line.append(len(points))
        points.append(
            Point(
                row["size_bytes"],
                height,
                f"{said}{words(row['size_bytes'], 'count')} bytes",
                100 * row["accuracy_low"] if is_run else None,
                100 * row["accuracy_high"] if is_run else None,
                str(n + 1),
                "other" if row["is_control"] else "",
            )
        )
    if not points:
        return None
    name = "test accuracy, %" if is_run else "quality"
    figure = scatter(points, f"{name} against bytes, stage by stage", y_name=name, lines=[line])
    caption = "Each point is a stage, with its number in the table; "
    if is_mean:
        caption += "means of the seeds, with bars from the lowest to the highest. "
    elif is_run:
        caption += "bars are 95 % intervals from the number of test samples. "
    caption += "Diamonds are controls." if any(row["is_control"] for row in rows) else ""
    return tag("figure", figure, tag("figcaption", caption.strip().removesuffix(";")))


def _of_run(told: Told) -> Child:
    fields = (
        ("accuracy", "percent"),
        ("accuracy_low", "percent"),
        ("accuracy_high", "percent"),
        ("validation_accuracy", "percent"),
        ("size_bytes", "count"),
        ("sparsity", "tenths"),
        ("distinct_weights", "count"),
        ("flops", "count"),
        ("latency_ms", "ms"),
        ("peak_bytes", "count"),
        ("seconds", "seconds"),
    )
    names = ("accuracy, %", "from", "to", "validation, %", "bytes", "zeros, %", "distinct values")
    more = ("operations", "ms", "memory, bytes", "seconds")
    columns = [Column("stage", "text"), Column("numbers", "text"), *map(Column, (*names, *more))]
    rows = []
    for n, row in enumerate(told.at("stages")):
        name = f"{n + 1}. {row['name']}" + (" (control)" if _is_apart(row) else "")
        numbers = [told.number(f"stages.{n}.{field}", form) for field, form in fields]
        rows.append([name, row["arithmetic"], *numbers])
    said = "Stages; zeros and distinct values over the kernels, accuracy with its 95 % interval"
    return table(f"{said}{of_first(told)}", columns, rows)


def _is_apart(row: dict[str, Any]) -> bool:
    return row["is_control"] and row["name"] != "control"


def _of_result(told: Told) -> Child:
    columns = [Column("step", "text"), Column("quality"), Column("bytes"), Column("", "text long")]
    columns[-1] = Column("what was done", "text long")
    rows = [
        [
            f"{n + 1}. {row['name']}",
            told.number(f"stages.{n}.quality", "few"),
            told.number(f"stages.{n}.size_bytes", "count"),
            row["note"],
        ]
        for n, row in enumerate(told.at("stages"))
    ]
    return table("Steps", columns, rows)


def tried(told: Told) -> list[Child]:
    """Return the plans that were tried, and their front."""
    plans = told.at("profile.tried")
    if not plans:
        return []
    is_lost = all(each["lost"] is not None for each in plans)
    name = "quality lost, before fine-tuning" if is_lost else "damage, before fine-tuning"
    field = "lost" if is_lost else "damage"
    most = max(each[field] for each in plans if each["on_front"])
    least = min(each[field] for each in plans)
    limit, points, line = most + 0.15 * (most - least), [], []
    for each in plans:
        height = each[field]
        if height > limit:
            continue
        said = f"{each['network']}: {words(height, 'few')} lost, "
        if each["on_front"]:
            line.append(len(points))
        size = max(each["size_bytes"], 1)
        said += f"{words(size, 'count')} bytes"
        points.append(Point(size, height, said, kind="" if each["on_front"] else "other"))
    figure = scatter(points, f"{name}, of plans that were tried", y_name=name, lines=[line])
    fields = (("size_bytes", "count"), ("damage", "few"), ("lost", "few"))
    rows = [
        [
            each["network"],
            *[told.number(f"profile.tried.{n}.{field}", form) for field, form in fields],
        ]
        for n, each in enumerate(plans)
        if each["on_front"]
    ]
    columns = [Column("network", "text"), *map(Column, ("bytes", "damage", "quality lost"))]
    caption = "Every plan that the planner made and evaluated. The line joins those that no other "
    caption += "plan beats in bytes and quality; diamonds are the others."
    if len(points) < len(plans):
        caption += f" {len(plans) - len(points)} that lose more are above the figure."
    return [
        tag("h3", "Plans that were tried"),
        tag("figure", figure, tag("figcaption", caption)),
        tag("details", tag("summary", "Numbers of the front"), table("The front", columns, rows)),
    ]
