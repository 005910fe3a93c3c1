"""The tables of the vision transformer."""

from itertools import groupby
from typing import Any

from benchmarks.markdown import footnote, markdown, recorded, spread


def vit_accuracy(name: str) -> list[str]:
    """Return one row for each method: accuracy before and after recovery, beside its controls."""
    record = recorded(name)
    controls = {
        row["seed"]: 100 * row["accuracy"] for row in record["figures"] if row["order"] == 0
    }

    lengths = [row["epochs"] for row in record["figures"]]
    least, most = min(lengths), max(lengths)

    def row(runs: list[dict[str, Any]]) -> list[str]:
        after = [100 * run["accuracy"] for run in runs]
        points = [a - controls[run["seed"]] for a, run in zip(after, runs, strict=True)]
        new = runs[0]["epochs"] > least  # nothing was there before
        return [
            runs[0]["method"],
            runs[0]["from"],
            f"{runs[0]['epochs']}",
            ", ".join(str(run["seed"]) for run in runs),
            f"{runs[0]['parameters']:,}",
            f"{runs[0]['flops'] / record['figures'][0]['flops']:.2f}",
            "" if new else spread([100 * run["before"] for run in runs]),
            spread(after),
            spread(points),
        ]

    rows = [
        row(list(runs)) for _, runs in groupby(record["figures"], lambda figure: figure["order"])
    ]
    header = ["network", "learns from", "epochs", "seeds", "parameters", "FLOPs", "before %"]
    header += ["after %", "against control, points"]
    more = (
        f" Mean (range) over the seeds. {record['figures'][0]['images']:,} training images. The "
        f"full network was trained for {most - least} epochs before those of the table; the first "
        "row is the control."
    )
    return markdown(header, rows) + footnote(record, more)


def vit_latency(name: str) -> list[str]:
    """Return the time of smaller networks, relative to the full one."""
    record = recorded(name)
    rows = [
        [
            f"{row['what']}, batch {row['batch']}",
            f"{row['times_full']:.2f}",
            f"{row['times_full_in_turn']:.2f}",
            f"{row['times_full_flops']:.2f}",
        ]
        for row in record["figures"]
    ]
    header = ["network", "times the full one", "in turn", "FLOPs"]
    return markdown(header, rows) + footnote(record)
