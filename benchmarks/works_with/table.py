"""The table of networks of other libraries."""

from typing import Any

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, INTEGERS, SHARING, UNITS
from benchmarks.lib.record import Figures, Record

FAILED = "no"
"""In the place of figures; the reason stands below the table."""


def works_with(record: Figures) -> list[str]:
    """Return what each network went through, and below the table why trials failed."""
    ran = [row for row in record["figures"] if "trials" in row]
    rows = [[row["network"], *(_cell(row["trials"], *column) for column in COLUMNS)] for row in ran]
    header = ["network", "parameters", "in groups", "groups", "not tried", "cut, difference"]
    header += ["8-bit weights", "and activations", "`execute`", "ONNX", "file, ratio"]
    reasons = [
        f"- {row['network']}, {trial}: {_plain(found['failed'])}"
        for row in ran
        for trial, found in row["trials"].items()
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


def _cut(found: dict[str, Any]) -> str:
    return f"{_difference(found['difference'])} ({found['kept']:.0%} kept)"


def _execute(found: dict[str, Any]) -> str:
    return _difference(max(found.values()))


def _export(found: dict[str, Any]) -> str:
    batch = "" if found["any_batch"] else ", this batch"
    return f"{_difference(found['difference'])}{batch}"


COLUMNS = (
    ("trace", lambda found: f"{found['parameters']:,}"),
    ("trace", lambda found: f"{found['coverage']:.0%}"),
    ("trace", lambda found: f"{found['groups']}"),
    ("trace", lambda found: f"{found['untried']}"),
    ("cut", _cut),
    ("quantize", lambda found: f"{100 * found['weights']:.1f} %"),
    ("quantize", lambda found: f"{100 * found['simulated']:.1f} %"),
    ("execute", _execute),
    ("export", _export),
    ("file", lambda found: f"{found['ratio']:.1f}x"),
)


def _cell(trials: dict[str, Any], trial: str, show: Any) -> str:
    return FAILED if "failed" in trials[trial] else show(trials[trial])


def _plain(reason: str, most: int = 400) -> str:
    text = reason if len(reason) <= most else f"{reason[:most].rsplit(' ', 1)[0]} ..."
    return f"`{text.replace('`', '')}`"


RECORDS = (
    WORKS_WITH := Record(
        "works_with",
        "networks of other libraries through everything that this library does",
        (
            *FILES,
            *INTEGERS,
            *SHARING,
            *UNITS,
            "jaxcompress/execution",
            "jaxcompress/lowrank",
            "jaxcompress/onnx",
        ),
        {"works_with": works_with},
    ),
)
