"""The table of pruning without fine-tuning: by magnitude, by second order, and at random."""

from itertools import groupby

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import MASKS
from benchmarks.lib.record import Figures, Record


def second_order(record: Figures) -> list[str]:
    """Return one row for each amount removed: accuracy of each way without fine-tuning."""
    rows = []
    figures = sorted(record["figures"], key=lambda row: (len(row["removed"]) < 4, row["removed"]))
    for removed, group in groupby(figures, lambda row: row["removed"]):
        runs = list(group)
        ways = ("dense", "magnitude", "second order", "random")
        rows.append([removed, *(spread([100 * run[way] for run in runs]) for way in ways)])
    header = ["removed", "dense %", "magnitude %", "`fit_mask` %", "at random %"]
    return markdown(header, rows) + footnote(record, " Mean (range) over the seeds; test images.")


RECORDS = (
    SECOND_ORDER := Record(
        "second_order",
        "masks by magnitude, by second order and at random, without fine-tuning",
        (
            *MASKS,
            "jaxcompress/products",
            "jaxcompress/prune/_compensation.py",
            "jaxcompress/prune/_second_order.py",
        ),
        {"second_order": second_order},
    ),
)
