"""The table of pruning without fine-tuning: by magnitude, by second order, and at random."""

from itertools import groupby

from benchmarks.markdown import footnote, markdown, recorded, spread


def second_order(name: str) -> list[str]:
    """Return one row for each amount removed: accuracy of each way without fine-tuning."""
    record = recorded(name)
    rows = []
    figures = sorted(record["figures"], key=lambda row: (len(row["removed"]) < 4, row["removed"]))
    for removed, group in groupby(figures, lambda row: row["removed"]):
        runs = list(group)
        ways = ("dense", "magnitude", "second order", "random")
        rows.append([removed, *(spread([100 * run[way] for run in runs]) for way in ways)])
    header = ["removed", "dense %", "magnitude %", "`fit_mask` %", "at random %"]
    return markdown(header, rows) + footnote(record, " Mean (range) over the seeds; test images.")
