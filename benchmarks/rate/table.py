"""The table of training for rate beside pruning and sharing."""

import statistics
from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import FILES, MASKS, SHARING, TRAINING
from benchmarks.lib.record import Figures, Record

SPARSITIES = (0.5, 0.9)

_NAMES = {
    "lenet-300-100": "LeNet-300-100",
    "lenet-5": "LeNet-5",
    "cifar": "SmallCIFARNet",
    "resnet20": "ResNet-20",
}


def rate(record: Figures) -> list[str]:
    """Return one row for each network, sparsity and asked fraction."""
    figures = record["figures"]
    controls = {
        (run["net"], run["seed"]): run["control_accuracy"]
        for run in figures
        if run["control_accuracy"] is not None
    }
    usual = {_of(run): run for run in figures if run["recipe"] == "prune+share"}
    ours = [run for run in figures if run["recipe"] == "rate"]

    def setting(run: dict[str, Any]) -> tuple[str, float, float]:
        return run["net"], run["sparsity"], run["fraction"]

    rows = []
    for (net, sparsity, _), group in groupby(ours, setting):
        runs = list(group)
        others = [usual[_of(run)] for run in runs]
        rows.append(
            [
                f"{_NAMES[net]}, {sparsity:.0%}, {len(runs)} seed{'s' if len(runs) > 1 else ''}",
                spread([100 * controls[run["net"], run["seed"]] for run in runs]),
                spread([100 * run["reloaded_accuracy"] for run in others]),
                spread([100 * run["reloaded_accuracy"] for run in runs]),
                spread(
                    [
                        100 * (run["reloaded_accuracy"] - other["reloaded_accuracy"])
                        for run, other in zip(runs, others, strict=True)
                    ]
                ),
                f"{statistics.mean(run['compressed_bytes'] for run in others):,.0f}",
                f"{statistics.mean(run['compressed_bytes'] for run in runs):,.0f}",
                spread(
                    [
                        run["compressed_bytes"] / other["compressed_bytes"]
                        for run, other in zip(runs, others, strict=True)
                    ]
                ),
                f"{statistics.mean(run['ratio'] for run in runs):.1f}x",
            ]
        )
    header = ["network, sparsity of prune+share", "control %", "prune+share %", "rate %"]
    header += ["difference, points", "its bytes", "bytes", "of its bytes", "ratio"]
    return markdown(header, rows) + footnote(record, " Mean (range) over the seeds; test images.")


def _of(run: dict[str, Any]) -> tuple[str, float, int]:
    return run["net"], run["sparsity"], run["seed"]


RECORD = Record(
    "rate",
    "training for rate beside pruning and sharing, in equal epochs, asked three quarters of the "
    "bytes",
    (
        *FILES,
        *MASKS,
        *SHARING,
        *TRAINING,
        "jaxcompress/optim",
        "jaxcompress/quantization/_density.py",
        "jaxcompress/quantization/_learned.py",
        "jaxcompress/quantization/_rate.py",
        "pipelines/data/fashion_mnist.py",
        "pipelines/stages/pruning.py",
        "pipelines/stages/rated.py",
    ),
    {"rate": rate},
)
