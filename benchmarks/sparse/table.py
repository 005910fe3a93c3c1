"""The table of sparse products."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.record import Figures, Record


def sparse(record: Figures) -> list[str]:
    """Return one row for each layer, batch size and sparsity: times that of the dense product."""
    names = list(record["figures"][0]["times_dense"])
    rows = [
        [
            f"{row['layer']}, {row['sparsity']:.0%}",
            str(row["batch"]),
            f"{row['dense_ms']:.2f}",
            *(f"{row['times_dense'][peer]:.2f}" for peer in names),
        ]
        for row in record["figures"]
    ]
    more = " Medians of ratios to the dense product: below 1 is faster. Blocks are whole ones."
    return markdown(["layer, zeros", "batch", "dense, ms", *names], rows) + footnote(record, more)


RECORDS = (
    SPARSE := Record(
        "sparse",
        "time of sparse products in plain JAX beside the dense one",
        ("jaxcompress/compiled.py", "jaxcompress/execution", "jaxcompress/leaves/_sparse.py"),
        {"sparse": sparse},
    ),
)
