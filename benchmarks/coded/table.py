"""The table of weights that stay coded in memory."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.record import Figures, Record

_MB = 1e6
_KEPT, _CODED, _DENSE = "a byte a weight", "coded", "float32"


def coded(record: Figures) -> list[str]:
    """Return how long calls take, and what memory they need."""
    rows = []
    for row in record["figures"]:
        memory = row["memory"]
        rows.append([row["network"], str(row["batch"])])
        rows[-1] += [f"{row['times_as_long'][way]:.2f}x" for way in (_CODED, _KEPT)]
        rows[-1] += ["yes" if row["same_bits"] else "no"]
        for way in (_DENSE, _CODED):
            arguments, temporary = memory[way]["argument_bytes"], memory[way]["temporary_bytes"]
            rows[-1] += [f"{arguments / _MB:.1f} + {temporary / _MB:.1f}"]
            rows[-1] += [f"{memory[way]['resident_bytes'] / _MB:.0f}"]
    header = ["network", "batch", "time coded", "a byte a weight", "same bits"]
    header += ["float32: arguments + temporaries, MB", "resident, MB"]
    header += ["coded: arguments + temporaries, MB", "resident, MB"]
    return markdown(header, rows) + footnote(record)


RECORDS = (
    CODED_WEIGHTS := Record(
        "coded",
        "time and memory of weights that stay entropy-coded in memory, beside float32",
        (
            "jaxcompress/compiled.py",
            "jaxcompress/execution",
            "jaxcompress/leaves/_coded.py",
            "jaxcompress/leaves/_decoding.py",
            "jaxcompress/packing/lanes.py",
            "jaxcompress/packing/frequencies.py",
        ),
        {"coded": coded},
    ),
)
