"""What all tables of README and docs need: recorded figures, rows, footnotes."""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.record import RESULTS


def recorded(name: str) -> dict[str, Any]:
    """Return what a benchmark wrote down."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return mean and range of several seeds."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    three = (statistics.mean(values), min(values), max(values))
    mean, low, high = (f"{value:.{digits}f}" for value in three)
    return f"{mean} ({low} to {high})"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table, the first column to the left and the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def footnote(record: dict[str, Any], more: str = "") -> list[str]:
    """Return what a reader needs to repeat the figures."""
    seeds = ", ".join(map(str, record["seeds"]))
    return [
        "",
        f"`{record['command']}`: {record['hardware']}; jax {record['versions']['jax']}, "
        f"numpy {record['versions']['numpy']}; seeds {seeds}.{more}",
    ]
