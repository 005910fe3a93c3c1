"""The checks of a budget: what was asked for, predicted and measured."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from jaxcompress.planner import Check
from pipelines.options.settings import Settings
from pipelines.run.row import Row

_CLOSE = 1e-9  # points; below what one picture is worth


def checks_of(plan: Settings, rows: Sequence[Row]) -> list[Check]:
    """Return the checks of a finished run: bytes, speed, and points lost where there is a control.

    Accuracies are those of the test images.

    Args:
        plan: of the run; without a budget there are no checks.
        rows: of its stages.
    """
    by_name = {row.name: row for row in rows}
    found_by = next((name for name in ("profiled", "searched") if name in by_name), None)
    if found_by is None:
        return []
    predicted, last = by_name[found_by].facts, by_name["reloaded"]
    size, speedup, drop = (plan.get(name) for name in ("size", "speedup", "drop"))
    bytes_met = size is None or last.size_bytes <= size
    found = [Check("bytes", size, predicted["size_bytes"], last.size_bytes, bytes_met)]
    for batch_size, measured in last.facts["speedups"].items():
        expected, is_met = predicted["speedups"].get(batch_size), not speedup or measured >= speedup
        found.append(
            Check(f"times faster, batch {batch_size}", speedup, expected, measured, is_met)
        )
    if "control" in by_name:
        lost = 100 * (by_name["control"].accuracy - last.accuracy)
        is_met = drop is None or lost <= drop + _CLOSE
        found.append(Check("points lost", drop, predicted["points_lost"], lost, is_met))
    return found


def recorded_checks(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return checks as JSON."""
    return [
        {
            "name": check.name,
            "budget": check.budget,
            "predicted": check.predicted,
            "measured": check.measured,
            "met": check.is_met,
        }
        for check in checks
    ]


def table_of(checks: Sequence[Check]) -> Table:
    """Return a table of the checks."""
    shown = Table(
        caption="Points are predicted before fine-tuning, and measured against the control."
    )
    for heading in ("check", "budget", "predicted", "measured", ""):
        shown.add_column(heading, justify="left" if heading == "check" else "right", no_wrap=True)
    for check in checks:
        told = (_number(value) for value in (check.budget, check.predicted, check.measured))
        asked = "" if check.budget is None else "met" if check.is_met else "missed"
        shown.add_row(check.name, *told, asked)
    return shown


def missed(checks: Sequence[Check]) -> str:
    """Return the budgets that were missed in one line, empty if none was."""
    words = [
        f"{check.name} {_number(check.measured)}, asked {_number(check.budget)}"
        for check in checks
        if not check.is_met
    ]
    return f"missed: {'; '.join(words)}" if words else ""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
