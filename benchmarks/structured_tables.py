"""The tables of structured pruning."""

from itertools import groupby
from typing import Any

from benchmarks.markdown import footnote, markdown, recorded, spread


def structured_accuracy(name: str) -> list[str]:
    """Return one row for each reduction and method: accuracy before and after fine-tuning."""
    record = recorded(name)
    controlled = {
        (run["reduction"], run["seed"]): run["accuracy"]
        for run in record["figures"]
        if "control" in run["accuracy"]
    }
    rows = []

    def row(label: str, runs: list[dict[str, Any]], stage: str, cut: str = "") -> None:
        pairs = [(run["accuracy"], controlled[run["reduction"], run["seed"]]) for run in runs]
        rows.append(
            [
                label,
                spread([run["times_fewer_flops"] for run in runs[:1]], 1) + "x",
                spread([100 * control["control"] for _, control in pairs]),
                spread([100 * found[cut] for found, _ in pairs]) if cut else "",
                spread([100 * found[stage] for found, _ in pairs]),
                spread([100 * (found[stage] - control["control"]) for found, control in pairs]),
            ]
        )

    for reduction, group in groupby(record["figures"], lambda run: run["reduction"]):
        of_reduction = list(group)
        for method, same in groupby(of_reduction, lambda run: run["method"]):
            runs = list(same)
            last = [stage for stage in runs[0]["accuracy"] if stage.startswith("cut")][-2]
            row(f"{method} ({runs[0]['rounds']})", runs, "reloaded", last)
        whole = [run for run in of_reduction if "control" in run["accuracy"]]
        row("that size from scratch", whole, "small from scratch")
        del reduction
    first = record["figures"][0]
    header = ["units that go, rounds", "fewer FLOPs", "control %", "after the last cut %"]
    header += ["fine-tuned %", "against control, points"]
    more = (
        f" Mean (range) over the seeds. {first['images']:,} images, {first['epochs']} epochs, and "
        f"{first['finetune_epochs']} of fine-tuning or of the control; from scratch, all of them."
    )
    return markdown(header, rows) + footnote(record, more)


def structured_latency(name: str) -> list[str]:
    """Return how long half and a quarter of the channels take, in times of all."""
    record = recorded(name)
    rows = [
        [
            f"{row['model']}, batch {row['batch']}",
            *(f"{row[f'times_full_{size}']:.2f}" for size in ("half", "quarter")),
            *(f"{row[f'flops_{size}'] / row['flops_full']:.2f}" for size in ("half", "quarter")),
        ]
        for row in record["figures"]
    ]
    header = ["network", "half the channels", "a quarter", "FLOPs of half", "FLOPs of a quarter"]
    return markdown(header, rows) + footnote(record)


def structured_tracing(name: str) -> list[str]:
    """Return how long groups take to be found."""
    record = recorded(name)
    rows = [
        [
            row["network"],
            f"{row['groups']}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['times_make_jaxpr']:.1f}",
        ]
        for row in record["figures"]
    ]
    header = ["network", "groups", "CPU-seconds", "times `make_jaxpr`"]
    return markdown(header, rows) + footnote(record)
