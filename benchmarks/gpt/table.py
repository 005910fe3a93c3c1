"""The table of the language model."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import FILES, INTEGERS
from benchmarks.lib.record import Figures, Record

Row = Mapping[str, Any]


def gpt(record: Figures) -> list[str]:
    """Return one row for each setting; of GGUF's also what we take at the same divergence."""
    names = list(dict.fromkeys(row["name"] for row in record["figures"]))
    groups = [[row for row in record["figures"] if row["name"] == name] for name in names]
    curve = [
        (_mean(rows, "divergence"), _mean(rows, "file_bytes")) for rows in groups if _ours(rows)
    ]
    header = [
        "way",
        "quantizer",
        "file bytes",
        "bits a weight",
        "perplexity",
        "KL, nats",
        "ours at this KL",
    ]
    cells = []
    for rows in groups:
        size, found = _mean(rows, "file_bytes"), _mean(rows, "divergence")
        equal = None if _ours(rows) else bytes_at(curve, found)
        cells.append(
            [
                rows[0]["name"],
                rows[0]["quantizer"],
                f"{size:,.0f}",
                f"{8 * size / rows[0]['weights']:.2f}",
                spread([row["perplexity"] for row in rows]),
                spread([row["divergence"] for row in rows], 5),
                "" if equal is None else f"{equal:,.0f} bytes, {equal / size:.2f}x",
            ]
        )
    first = record["figures"][0]
    more = (
        f" {first['weights']:,} weights, {4 * first['weights']:,} bytes in float32; perplexity "
        f"{first['perplexity_float32']:.2f} in float32. {first['tokens']:,} tokens of test pages. "
        "Mean (range) over seeds, which draw the pages for calibration, where there are several."
    )
    return markdown(header, cells, left=2) + footnote(record, more)


def bytes_at(curve: Sequence[tuple[float, float]], divergence: float) -> float | None:
    """Return the bytes at a divergence, linear in its logarithm; None beyond the curve.

    Example:
        >>> bytes_at([(0.01, 400.0), (0.1, 300.0), (1.0, 100.0)], 10**-1.5)
        350.0
    """
    divergences, sizes = zip(*sorted(curve), strict=True)
    if not divergences[0] <= divergence <= divergences[-1]:
        return None
    return float(round(np.interp(np.log(divergence), np.log(divergences), sizes), 6))


def _ours(rows: Sequence[Row]) -> bool:
    return rows[0]["quantizer"] == "ours"


def _mean(rows: Sequence[Row], field: str) -> float:
    return mean(row[field] for row in rows)


RECORDS = (
    GPT := Record(
        "gpt",
        "bytes, perplexity and divergence of a language model, beside GGUF's formats",
        (*FILES, *INTEGERS, "nets/gpt.py", "nets/transformer.py"),
        {"gpt": gpt},
    ),
)
