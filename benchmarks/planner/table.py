"""The tables of the planner."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, INTEGERS, SHARING, UNITS
from benchmarks.lib.record import Figures, Record
from benchmarks.planner.peers import PLANNED, RANDOM, TECHNIQUES, smallest

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
                row["net"],
                f"{row['profile_cpu_s']:.0f}",
                f"{max(each['solve_s'] for each in plans):.2f}",
                _percent(off),
                f"{np.mean(np.array(lost) <= near):.0%} ({near:g})",
                f"{np.mean(inside):.0%}",
                _percent(late) if late else "",
            ]
        )
    header = ["network", "profile, CPU s", "plan, s at most", "bytes off, median (90 %, most)"]
    header += ["quality lost is as near as", "in the interval of 90 %", "milliseconds off"]
    return markdown(header, rows) + footnote(record, " Fifty random sizes each.")


def _percent(off: Sequence[float]) -> str:
    middle, high, most = np.quantile(off, [0.5, 0.9, 1])
    return f"{middle:.1%} ({high:.1%}, {most:.1%})"


def bytes_at(record: Figures) -> list[str]:
    """Return one row for each network and loss of quality: the smallest files of each way."""
    rows = []
    for row in record["figures"]:
        for lost in row["losses"]:
            sizes = {way: smallest(row["files"], way, lost) for way in (PLANNED, *TECHNIQUES)}
            others = {w: s for w, s in sizes.items() if w != PLANNED and s is not None}
            random = smallest(row["files"], RANDOM, lost)
            best, own = min(others, key=lambda way: others[way]), sizes[PLANNED]
            rows.append(
                [
                    row["net"],
                    f"{lost:g}",
                    _bytes(own),
                    _bytes(others[best]),
                    best,
                    "" if own is None else f"{own / others[best]:.2f}",
                    _bytes(random),
                ]
            )
    header = ["network", "lost at most", "planned, bytes", "best single technique", "which"]
    header += ["planned / single", "random choices"]
    return markdown(header, rows) + footnote(record)


def _bytes(size: Any) -> str:
    return "" if size is None else f"{size:,}"


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
