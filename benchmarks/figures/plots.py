"""How each figure of docs is drawn; every figure shows its control.

A function here takes an empty figure and the figures of a record, and calls methods of the former
only, so that matplotlib is imported where figures are written and nowhere else.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.figures.marks import (
    CONTROL,
    NOTHING,
    OTHER,
    OURS,
    PEER,
    PLAIN,
    Rows,
    bars,
    dots,
    grouped,
    legend,
    spread,
)
from benchmarks.figures.zeros import lottery, pruning

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plot(NamedTuple):
    """A figure of docs.

    Attributes:
        record: the name of the record that it is drawn from.
        words: what it shows, for those who cannot see it.
        size: width and height in inches.
        draw: `draw(figure, figures of the record)`.
    """

    record: str
    words: str
    size: tuple[float, float]
    draw: Callable[[Figure, Any], None]


def structured(figure: Figure, rows: Rows) -> None:
    """Draw the time of a call over the FLOPs that are kept."""
    axes = figure.subplots()
    networks = list(dict.fromkeys(row["model"] for row in rows))
    for row in rows:
        flops = [row[f"flops_{size}"] / row["flops_full"] for size in ("full", "half", "quarter")]
        axes.plot(
            flops,
            [1, row["times_full_half"], row["times_full_quarter"]],
            color=(PLAIN, OTHER, OURS)[networks.index(row["model"])],
            linestyle="-" if row["batch"] == 1 else ":",
            marker="o",
            markersize=4,
            label=f"{row['model']}, batch {row['batch']}",
        )
    axes.plot([0, 1], [0, 1], label="as the FLOPs", **CONTROL)
    axes.set(xlabel="FLOPs, of the full network's", ylabel="time, of the full network's")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    legend(figure, 2)


def sharing(figure: Figure, rows: Rows) -> None:
    """Draw the bytes of each quantizer at the accuracy of 16 values a layer."""
    axes = figure.subplots()
    methods = {
        "kmeans": ("kmeans, 16 values", NOTHING),
        "uniform": ("uniform", PLAIN),
        "entropy": ("entropy_constrained", OURS),
        "fitted": ("fit_levels, with data", OTHER),
        "nncodec": ("NNCodec", PEER),
    }
    groups = grouped(rows, lambda row: f"{row['net']}\n{row['sparsity']:.0%} pruned")
    cells = {
        label: [
            statistics.mean(
                [r["times_kmeans16_bound"] for r in group if r["method"] == method] or [0]
            )
            for group in groups.values()
        ]
        for method, (label, _) in methods.items()
    }
    bars(axes, list(groups), cells, [color for _, color in methods.values()])
    axes.axvline(1, label="bound of 16 values", **CONTROL)
    axes.set(xlabel="file, of the entropy bound of 16 values a layer")
    legend(figure, 2)


def quantization(figure: Figure, rows: Rows) -> None:
    """Draw accuracy over the bits of weights, for each way to round, and two networks."""
    bits = [8, 4, 2, 1]
    ways = {"nearest": PLAIN, "fitted to the inputs": OURS, "trained": OTHER}
    networks = ("cifar", "resnet20")
    for axes, network in zip(figure.subplots(2, sharex=True), networks, strict=True):
        mine = [row for row in rows if row["model"] == network]
        for how, color in ways.items():
            found = {
                count: [
                    line["accuracy"]
                    for row in mine
                    for line in row["rounded"]
                    if (line["how"], line["weight_bits"], line["arithmetic"])
                    == (how, count, "simulated")
                ]
                for count in bits
            }
            found = {count: values for count, values in found.items() if values}
            places = [bits.index(count) for count in found]
            spread(axes, places, list(found.values()), label=how, color=color)
        floats = statistics.mean(row["float"] for row in mine)
        longer = statistics.mean(row["control"] for row in mine)
        axes.axhline(100 * floats, label="float32", **CONTROL)
        axes.axhline(100 * longer, label="float32, trained as long", **CONTROL | {"linestyle": ":"})
        axes.set_title(network, fontsize=9)
        axes.set(ylabel="test accuracy, %")
        axes.set_xticks(range(len(bits)), [str(count) for count in bits])
    figure.axes[1].set_xlabel("bits of weights (activations have 8)")
    legend(figure, 2)


def lowrank(figure: Figure, record: dict[str, Rows]) -> None:
    """Draw the speed of thin layers beside the speed that their FLOPs alone would give."""
    axes = figure.subplots()
    rows = record["layers"]
    labels = [f"{row['layer']}\nrank {row['rank']}, batch {row['batch']}" for row in rows]
    axes.barh(labels, [row["times_as_fast"] for row in rows], color=OURS, label="measured")
    flops = [1 / row["fraction_of_flops"] for row in rows]
    axes.plot(flops, labels, "|", color="black", markersize=14, label="if time fell as the FLOPs")
    axes.axvline(1, label="dense", **CONTROL)
    axes.invert_yaxis()
    axes.set(xlabel="times as fast as the dense layer")
    axes.tick_params(axis="y", labelsize=8)
    legend(figure, 3)


def distillation(figure: Figure, rows: Rows) -> None:
    """Draw students beside their teacher and the same student from scratch."""
    axes = figure.subplots()
    groups = list(grouped(rows, lambda row: row["order"]).values())
    labels = [
        f"{runs[0]['parameter_ratio']:.0f}x smaller, {runs[0]['images'] // 1000}k of\n"
        f"{runs[0]['teacher']['images'] // 1000}k images"
        for runs in groups
    ]
    last = "distilled + tuned"  # taught by the teacher, where no student stood between
    ways = {
        "teacher": ("black", lambda run: "baseline"),
        "from scratch": (NOTHING, lambda run: "student from scratch"),
        "taught by the teacher": (
            OURS,
            lambda run: "single stage + tuned" if run["taught"] > 1 else last,
        ),
        "taught by students between": (OTHER, lambda run: last if run["taught"] > 1 else ""),
    }
    for number, (label, (color, stage)) in enumerate(ways.items()):
        found = [
            [run["accuracy"][stage(run)] for run in runs if stage(run) in run["accuracy"]]
            for runs in groups
        ]
        dots(axes, found, label, color, 0.14 * (number - 1.5))
    axes.set_yticks(range(len(groups)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy, %")
    legend(figure, 2)


def blocks(figure: Figure, rows: Rows) -> None:
    """Draw accuracy before and after training, of a transformer that was made smaller."""
    axes = figure.subplots()
    groups = list(grouped(rows, lambda row: row["order"]).values())
    shortest = min(row["epochs"] for row in rows)
    before = [
        [run["before"] for run in runs if runs[0]["epochs"] == shortest] for runs in groups
    ]  # from scratch, nothing was there before
    after = [[run["accuracy"] for run in runs] for runs in groups]
    dots(axes, before, "before training", PLAIN)
    dots(axes, after, "after training", OURS)
    control = 100 * statistics.mean(run["accuracy"] for run in groups[0])
    axes.axvline(control, label="all blocks, trained as long", **CONTROL)
    labels = [f"{runs[0]['method']}\n({runs[0]['from']})" for runs in groups]
    axes.set_yticks(range(len(groups)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy, %")
    legend(figure, 2)


def packing(figure: Figure, record: dict[str, Rows]) -> None:
    """Draw how far the file of each layout is from the entropy bound."""
    axes = figure.subplots()
    rows = record["sizes"]
    labels = [f"{row['net']}\n{row['sparsity']:.0%} pruned" for row in rows]
    cells = {
        layout: [row["percent_above_bound"][layout] for row in rows]
        for layout in ("csr", "packed", "entropy")
    }
    bars(axes, labels, cells, [NOTHING, PLAIN, OURS])
    axes.axvline(0, label="bound", **CONTROL)
    axes.set(xlabel="file above the entropy bound, %")
    legend(figure, 4)


def minilm(figure: Figure, rows: Rows) -> None:
    """Draw the size against the mean cosine, for each way to make the transformer smaller."""
    axes = figure.subplots()
    lines = {
        "1,024": "levels by data, 1,024 sentences",
        "32 sentences": "levels by data, 32 sentences",
        "NNCodec": "NNCodec, without data",
        "words by": "measured step sizes, a price of bits, words by frequency",
    }
    kinds = lines | {
        "measured": "measured step sizes alone; with a price of bits",
        "fitted": "INT4 and mixed bits, fitted rounding",
        "pack": "jaxcompress pack, without data",
        "INT8": "INT8, also of fewer blocks, heads, ranks",
        "": "others",
    }  # by words of the name; the first that fits
    left = [row for row in rows if row["ratio"] > 2]
    for words, label in kinds.items():
        mine = sorted((r for r in left if words in r["name"]), key=lambda row: row["ratio"])
        left = [row for row in left if row not in mine]
        ratios, cosines = ([row[field] for row in mine] for field in ("ratio", "cosine_mean"))
        axes.plot(ratios, cosines, "o-" if words in lines else "o", label=label)
    axes.plot([4, 8], [0.99, 0.97], "+", markersize=12, color="black", label="aims")
    axes.set(xlabel="times smaller than float32", ylabel="mean cosine of embeddings")
    axes.set_ylim(0.9, 1.002)
    legend(figure, 1)


PLOTS = {
    "pruning": Plot(
        "second_order",
        "test accuracy over the fraction of weights removed, by fit_mask, by magnitude, at random",
        (4.6, 3.8),
        pruning,
    ),
    "lottery": Plot(
        "lottery",
        "test accuracy over the fraction of weights removed, of tickets and their controls",
        (4.6, 5.6),
        lottery,
    ),
    "structured": Plot(
        "structured_latency",
        "time of a call over the FLOPs kept, three networks, one image and 64",
        (4.6, 4.6),
        structured,
    ),
    "sharing": Plot(
        "quantizers",
        "bytes of a file by quantizer, eight networks, against K-Means with 16 values",
        (4.6, 5.2),
        sharing,
    ),
    "quantization": Plot(
        "quantization_accuracy",
        "test accuracy over the bits of weights: rounded to nearest, fitted, trained, in float32",
        (4.6, 5.4),
        quantization,
    ),
    "lowrank": Plot(
        "lowrank",
        "how many times as fast layers of low rank are, beside what their FLOPs alone would give",
        (4.6, 4.2),
        lowrank,
    ),
    "distillation": Plot(
        "distillation",
        "test accuracy of students that were taught, of the same from scratch, of the teacher",
        (4.6, 4),
        distillation,
    ),
    "blocks": Plot(
        "vit_accuracy",
        "test accuracy of smaller vision transformers before and after training",
        (4.6, 4.8),
        blocks,
    ),
    "packing": Plot(
        "sizes",
        "size of a file above or below the entropy bound, by layout, eight networks",
        (4.6, 5.2),
        packing,
    ),
    "minilm": Plot(
        "minilm",
        "times smaller against the mean cosine of embeddings, for each way to compress MiniLM",
        (4.6, 4.8),
        minilm,
    ),
}
"""By name of the file in docs/figures."""
