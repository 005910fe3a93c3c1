"""The tables of sparse weights: which go, and what their products take."""

from itertools import groupby

from benchmarks.markdown import footnote, markdown, recorded, spread


def sparse(name: str) -> list[str]:
    """Return one row for each layer, batch size and sparsity: times the dense product."""
    record = recorded(name)
    ways = list(record["figures"][0]["times_dense"])
    rows = [
        [
            f"{row['layer']}, {row['sparsity']:.0%}",
            str(row["batch"]),
            f"{row['dense_ms']:.2f}",
            *(f"{row['times_dense'][way]:.2f}" for way in ways),
        ]
        for row in record["figures"]
    ]
    header = ["layer, sparsity", "batch", "dense, ms", *ways]
    return markdown(header, rows) + footnote(record, " Times the dense product; below 1 is faster.")


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
