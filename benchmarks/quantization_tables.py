"""The tables of quantization."""

import statistics
from itertools import groupby
from typing import Any

from benchmarks.markdown import footnote, markdown, recorded, spread


def quantization_accuracy(name: str) -> list[str]:
    """Return one row for each network and way to round: accuracy against float."""
    record = recorded(name)
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


def quantization_sizes(name: str) -> list[str]:
    """Return the sizes of int8 files as fractions of the float32 file."""
    record = recorded(name)
    rows = []
    for model, group in groupby(record["figures"], lambda row: row["model"]):
        runs = list(group)
        for kind in runs[0]["int8_bytes"]:
            layout, grid = kind.split(", ")
            shares = [run["int8_bytes"][kind] / run["float32_bytes"] for run in runs]
            size = statistics.mean(run["int8_bytes"][kind] for run in runs)
            rows.append([model, f"`{layout}`", f"a {grid}", f"{size:,.0f}", spread(shares, 3)])
        shares = [run["onnx_int8_bytes"] / run["onnx_float32_bytes"] for run in runs]
        size = statistics.mean(run["onnx_int8_bytes"] for run in runs)
        rows.append([model, "ONNX", "a channel", f"{size:,.0f}", spread(shares, 3)])
    header = ["network", "file", "one grid", "bytes", "times float32"]
    return markdown(header, rows) + footnote(record)


def quantization_latency(name: str) -> list[str]:
    """Return how many times as fast ONNX Runtime is as JAX."""
    record = recorded(name)
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


def execution(name: str) -> list[str]:
    """Return how many times as fast products with integer weights are, and their memory."""
    record = recorded(name)
    rows = []
    for row in record["figures"]:
        memory = {
            kind: row["argument_bytes"][kind] + row["temporary_bytes"][kind]
            for kind in row["argument_bytes"]
        }
        rows.append(
            [
                f"`{row['weights']}`",
                str(row["batch"]),
                f"{row['times_as_fast']['int8']:.2f}x",
                f"{row['times_as_fast']['int8, made dense']:.2f}x",
                f"{row['argument_bytes']['float32'] / row['argument_bytes']['int8']:.2f}x",
                f"{memory['float32'] / memory['int8']:.2f}x",
            ]
        )
    header = ["1024x4096 weights", "batch", "`execute`", "made dense first"]
    header += ["smaller arguments", "with temporaries"]
    return markdown(header, rows) + footnote(record)
