"""The tables of low rank."""

from benchmarks.markdown import footnote, markdown, recorded


def low_rank_layers(name: str) -> list[str]:
    """Return one row for each layer and batch size: how much less work, how much less time."""
    record = recorded(name)
    rows = [
        [
            f"{row['layer']}, rank {row['rank']}",
            str(row["batch"]),
            f"{row['share_of_parameters']:.3f}",
            f"{row['share_of_flops']:.3f}",
            f"{row['dense_ms']:.2f}",
            f"{row['times_as_fast']:.1f}x",
        ]
        for row in record["figures"]["layers"]
    ]
    header = ["layer", "batch", "parameters", "FLOPs", "dense, ms", "times as fast"]
    more = " Parameters and FLOPs are fractions of those of the dense layer."
    return markdown(header, rows) + footnote(record, more)


def low_rank_svd(name: str) -> list[str]:
    """Return one row for each matrix: time and error of a sketch against numpy's SVD."""
    record = recorded(name)
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
