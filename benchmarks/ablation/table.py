"""The table of branches."""

import statistics
from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import TRAINING
from benchmarks.lib.record import Figures, Record


def ablation(record: Figures) -> list[str]:
    """Return one row for each choice of branches, against all of them."""

    def percent(rows: list[dict[str, Any]]) -> list[float]:
        return [100 * row["accuracy"] for row in rows]

    groups = [list(group) for _, group in groupby(record["figures"], lambda row: row["branches"])]
    whole = statistics.mean(percent(groups[0]))
    rows = [
        [
            group[0]["branches"],
            f"{group[0]['parameters']:,}",
            spread(percent(group)),
            f"{statistics.mean(percent(group)) - whole:+.2f}",
        ]
        for group in groups
    ]
    header = ["branches", "parameters", "accuracy %", "against all five, points"]
    return markdown(header, rows) + footnote(record, f" {groups[0][0]['epochs']} epochs each.")


RECORDS = (
    ABLATION := Record(
        "ablation",
        "accuracy of each input of FruitsFusionNet alone, and of all together",
        (*TRAINING, "nets/fruits_fusion.py", "pipelines/features", "pipelines/data/rendered"),
        {"ablation": ablation},
        "12",
    ),
)
