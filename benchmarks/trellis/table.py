"""The table of trellis-coded quantization beside scalar rounding."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.record import Figures, Record


def trellis(record: Figures) -> list[str]:
    """Return one row for each source and number of bits."""
    rows = [
        [
            row["source"],
            f"{row['bits']:g}",
            f"{row['error']:.4f}",
            *(f"{row[name]:.2f} ({_saved(row, name)})" for name in ("bits_4", "bits_8")),
        ]
        for row in record["figures"]
    ]
    header = ["weights", "scalar, bits", "squared error", "4 states", "8 states"]
    return markdown(header, rows) + footnote(record, " Entropies, in bits a weight.")


def _saved(row: Figures, name: str) -> str:
    return f"{100 * (row[name] / row['bits'] - 1):+.1f} %"


RECORDS = (
    TRELLIS := Record(
        "trellis",
        "bits of trellis-coded quantization beside scalar rounding, at equal error",
        ("jaxcompress/quantization/_rounding.py", "jaxcompress/quantization/_levels.py"),
        {"trellis": trellis},
    ),
)
