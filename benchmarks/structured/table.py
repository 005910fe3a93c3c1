"""The tables of structured pruning."""

from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread, with_earlier
from benchmarks.lib.measured import TRAINING, UNITS
from benchmarks.lib.record import Figures, Record

KEPT, MULTIPLES = (0.8, 0.65, 0.5, 0.35, 0.25), (1, 4, 8)
"""Of the units of each layer, and numbers of which those kept are multiples."""


def structured_accuracy(record: Figures) -> list[str]:
    """Return one row for each reduction and method: accuracy before and after fine-tuning."""
    dense = {
        (run["finetune_epochs"], run["seed"]): 100 * run["accuracy"]["control"]
        for run in record["figures"]
        if "control" in run["accuracy"]
    }

    def row(label: str, runs: list[dict[str, Any]], stage: str, cut: str = "") -> list[str]:
        controls = [dense[run["finetune_epochs"], run["seed"]] for run in runs]
        found = [100 * run["accuracy"][stage] for run in runs]
        return [
            label,
            f"{runs[0]['times_fewer_flops']:.1f}x",
            f"{runs[0]['finetune_epochs']}",
            ", ".join(str(run["seed"]) for run in runs),
            spread(controls),
            spread([100 * run["accuracy"][cut] for run in runs]) if cut else "",
            spread(found),
            spread([a - b for a, b in zip(found, controls, strict=True)]),
        ]

    rows = []
    for _, group in groupby(record["figures"], lambda run: run["order"]):
        runs = list(group)
        last = [stage for stage in runs[0]["accuracy"] if stage.startswith("cut")][-2]
        many = f" ({runs[0]['rounds']})" if runs[0]["rounds"] > 1 else ""
        rows.append(row(runs[0]["method"] + many, runs, "reloaded", last))
        if "small from scratch" in runs[0]["accuracy"]:
            rows.append(row("that size from scratch", runs, "small from scratch"))
    first = record["figures"][0]
    header = ["units removed (rounds)", "fewer FLOPs", "epochs after", "seeds", "control %"]
    header += ["after the last cut %", "in the end %", "against control, points"]
    more = (
        f" Mean (range) over the seeds. {first['images']:,} images, {first['epochs']} epochs, then "
        "those of fine-tuning or of the control; from scratch, all of them."
    )
    return markdown(header, rows) + footnote(record, more)


def structured_latency(record: Figures) -> list[str]:
    """Return the time of half and of a quarter of the channels, relative to all."""
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


def structured_widths(record: Figures) -> list[str]:
    """Return parameters and speed of networks whose widths are multiples of different numbers."""
    rows = [
        [
            f"{row['model']}, batch {row['batch']}",
            f"{row['kept']:g}",
            *(f"{row['parameters'][str(multiple)]:,}" for multiple in MULTIPLES),
            *(f"{row['times_faster'][str(multiple)]:.2f}" for multiple in MULTIPLES),
        ]
        for row in record["figures"]
    ]
    header = ["network", "kept of the units"]
    header += [f"parameters, multiples of {multiple}" for multiple in MULTIPLES]
    header += [f"times faster, of {multiple}" for multiple in MULTIPLES]
    return markdown(header, rows) + footnote(record)


def structured_tracing(record: Figures) -> list[str]:
    """Return how long groups take to be found, now and before."""
    return with_earlier(["network", "groups", "CPU-seconds", "times `make_jaxpr`"], _traced, record)


def _traced(figures: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            row["network"],
            f"{row['groups']}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['times_make_jaxpr']:.1f}",
        ]
        for row in figures
    ]


RECORDS = (
    ACCURACY := Record(
        "structured_accuracy",
        "accuracy after cutting channels, beside the dense control and the size from scratch",
        (*TRAINING, *UNITS, "nets/resnet.py", "pipelines/stages/structured.py"),
        {"structured_accuracy": structured_accuracy},
        "90 a seed",
    ),
    LATENCY := Record(
        "structured_latency",
        "time of networks with half and a quarter of their channels",
        (*UNITS, "jaxcompress/compiled.py", "nets/resnet.py", "nets/small_cifar.py"),
        {"structured_latency": structured_latency},
    ),
    WIDTHS := Record(
        "structured_widths",
        "time of networks whose widths are multiples of 1, 4 and 8",
        (*UNITS, "jaxcompress/compiled.py", "nets/resnet.py", "nets/small_cifar.py"),
        {"structured_widths": structured_widths},
    ),
    TRACING := Record(
        "structured_tracing",
        "how fast groups are found in well-known networks at full size",
        ("jaxcompress/trace", "jaxcompress/units"),
        {"structured_tracing": structured_tracing},
    ),
)
