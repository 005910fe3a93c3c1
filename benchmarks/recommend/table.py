"""The tables of recommendations."""

from collections.abc import Sequence
from typing import Any

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, INTEGERS, SHARING, UNITS
from benchmarks.lib.record import Figures, Record

TECHNIQUES = (
    "quantization",
    "sharing",
    "pruning",
    "low rank",
    "cutting units",
    "dropping blocks",
)
_CODE = (
    *FILES, *INTEGERS, *SHARING, *UNITS,
    "jaxcompress/lowrank", "jaxcompress/planner",
)  # fmt: skip


def compared(record: Figures) -> list[str]:
    """Return one row for each network: points lost by the first and by each single technique."""
    rows = []
    for row in record["figures"]:
        lost = {each["technique"]: each["lost"] for each in row["rows"] if "lost" in each}
        first = row["rows"][0]["technique"]
        rows.append(
            [
                row["net"],
                row["what"],
                f"{row['accuracy']:.2f}",
                f"{row['size_bytes']:,}",
                first,
                f"{lost[first]:.2f}",
                *("the same" if name == first else _cell(lost.get(name)) for name in TECHNIQUES),
                "yes" if is_best(row) else "**no**",
            ]
        )
    header = ["network", "what", "accuracy, %", "bytes", "first recommendation", "points lost"]
    header += [f"{name} alone" for name in TECHNIQUES] + ["at least as good"]
    good = sum(is_best(row) for row in record["figures"])
    more = (
        " Points of test accuracy lost at these bytes, without training; never where "
        "the technique cannot be so small, or the network does not offer it. The first "
        f"recommendation is at least as good as each single technique on {good} of "
        f"{len(record['figures'])}."
    )
    return markdown(header, rows, left=2) + footnote(record, more)


def _cell(lost: float | None) -> str:
    return "never" if lost is None else f"{lost:.2f}"


def is_best(row: dict[str, Any]) -> bool:
    """Whether no single technique loses less than the first recommendation."""
    singles: Sequence[float] = [
        each["lost"]
        for each in row["rows"][1:]
        if "lost" in each and each["technique"] in TECHNIQUES
    ]
    return all(row["rows"][0]["lost"] <= lost for lost in singles)


RECORD = Record(
    "recommend",
    "the first recommendation beside each single technique at the same bytes, without training",
    _CODE,
    {"recommend": compared},
)
RECORDS = (RECORD,)
