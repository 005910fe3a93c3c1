"""The table of networks of other libraries."""

from typing import Any

from benchmarks.markdown import footnote, markdown, recorded

FAILED = "no"
"""In the place of figures; the reason stands below the table."""


def works_with(name: str) -> list[str]:
    """Return what each network went through, and below the table why steps failed."""
    record = recorded(name)
    ran = [row for row in record["figures"] if "steps" in row]
    rows = [[row["network"], *(_cell(row["steps"], *column) for column in COLUMNS)] for row in ran]
    header = ["network", "parameters", "in groups", "groups", "not tried", "cut, difference"]
    header += ["8-bit weights", "and activations", "`execute`", "ONNX", "file, ratio"]
    reasons = [
        f"- {row['network']}, {step}: {_plain(found['failed'])}"
        for row in ran
        for step, found in row["steps"].items()
        if "failed" in found
    ]
    skipped = [
        f"- {row['network']}: not run, {row['skipped']} was not installed"
        for row in record["figures"]
        if "skipped" in row
    ]
    found = {p: v for row in ran for p, v in row["versions"].items()}
    versions = ", ".join(f"{package} {version}" for package, version in sorted(found.items()))
    return [
        *markdown(header, rows),
        *footnote(record, f" {versions}."),
        *(["", "What failed, and why:", "", *reasons, *skipped] if reasons or skipped else []),
    ]


def _difference(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


def _cut(step: dict[str, Any]) -> str:
    return f"{_difference(step['difference'])} ({step['kept']:.0%} kept)"


def _execute(step: dict[str, Any]) -> str:
    return _difference(max(step.values()))


def _export(step: dict[str, Any]) -> str:
    batch = "" if step["any_batch"] else ", this batch"
    return f"{_difference(step['difference'])}{batch}"


COLUMNS = (
    ("trace", lambda step: f"{step['parameters']:,}"),
    ("trace", lambda step: f"{step['coverage']:.0%}"),
    ("trace", lambda step: f"{step['groups']}"),
    ("trace", lambda step: f"{step['untried']}"),
    ("cut", _cut),
    ("quantize", lambda step: f"{100 * step['weights']:.1f} %"),
    ("quantize", lambda step: f"{100 * step['simulated']:.1f} %"),
    ("execute", _execute),
    ("export", _export),
    ("file", lambda step: f"{step['ratio']:.1f}x"),
)


def _cell(steps: dict[str, Any], step: str, show: Any) -> str:
    return FAILED if "failed" in steps[step] else show(steps[step])


def _plain(reason: str, most: int = 400) -> str:
    text = reason if len(reason) <= most else f"{reason[:most].rsplit(' ', 1)[0]} ..."
    return f"`{text.replace('`', '')}`"
