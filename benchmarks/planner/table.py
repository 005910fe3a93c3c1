"""The tables of the planner."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, INTEGERS, SHARING, UNITS
from benchmarks.lib.record import Figures, Record
from benchmarks.planner.peers import NAMES, PLANNED, bytes_for

_CODE = (*FILES, *INTEGERS, *SHARING, *UNITS, "jaxcompress/lowrank", "jaxcompress/planner")


def predicted(record: Figures) -> list[str]:
    """Return one row for each network: how far predictions are off."""
    rows = []
    for row in record["figures"]:
        plans, near = row["plans"], row["near"]
        off = [abs(each["predicted_bytes"] / each["bytes"] - 1) for each in plans]
        lost = [abs(each["predicted_lost"] - each["lost"]) for each in plans]
        inside = [each["low"] <= each["lost"] <= each["high"] for each in plans]
        late = [abs(each["predicted_ms"] / each["ms"] - 1) for each in row["speeds"]]
        rows.append(
            [
                _name(row),
                f"{row['profile_cpu_s']:.0f}",
                f"{max(each['solve_s'] for each in plans):.2f}",
                _percent(off),
                _near(lost, near, plans, row["most"]),
                f"{np.mean(inside):.0%}",
                _percent(late) if late else "",
            ]
        )
    header = ["network", "profile, CPU s", "plan, s at most", "bytes off, median (90 %, most)"]
    header += ["quality lost is so near", "in the interval of 90 %", "milliseconds off"]
    counts = sorted({len(row["plans"]) for row in record["figures"]})
    sizes = " or ".join(map(str, counts[::-1]))
    more = (
        f" {sizes} random sizes each, from the smallest file to a third of the largest. Lost "
        "quality is near within 0.3 points (minilm: 0.003 of the cosine): of all plans, and in "
        "brackets of those predicted to lose at most five (0.05)."
    )
    return markdown(header, rows) + footnote(record, more)


def _name(row: Mapping[str, Any]) -> str:
    """Return the network of a row, with the commit if it is not that of the others."""
    return row["net"] + (f", at {row['at']}" if "at" in row else "")


def _near(off: Sequence[float], near: float, plans: Sequence[Any], most: float) -> str:
    is_near = np.array(off) <= near
    is_useful = np.array([each["predicted_lost"] <= most for each in plans])
    return f"{is_near.mean():.0%} ({is_near[is_useful].mean():.0%})"


def _percent(off: Sequence[float]) -> str:
    middle, high, most = np.quantile(off, [0.5, 0.9, 1])
    return f"{middle:.1%} ({high:.1%}, {most:.1%})"


def bytes_at(record: Figures) -> list[str]:
    """Return one row for each network and loss of quality: the smallest files of each way."""
    rows = []
    for row in record["figures"]:
        for lost in row["losses"]:
            sizes = {way: bytes_for(row["files"], way, lost) for way in NAMES}
            own = sizes[PLANNED]
            rows.append(
                [
                    _name(row),
                    f"{lost:g}",
                    "never" if own is None else f"{own:,.0f}",
                    *(_times(sizes[way], own) for way in NAMES if way != PLANNED),
                ]
            )
    header = ["network", "lost", "planned, bytes", *(way for way in NAMES if way != PLANNED)]
    more = (
        " Lost: points of accuracy, for minilm of the cosine. Bytes of the others are times those "
        "of the plan; above 1 they are larger files."
    )
    return markdown(header, rows) + footnote(record, more)


def _times(size: float | None, own: float | None) -> str:
    if size is None or own is None:
        return "never" if size is None else "?"
    return f"{size / own:.2f}"


RECORDS = (
    PREDICTED := Record(
        "planner",
        "bytes, quality and time that plans predict, beside what is so",
        _CODE,
        {"planner": predicted},
    ),
    BYTES := Record(
        "planner_bytes",
        "bytes of plans beside each single technique at equal quality, without training",
        _CODE,
        {"planner_bytes": bytes_at},
    ),
)
