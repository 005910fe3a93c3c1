"""The tables of the vision transformer."""

from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import TRAINING
from benchmarks.lib.record import Figures, Record


def vit_accuracy(record: Figures) -> list[str]:
    """Return one row for each method: accuracy before and after recovery, beside its controls."""
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


def vit_latency(record: Figures) -> list[str]:
    """Return the time of smaller networks, relative to the full one."""
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


_SMALLER = (
    "jaxcompress/execution/_thin.py",
    "jaxcompress/lowrank",
    "jaxcompress/prune",
    "jaxcompress/units",
    "nets/transformer.py",
    "nets/vit.py",
)
RECORDS = (
    VIT_ACCURACY := Record(
        "vit_accuracy",
        "accuracy of a vision transformer with fewer blocks, heads or ranks, after recovery",
        (*TRAINING, *_SMALLER, "jaxcompress/distill", "pipelines/stages/distilling.py"),
        {"vit_accuracy": vit_accuracy},
        "hours",
    ),
    VIT_LATENCY := Record(
        "vit_latency",
        "time of these smaller networks beside the full one",
        (*_SMALLER, "jaxcompress/compiled.py"),
        {"vit_latency": vit_latency},
    ),
)
