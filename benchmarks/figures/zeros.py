"""How the figures of pruned weights are drawn."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.figures.marks import (
    CONTROL,
    NOTHING,
    OTHER,
    OURS,
    PLAIN,
    Rows,
    grouped,
    legend,
    spread,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pruning(figure: Figure, rows: Rows) -> None:
    """Draw accuracy over the fraction that is removed, for each way to choose weights."""
    axes = figure.subplots()
    removed = list(dict.fromkeys(row["removed"] for row in rows))
    ways = {"fit_mask": "second order", "magnitude": "magnitude", "at random": "random"}
    for number, (label, field) in enumerate(ways.items()):
        groups = [[row[field] for row in rows if row["removed"] == which] for which in removed]
        places = [place + 0.12 * (number - 1) for place in range(len(removed))]
        spread(axes, places, groups, label=label, color=(OURS, PLAIN, NOTHING)[number], line="")
    axes.axhline(100 * statistics.mean(row["dense"] for row in rows), label="dense", **CONTROL)
    axes.set_xticks(range(len(removed)), removed)
    axes.set(xlabel="weights removed", ylabel="test accuracy, %", ylim=(0, 103))
    legend(figure, 2)


def lottery(figure: Figure, rows: Rows) -> None:
    """Draw accuracy over the fraction that is removed, for tickets and controls of each network."""
    ways = {"ticket": OURS, "fine-tuned": OTHER, "new weights": PLAIN, "random mask": NOTHING}
    networks = list(dict.fromkeys(row["net"] for row in rows))
    every = figure.subplots(len(networks), squeeze=False)[:, 0]
    for axes, network in zip(every, networks, strict=True):
        mine = [row for row in rows if row["net"] == network]
        mine.sort(key=lambda row: row["sparsity"])
        found = grouped(mine, lambda row: row["sparsity"])
        for number, (way, color) in enumerate(ways.items()):
            groups = [[row[way] for row in runs] for runs in found.values()]
            places = [place + 0.08 * (number - 1.5) for place in range(len(found))]
            spread(axes, places, groups, label=way, color=color)
        axes.axhline(100 * statistics.mean(row["dense"] for row in mine), label="dense", **CONTROL)
        axes.set_xticks(range(len(found)), [f"{sparsity:.0%}" for sparsity in found])
        axes.set_title(network, fontsize=9)
        axes.set(ylabel="test accuracy, %")
    figure.axes[-1].set_xlabel("weights removed")
    legend(figure, 3)
