"""The tables of large checkpoints."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, SHARING
from benchmarks.lib.record import Figures, Record


def speed(record: Figures) -> list[str]:
    """Return speed and memory of each way to pack."""
    rows = [
        [
            f"`{row['options']}`",
            f"{row['input_bytes'] / 1e9:.1f}",
            f"{row['file_bytes'] / 1e9:.2f}",
            f"{row['input_bytes'] / row['seconds'] / 1e6:.0f}",
            f"{row['input_bytes'] / row['cpu_seconds'] / 1e6:.0f}",
            f"{row['peak_bytes'] / 2**30:.2f}",
        ]
        for row in record["figures"]["speed"]
    ]
    header = ["`pack`", "input, GB", "file, GB", "MB of input a second", "MB a CPU-second"]
    return markdown([*header, "peak memory, GiB"], rows) + footnote(record)


def reading(record: Figures) -> list[str]:
    """Return how long the files take to open and to read."""
    rows = [
        [
            f"`{row['options']}`",
            f"{row['file_bytes'] / 2**30:.2f}",
            {"one": "one", "all": "each in turn"}[row["which"]],
            f"{row['open_seconds']:.2f}",
            f"{row['read_seconds']:.1f}",
            f"{row['read_bytes'] / max(row['read_seconds'], 0.01) / 1e6:.0f}",
            f"{row['peak_bytes'] / 2**30:.2f}",
        ]
        for row in record["figures"]["reading"]
    ]
    header = [
        "`pack`",
        "file, GiB",
        "tensors",
        "seconds to open",
        "to read",
        "MB of tensors a second",
    ]
    return markdown([*header, "peak memory, GiB"], rows, left=3) + footnote(record)


def kills(record: Figures) -> list[str]:
    """Return what became of runs that were killed and started again."""
    rows = [
        [
            f"`{row['options']}`",
            str(row["kills"]),
            str(row["outputs"]),
            "the same" if row["same_bytes"] else "others",
            ", ".join(row["left_over"]) or "none",
            f"{row['last_run_seconds']:.0f}",
            f"{row['whole_run_seconds']:.0f}",
        ]
        for row in record["figures"]["kills"]
    ]
    header = ["`pack`", "kills", "outputs", "their bytes", "files left over"]
    header += ["seconds of the last run", "of a run without kills"]
    return markdown(header, rows) + footnote(record)


RECORDS = (
    LARGE := Record(
        "large",
        "speed and memory of packing a checkpoint of many gigabytes, and what kills do to it",
        (*FILES, *SHARING, "jaxcompress/cli", "jaxcompress/oneshot", "jaxcompress/quantization"),
        {"large": speed, "large-reading": reading, "large-kills": kills},
    ),
)
