"""The table of quantizers."""

from itertools import groupby
from typing import Any

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, SHARING
from benchmarks.lib.record import Figures, Record


def quantizers(record: Figures) -> list[str]:
    """Return the size of each quantizer against K-Means, and what that does to test accuracy."""

    def network(row: dict[str, Any]) -> tuple[str, float]:
        return row["net"], row["sparsity"]

    rows = []
    for (net, sparsity), group in groupby(record["figures"], network):
        found = {row["method"]: row for row in group}
        cells = [f"{net}, {sparsity:.0%}", f"{found['kmeans']['bound_bytes']:,}"]
        cells.append(f"{found['kmeans']['times_kmeans16_bound']:.2f}")
        for method in ("uniform", "entropy", "nncodec"):
            row = found.get(method)
            if row is None:
                cells.append("-")
                continue
            points = 100 * (row["test_accuracy"] - found["kmeans"]["test_accuracy"])
            cells.append(f"{row['times_kmeans16_bound']:.2f} ({points:+.2f})")
        rows.append(cells)
    header = ["network", "bound of 16 values, bytes", "K-Means, 16 values", "`uniform`"]
    header += ["`entropy_constrained`", "NNCodec"]
    more = (
        " Files, as multiples of the bound; in brackets test accuracy against K-Means, in points."
    )
    return markdown(header, rows) + footnote(record, more)


RECORDS = (
    QUANTIZERS := Record(
        "quantizers",
        "bytes of each quantizer and of NNCodec at the accuracy of 16 values a layer",
        (*FILES, *SHARING),
        {"quantizers": quantizers},
    ),
)
