"""The tables of quantization."""

import statistics
from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import FILES, INTEGERS, TRAINING
from benchmarks.lib.record import Figures, Record


def quantization_accuracy(record: Figures) -> list[str]:
    """Return one row for each network and way to round: accuracy against float."""
    rows = []
    for model, group in groupby(record["figures"], lambda row: row["model"]):
        runs = list(group)
        for figures in zip(*(run["rounded"] for run in runs), strict=True):
            first = figures[0]
            before = "control" if first["how"] == "trained" else "float"
            rows.append(
                [
                    f"{model}, {first['how']}",
                    str(first["weight_bits"]),
                    first["arithmetic"],
                    spread([100 * run[before] for run in runs]),
                    spread([100 * figure["accuracy"] for figure in figures]),
                    spread(
                        [
                            100 * (figure["accuracy"] - run[before])
                            for figure, run in zip(figures, runs, strict=True)
                        ]
                    ),
                ]
            )
    header = ["network, rounding", "bits of weights", "integers", "float %", "rounded %"]
    header += ["against float, points"]
    return markdown(header, rows) + footnote(record, _trained(record["figures"]))


def _trained(figures: list[dict[str, Any]]) -> str:
    parts = [" Mean (range) over the seeds. Activations always have 8 bits."]
    for model, group in groupby(figures, lambda row: row["model"]):
        runs = list(group)
        row, seeds = runs[0], ", ".join(str(run["seed"]) for run in runs)
        agreement = spread([100 * run["agreement"] for run in runs])
        parts.append(
            f"{model}: seeds {seeds}; {row['images']:,} images, {row['epochs']} epochs"
            + (f", {row['finetune']} more for trained rows" if row["finetune"] else "")
            + f"; integers predict what their simulation does for {agreement} % of 1024 images."
        )
    return " ".join(parts)


def quantization_sizes(record: Figures) -> list[str]:
    """Return the sizes of int8 files as fractions of the float32 file."""
    rows = []
    for model, group in groupby(record["figures"], lambda row: row["model"]):
        runs = list(group)
        for kind in runs[0]["int8_bytes"]:
            layout, grid = kind.split(", ")
            fractions = [run["int8_bytes"][kind] / run["float32_bytes"] for run in runs]
            size = statistics.mean(run["int8_bytes"][kind] for run in runs)
            rows.append([model, f"`{layout}`", f"a {grid}", f"{size:,.0f}", spread(fractions, 3)])
        fractions = [run["onnx_int8_bytes"] / run["onnx_float32_bytes"] for run in runs]
        size = statistics.mean(run["onnx_int8_bytes"] for run in runs)
        rows.append([model, "ONNX", "a channel", f"{size:,.0f}", spread(fractions, 3)])
    header = ["network", "file", "one grid", "bytes", "times float32"]
    return markdown(header, rows) + footnote(record)


def quantization_latency(record: Figures) -> list[str]:
    """Return how many times as fast ONNX Runtime is as JAX."""
    rows = [
        [
            f"{row['model']}, batch {row['batch']}",
            f"{row['jax_times_float32']:.1f}x",
            f"{row['jax_times_int8']:.1f}x",
            ", ".join(f"{count} {kind}" for kind, count in row["integer_kernels"].items()),
        ]
        for row in record["figures"]
    ]
    header = ["network", "ONNX Runtime, float32", "ONNX Runtime, int8", "integer products"]
    return markdown(header, rows) + footnote(record)


_NETS = ("nets/resnet.py", "nets/small_cifar.py")
RECORDS = (
    ACCURACY := Record(
        "quantization_accuracy",
        "accuracy and bytes of weights of 8 bits and fewer, simulated and in integers",
        (*FILES, *INTEGERS, *TRAINING, *_NETS, "jaxcompress/onnx", "pipelines/stages/integers.py"),
        {"quantization_accuracy": quantization_accuracy, "quantization_sizes": quantization_sizes},
        "30 a seed",
    ),
    LATENCY := Record(
        "quantization_latency",
        "time of ONNX Runtime, in integers and floats, beside JAX",
        (*INTEGERS, *_NETS, "jaxcompress/compiled.py", "jaxcompress/onnx"),
        {"quantization_latency": quantization_latency},
    ),
)
