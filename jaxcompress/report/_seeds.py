"""The record of runs that differ in the seed only: means, ranges, and each of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcompress.report._run import of_run

_SAME = (
    *("model", "recipe", "data", "data_source", "train_images", "test_images", "classes"),
    *("options", "versions", "device"),
)
"""What runs must have in common, of what `run` of a record has."""

_HEADLINE = (
    *("size.before_bytes", "size.after_bytes", "size.ratio", "quality.before.value"),
    *("quality.after.value", "quality.control.value", "quality.points_lost"),
    *("quality.points_lost_to_control", "latency.before_ms", "latency.after_ms"),
)
_OF_STAGES = ("accuracy", "size_bytes", "sparsity", "latency_ms")


def of_seeds(folders: Sequence[str | os.PathLike[str]]) -> dict[str, Any]:
    """Return the record of several finished runs that are the same but for the seed.

    It is the record of the first one, and under `seeds` the mean, the lowest, the highest and each
    number of all: of the headline, the stages, the checks and the tickets.

    Args:
        folders: of the runs, two or more.

    Returns:
        The content of `report.json`.

    Raises:
        ValueError: fewer than two, a folder without a finished run, or runs that differ in more
            than the seed.
        OSError: a file cannot be read.

    Example:
        >>> of_seeds(["no/such/folder"])
        Traceback (most recent call last):
            ...
        ValueError: folders: must be at least two runs, got 1; name more, or take of_run.
    """
    if len(folders) < 2:
        raise ValueError(
            f"folders: must be at least two runs, got {len(folders)}; name more, or take of_run."
        )
    paths = [Path(folder) for folder in folders]
    records = [of_run(path) for path in paths]
    for path, record in zip(paths[1:], records[1:], strict=True):
        _check_same(path, record, paths[0], records[0])
    seeds = [record["run"]["seed"] for record in records]
    for place, seed in enumerate(seeds):
        if seed in seeds[:place]:
            first = paths[seeds.index(seed)]
            raise ValueError(
                f"{paths[place]}: seed must be another one than that of {first}, got {seed}; leave "
                "one of them out."
            )
    record = records[0]
    record["title"] += f", {len(records)} seeds"
    if record["quality"]:
        record["quality"]["seeds"] = len(records)
    record["seeds"] = {
        "runs": [
            {"folder": path.resolve().name, "seed": seed}
            for path, seed in zip(paths, seeds, strict=True)
        ],
        "headline": {
            place.replace(".", "_"): _spread([_at(each, place) for each in records])
            for place in _HEADLINE
        },
        "stages": _of_rows(records, "stages", _OF_STAGES),
        "checks": _of_rows(records, "checks", ("measured",)),
        "tickets": _tickets(records),
    }
    record["warnings"] = [
        f"seed {seed}: {line}"
        for seed, each in zip(seeds, records, strict=True)
        for line in each["warnings"]
    ]
    record["skipped"].append(
        f"Layers, weights, mistakes, files and what was tried: shown of seed {seeds[0]} only."
    )
    return record


def _check_same(path: Path, record: Any, first: Path, other: Any) -> None:
    """Refuse a run that differs from the first one in more than its seed."""
    for name in _SAME:
        mine, known = record["run"][name], other["run"][name]
        if isinstance(mine, dict):
            both = sorted(mine.keys() | known.keys())
            differ = [key for key in both if mine.get(key) != known.get(key) and key != "seed"]
            if not differ:
                continue
            name, mine, known = f"{name}.{differ[0]}", mine.get(differ[0]), known.get(differ[0])
        if mine != known:
            raise ValueError(
                f"{path}: {name} must be {known!r:.60}, as of {first}, got {mine!r:.60}; runs of "
                "one report differ in the seed only."
            )
    names = [[row["name"] for row in each["stages"]] for each in (record, other)]
    if names[0] != names[1]:
        raise ValueError(
            f"{path}: stages must be those of {first}, got others; runs of one report differ in "
            "the seed only."
        )


def _of_rows(
    records: Sequence[dict[str, Any]], table: str, fields: Sequence[str]
) -> list[dict[str, Any]]:
    """Return name and spread of fields of each row, where all records have the same rows."""
    names = [[row["name"] for row in record[table]] for record in records]
    if any(each != names[0] for each in names):
        return []
    return [
        {"name": name}
        | {field: _spread([record[table][n][field] for record in records]) for field in fields}
        for n, name in enumerate(names[0])
    ]


def _tickets(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if any(record["tickets"] is None for record in records):
        return []
    return [
        {
            "sparsity": each["sparsity"],
            "ways": {
                way: _spread([r["tickets"]["rounds"][n]["ways"][way]["value"] for r in records])
                for way in each["ways"]
            },
            "ticket_less": {
                way: _spread(
                    [r["tickets"]["rounds"][n]["ticket_less"][way]["value"] for r in records]
                )
                for way in each["ticket_less"]
            },
        }
        for n, each in enumerate(records[0]["tickets"]["rounds"])
    ]


def _at(record: Any, place: str) -> float | None:
    for part in place.split("."):
        record = None if record is None else record[part]
    return record


def _spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Return mean, lowest, highest and each; None where one is missing."""
    some = [value for value in values if value is not None]
    if len(some) < len(values):
        return None
    return {"mean": sum(some) / len(some), "low": min(some), "high": max(some), "each": some}
