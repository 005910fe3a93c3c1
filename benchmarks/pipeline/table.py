"""The tables of the whole pipeline, and the one row at the top of README."""

import statistics
from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import FILES, MASKS, SHARING, TRAINING
from benchmarks.lib.record import Figures, Record


def headline(record: Figures) -> list[str]:
    """Return the default compression of a record of `benchmarks.pipeline` as one row."""
    runs = [run for run in record["figures"] if run["quantizer"] == "entropy"]
    every = record["figures"]
    controls = [run["control_accuracy"] for run in every if run["control_accuracy"] is not None]
    machine, _, cores = record["hardware"].partition(", ")
    before = statistics.mean(run["baseline_bytes"] for run in runs)
    after = statistics.mean(run["compressed_bytes"] for run in runs)

    def percent(accuracies: list[float]) -> str:
        return spread([100 * accuracy for accuracy in accuracies])

    header = ["network, data", "accuracy before, %", "after, %", "control, %"]
    header += ["bytes before", "after", "hardware"]
    row = [
        "SmallCIFARNet, digits; 90 % pruned, shared",
        percent([run["baseline_accuracy"] for run in runs]),
        percent([run["reloaded_accuracy"] for run in runs]),
        percent(controls),
        f"{before:,.0f}",
        f"{after:,.0f}, {before / after:.1f}x smaller",
        f"{machine.partition(' avx')[0]}, {cores}",
    ]
    return markdown(header, [row]) + footnote(record, " Mean (range) over the seeds.")


def pipeline(record: Figures) -> list[str]:
    """Return one row for each sparsity and quantizer: accuracy, control, bytes."""

    def setting(run: dict[str, Any]) -> tuple[float, str]:
        fineness = f"step size {run['step_size']}" if run["step_size"] else f"k = {run['clusters']}"
        return run["sparsity"], f"{run['sparsity']:.0%}, {run['quantizer']}, {fineness}"

    controls = {
        run["seed"]: run["control_accuracy"]
        for run in record["figures"]
        if run["control_accuracy"] is not None
    }
    rows = []
    for (_, label), group in groupby(sorted(record["figures"], key=setting), setting):
        runs = [run | {"control_accuracy": controls[run["seed"]]} for run in group]

        def percent(field: str, runs: list[dict[str, Any]] = runs) -> str:
            return spread([100 * run[field] for run in runs])

        rows.append(
            [
                label,
                percent("baseline_accuracy"),
                percent("control_accuracy"),
                percent("reloaded_accuracy"),
                spread([100 * (r["reloaded_accuracy"] - r["control_accuracy"]) for r in runs]),
                f"{runs[0]['baseline_bytes']:,}",
                f"{statistics.mean(r['compressed_bytes'] for r in runs):,.0f}",
                f"{statistics.mean(r['ratio'] for r in runs):.1f}x",
                spread([r["seconds"] / 60 for r in runs], 1),
            ]
        )
    header = ["setting", "baseline %", "control %", "compressed %", "against control, points"]
    header += ["float32 bytes", "file bytes", "ratio", "minutes"]
    return markdown(header, rows) + footnote(record, " Mean (range) over the seeds.")


_MEASURED = (
    *FILES,
    *MASKS,
    *SHARING,
    *TRAINING,
    "jaxcompress/optim",
    "pipelines/stages/pruning.py",
)
_SHOWS = "accuracy and bytes of the whole pipeline beside the dense control, on "
_CIFAR, _FRUITS = "nets/small_cifar.py", "nets/fruits_fusion.py"

BY_DATA = {
    "digits": Record(
        "pipeline_digits",
        f"{_SHOWS}8x8 digits",
        (*_MEASURED, _CIFAR, "pipelines/data/digits.py"),
        {"pipeline_digits": pipeline, "headline": headline},
        "10",
    ),
    "fashion_mnist": Record(
        "pipeline_fashion_mnist",
        f"{_SHOWS}Fashion-MNIST",
        (*_MEASURED, _CIFAR, "pipelines/data/fashion_mnist.py"),
        {"pipeline_fashion_mnist": pipeline},
        "over 130",
    ),
    "rendered_fruits": Record(
        "pipeline_rendered_fruits",
        f"{_SHOWS}rendered fruit",
        (*_MEASURED, _FRUITS, "pipelines/features", "pipelines/data/rendered"),
        {"pipeline_rendered_fruits": pipeline},
        "over 200",
    ),
}
RECORDS = tuple(BY_DATA.values())
