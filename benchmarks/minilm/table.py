"""The table of MiniLM."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, INTEGERS, SHARING, UNITS
from benchmarks.lib.record import Figures, Record


def minilm(record: Figures) -> list[str]:
    """Return one row for each way to make the transformer smaller."""
    rows = [
        [
            row["name"],
            f"{row['file_bytes']:,}",
            f"{row['ratio']:.1f}x",
            f"{row['cosine_mean']:.4f} ({row['cosine_least']:.3f})",
            f"{row['write_cpu_s']:.1f}",
            f"{row['read_cpu_s']:.1f}",
        ]
        for row in record["figures"]
    ]
    header = ["way", "file bytes", "ratio", "cosine, mean (least)", "write, CPU s", "read, CPU s"]
    first = record["figures"][0]
    more = (
        f" Ratios are to {first['float32_bytes']:,} bytes of float32, without the pooler, which "
        f"embeddings do not need; {first['sentences']} sentences. Writing is the whole command of "
        "`pack`, and `save` alone of the others."
    )
    return markdown(header, rows) + footnote(record, more)


RECORDS = (
    MINILM := Record(
        "minilm",
        "bytes and embeddings of a real transformer, compressed without training",
        (
            *FILES,
            *INTEGERS,
            *SHARING,
            *UNITS,
            "jaxcompress/lowrank",
            "nets/bert.py",
            "nets/text.py",
        ),
        {"minilm": minilm},
    ),
)
