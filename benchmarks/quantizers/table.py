"""The table of quantizers."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import geometric_mean, mean
from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import FILES, INTEGERS, SHARING
from benchmarks.lib.record import Figures, Record

METHODS = ("uniform", "entropy", "fitted", "nncodec")


def quantizers(record: Figures) -> list[str]:
    """Return the size of each quantizer against K-Means, and what that does to test accuracy."""

    def network(row: dict[str, Any]) -> tuple[str, float]:
        return row["net"], row["sparsity"]

    rows, means = [], []
    for (net, sparsity), group in groupby(record["figures"], network):
        seeds = _by_seed(group)
        count = f", {len(seeds)} seeds" if len(seeds) > 1 else ""
        cells = [f"{net}, {sparsity:.0%}{count}", f"{_mean(seeds, 'kmeans', 'bound_bytes'):,.0f}"]
        cells.append(f"{_mean(seeds, 'kmeans', 'times_kmeans16_bound'):.2f}")
        cells += [_multiple(seeds, method) for method in METHODS]
        ratios = [
            found["fitted"]["file_bytes"] / found["nncodec"]["file_bytes"]
            for found in seeds
            if {"fitted", "nncodec"} <= found.keys()
        ]
        if ratios:
            means.append(geometric_mean(ratios))
        cells.append(spread(ratios) if ratios else "-")
        has_gap = all("fitted" in found for found in seeds)
        cells.append(f"{_mean(seeds, 'fitted', 'gap_bits'):.2f}" if has_gap else "-")
        rows.append(cells)
    header = ["network", "bound of 16 values, bytes", "K-Means, 16 values", "`uniform`"]
    header += ["`entropy_constrained`", "`fit_levels`", "NNCodec", "`fit_levels` / NNCodec"]
    header += ["bits above the limit"]
    more = (
        " Files, as multiples of the bound; in brackets test accuracy against K-Means, in points. "
        "Means over the seeds; of the ratio their range. "
        "Only `fit_levels` sees data: 1,024 training images, without labels. Bits a weight above "
        "the limit are those of `rate_gaps`, for its file."
    )
    if older := sorted({row["commit"] for row in record["figures"] if "commit" in row}):
        nets = dict.fromkeys(row["net"] for row in record["figures"] if "commit" in row)
        more += f" {', '.join(nets)} at {', '.join(older)}."
    if means:
        more += f" Geometric mean of `fit_levels` / NNCodec: {geometric_mean(means):.2f}."
    return markdown(header, rows) + footnote(record, more)


def _by_seed(rows: Iterable[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """Return for each seed its rows by method."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.get("seed", 0), {})[row["method"]] = row
    return list(found.values())


def _mean(seeds: Sequence[dict[str, dict[str, Any]]], method: str, field: str) -> float:
    return mean(found[method][field] for found in seeds)


def _multiple(seeds: Sequence[dict[str, dict[str, Any]]], method: str) -> str:
    """Return the bytes of a method and its accuracy, both against K-Means."""
    if not all(method in found for found in seeds):
        return "-"
    points = 100 * mean(
        found[method]["test_accuracy"] - found["kmeans"]["test_accuracy"] for found in seeds
    )
    return f"{_mean(seeds, method, 'times_kmeans16_bound'):.2f} ({points:+.2f})"


RECORDS = (
    QUANTIZERS := Record(
        "quantizers",
        "bytes of each quantizer and of NNCodec at the accuracy of 16 values a layer",
        (*FILES, *SHARING, *INTEGERS),
        {"quantizers": quantizers},
    ),
)
