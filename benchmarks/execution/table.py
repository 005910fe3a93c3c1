"""The table of products with integer weights."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.record import Figures, Record


def execution(record: Figures) -> list[str]:
    """Return how many times as fast products with integer weights are, and their memory."""
    rows = []
    for row in record["figures"]:
        memory = {
            kind: row["argument_bytes"][kind] + row["temporary_bytes"][kind]
            for kind in row["argument_bytes"]
        }
        rows.append(
            [
                f"`{row['weights']}`",
                str(row["batch"]),
                f"{row['times_as_fast']['int8']:.2f}x",
                f"{row['times_as_fast']['int8, made dense']:.2f}x",
                f"{row['argument_bytes']['float32'] / row['argument_bytes']['int8']:.2f}x",
                f"{memory['float32'] / memory['int8']:.2f}x",
            ]
        )
    header = ["1024x4096 weights", "batch", "`execute`", "made dense first"]
    header += ["smaller arguments", "with temporaries"]
    return markdown(header, rows) + footnote(record)


RECORDS = (
    EXECUTION := Record(
        "execution",
        "time and memory of products with 8-bit weights beside float32",
        ("jaxcompress/compiled.py", "jaxcompress/execution", "jaxcompress/leaves/quantized.py"),
        {"execution": execution},
    ),
)
