"""The table of quantizers."""

from itertools import groupby
from math import exp, log
from typing import Any

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, INTEGERS, SHARING
from benchmarks.lib.record import Figures, Record

METHODS = ("uniform", "entropy", "fitted", "nncodec")


def quantizers(record: Figures) -> list[str]:
    """Return the size of each quantizer against K-Means, and what that does to test accuracy."""

    def network(row: dict[str, Any]) -> tuple[str, float]:
        return row["net"], row["sparsity"]

    rows, ratios = [], []
    for (net, sparsity), group in groupby(record["figures"], network):
        found = {row["method"]: row for row in group}
        cells = [f"{net}, {sparsity:.0%}", f"{found['kmeans']['bound_bytes']:,}"]
        cells.append(f"{found['kmeans']['times_kmeans16_bound']:.2f}")
        for method in METHODS:
            row = found.get(method)
            if row is None:
                cells.append("-")
                continue
            points = 100 * (row["test_accuracy"] - found["kmeans"]["test_accuracy"])
            cells.append(f"{row['times_kmeans16_bound']:.2f} ({points:+.2f})")
        fitted, peer = found.get("fitted"), found.get("nncodec")
        if fitted and peer:
            ratios.append(fitted["file_bytes"] / peer["file_bytes"])
            cells.append(f"{ratios[-1]:.2f}")
        else:
            cells.append("-")
        cells.append(f"{fitted['gap_bits']:.2f}" if fitted else "-")
        rows.append(cells)
    header = ["network", "bound of 16 values, bytes", "K-Means, 16 values", "`uniform`"]
    header += ["`entropy_constrained`", "`fit_levels`", "NNCodec", "`fit_levels` / NNCodec"]
    header += ["bits above the limit"]
    more = (
        " Files, as multiples of the bound; in brackets test accuracy against K-Means, in points. "
        "Only `fit_levels` sees data: 1,024 training images, without labels. Bits a weight above "
        "the limit are those of `rate_gaps`, for its file."
    )
    if older := sorted({row["commit"] for row in record["figures"] if "commit" in row}):
        nets = dict.fromkeys(row["net"] for row in record["figures"] if "commit" in row)
        more += f" {', '.join(nets)} at {', '.join(older)}."
    if ratios:
        mean = exp(sum(map(log, ratios)) / len(ratios))
        more += f" Geometric mean of `fit_levels` / NNCodec: {mean:.2f}."
    return markdown(header, rows) + footnote(record, more)


RECORDS = (
    QUANTIZERS := Record(
        "quantizers",
        "bytes of each quantizer and of NNCodec at the accuracy of 16 values a layer",
        (*FILES, *SHARING, *INTEGERS),
        {"quantizers": quantizers},
    ),
)
