"""What figures are made of: means of seeds with their ranges, bars, colors, legends."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = list[dict[str, Any]]

OURS, PLAIN, OTHER, PEER = "#0060a8", "#d9730d", "#3a8f3a", "#9467bd"
CONTROL = {"color": "black", "linewidth": 1, "linestyle": "--"}
NOTHING = "#8c8c8c"


def spread(
    axes: Axes,
    places: Sequence[float],
    groups: list[list[float]],
    *,
    label: str,
    color: str,
    line: str = "-",
) -> None:
    """Draw the means of several seeds, in percent, with their ranges."""
    means, away = _ranges(groups)
    axes.errorbar(
        places, means, away, label=label, color=color, marker="o", ms=4, ls=line, capsize=3
    )


def dots(axes: Axes, groups: list[list[float]], label: str, color: str, lower: float = 0) -> None:
    """Draw the means of several seeds, in percent, one below the other, with their ranges."""
    places = [place + lower for place, values in enumerate(groups) if values]
    means, away = _ranges([values for values in groups if values])
    axes.errorbar(
        means, places, xerr=away, label=label, color=color, marker="o", ms=5, ls="", capsize=3
    )


def _ranges(groups: list[list[float]]) -> tuple[list[float], list[list[float]]]:
    means = [100 * statistics.mean(values) for values in groups]
    pairs = list(zip(means, groups, strict=True))
    lower = [mean - 100 * min(values) for mean, values in pairs]
    return means, [lower, [100 * max(values) - mean for mean, values in pairs]]


def bars(
    axes: Axes, labels: list[str], cells: Mapping[str, Sequence[float]], colors: Sequence[str]
) -> None:
    """Draw a bar for each cell, those of a label side by side, the first label on top."""
    width = 0.8 / len(cells)
    for number, ((name, values), color) in enumerate(zip(cells.items(), colors, strict=True)):
        places = [row - 0.4 + (number + 0.5) * width for row in range(len(labels))]
        axes.barh(places, values, height=width, label=name, color=color)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()


def legend(figure: Figure, columns: int) -> None:
    """Say below the axes what all colors and lines are."""
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
    )


def grouped(rows: Rows, key: Callable[[dict[str, Any]], Any]) -> dict[Any, Rows]:
    """Return neighbouring rows of one key."""
    return {name: list(group) for name, group in groupby(rows, key)}
