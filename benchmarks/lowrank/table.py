"""The tables of low rank."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.record import Figures, Record


def low_rank_layers(record: Figures) -> list[str]:
    """Return one row for each layer and batch size: how much less work, how much less time."""
    rows = [
        [
            f"{row['layer']}, rank {row['rank']}",
            str(row["batch"]),
            f"{row['fraction_of_parameters']:.3f}",
            f"{row['fraction_of_flops']:.3f}",
            f"{row['dense_ms']:.2f}",
            f"{row['times_as_fast']:.1f}x",
        ]
        for row in record["figures"]["layers"]
    ]
    header = ["layer", "batch", "parameters", "FLOPs", "dense, ms", "times as fast"]
    more = " Parameters and FLOPs are fractions of those of the dense layer."
    return markdown(header, rows) + footnote(record, more)


def low_rank_svd(record: Figures) -> list[str]:
    """Return one row for each matrix: time and error of a sketch against numpy's SVD."""
    rows = [
        [
            f"{row['size']}x{row['size']}, {row['matrix']}",
            str(row["rank"]),
            f"{row['numpy_seconds']:.1f}",
            f"{row['times_numpy']:.3f}",
            f"{row['relative_error']:.3f}",
            f"{row['times_best_error']:.4f}",
        ]
        for row in record["figures"]["svd"]
    ]
    header = ["matrix", "rank", "`numpy.linalg.svd`, s", "times that", "least relative error"]
    header += ["times that error"]
    return markdown(header, rows) + footnote(record, " The worst of three sketches.")


RECORDS = (
    LOWRANK := Record(
        "lowrank",
        "the sketched SVD beside numpy's, and thin layers beside dense ones",
        (
            "jaxcompress/compiled.py",
            "jaxcompress/execution/_thin.py",
            "jaxcompress/leaves/lowrank.py",
            "jaxcompress/lowrank",
        ),
        {"low_rank_layers": low_rank_layers, "low_rank_svd": low_rank_svd},
    ),
)
