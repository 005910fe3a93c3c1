"""The table of file sizes."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, SHARING
from benchmarks.lib.record import Figures, Record


def sizes(record: Figures) -> list[str]:
    """Return how far each layout is from the bound, and its speed where that was measured."""
    speeds = {(row["net"], row["sparsity"]): row for row in record["figures"]["speed"]}
    rows = []
    for row in record["figures"]["sizes"]:
        above, speed = row["percent_above_bound"], speeds.get((row["net"], row["sparsity"]), {})
        fields = ("write_times_savez_compressed", "load_times_np_load", "load_times_trusting_load")
        rows.append(
            [
                f"{row['net']}, {row['sparsity']:.0%}",
                f"{row['bound_bytes']:,}",
                f"{row['float32_bytes'] / row['bound_bytes']:.1f}x",
                *(f"{above[layout]:+.2f} %" for layout in ("csr", "packed", "entropy")),
                *(f"{speed[field]:.2f}" if speed else "" for field in fields),
            ]
        )
    header = ["net, sparsity", "bound, bytes", "float32 to bound", "`csr`", "`packed`", "`entropy`"]
    header += ["write `packed`", "load `packed`", "checks"]
    return markdown(header, rows) + footnote(record)


RECORDS = (
    SIZES := Record(
        "sizes",
        "how far each layout is from the entropy bound, and how fast it is written and read",
        (*FILES, *SHARING, "jaxcompress/metrics.py"),
        {"sizes": sizes},
    ),
)
