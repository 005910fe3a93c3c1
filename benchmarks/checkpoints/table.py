"""The tables of real checkpoints."""

from typing import Any

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.record import Figures, Record


def _rows(record: Figures) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in record["figures"]:
        found.setdefault(row["checkpoint"], []).append(row)
    return found


def packages(record: Figures) -> list[str]:
    """Return where each checkpoint comes from, and what is measured of it."""
    rows = []
    for name, found in _rows(record).items():
        row = found[0]
        rows.append([name, row["package"], row["licence"], f"`{row['member']}`"])
        rows[-1] += [row["measure"], f"{row['weights'] / 1e6:.2f}"]
    header = ["network", "package", "licence", "file", "measure", "weights, millions"]
    return markdown(header, rows, left=5) + footnote(record)


def _cell(row: dict[str, Any]) -> str:
    if "refused" in row:
        return "refused"
    size = f"{row['bytes'] / row['float32_bytes']:.3f}"
    return f"{size} / {100 * row['worst']:.3g} / {row['score']:.3g}"


def checkpoints(record: Figures) -> list[str]:
    """Return a row for each checkpoint: size, worst tensor and score in each way."""
    ways = list(dict.fromkeys(row["way"] for row in record["figures"]))
    rows = []
    for name, found in _rows(record).items():
        cells = {row["way"]: _cell(row) for row in found}
        rows.append([name, f"{found[0]['before']:.3g}", *(cells.get(way, "") for way in ways)])
    more = (
        " Cells: bytes of the file to those in float32; relative error of the worst tensor in "
        "percent; what goes wrong, in the unit of the table of networks."
    )
    return markdown(["network", "before", *ways], rows) + footnote(record, more)


def before(record: Figures) -> list[str]:
    """Return the same rows of the first record, of 16 values a tensor and one absolute step."""
    first = record["history"][-1]
    ways = ("default", "8 bits", "a quarter", "an eighth")
    rows = []
    for name, found in _rows(first).items():
        cells = {row["way"]: _cell(row) for row in found}
        rows.append([name, *(cells[way] for way in ways)])
    lines = markdown(["network", *ways], rows)
    return [*lines, "", f"The same command at {first['commit']}, {first['date']}; cells as above."]


def outputs(record: Figures) -> list[str]:
    """Return a row for each checkpoint: cosine of the outputs, and seconds to write."""
    ways = list(dict.fromkeys(row["way"] for row in record["figures"]))
    rows = []
    for name, found in _rows(record).items():
        cells = {
            row["way"]: "refused"
            if "refused" in row
            else f"{row['cosine']:.4f} / {row['seconds']:.1f}"
            for row in found
        }
        rows.append([name, *(cells.get(way, "") for way in ways)])
    more = " Cells: mean cosine of the outputs to the original's; CPU-seconds of the whole command."
    return markdown(["network", *ways], rows) + footnote(record, more)


RECORDS = (
    CHECKPOINTS := Record(
        "checkpoints",
        "bytes and outputs of trained networks out of public packages, packed without data",
        (
            "jaxcompress/artifact",
            "jaxcompress/cli",
            "jaxcompress/leaves",
            "jaxcompress/oneshot",
            "jaxcompress/packing",
            "jaxcompress/quantization",
            "jaxcompress/sharing",
        ),
        {
            "checkpoints": checkpoints,
            "checkpoints-before": before,
            "checkpoints-outputs": outputs,
            "checkpoints-packages": packages,
        },
    ),
)
