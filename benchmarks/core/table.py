"""The table of the core."""

from benchmarks.lib.markdown import with_earlier
from benchmarks.lib.measured import FILES, INTEGERS, MASKS, SHARING
from benchmarks.lib.record import Figures, Record


def core(record: Figures) -> list[str]:
    """Return the ratios of the core to its peers, and what they were before."""
    return with_earlier(["what", "peer", "times the peer"], _rows, record)


def _rows(figures: Figures) -> list[list[str]]:
    rows = [
        [
            f"`kmeans`, 10 million weights, k = {row['k']}",
            "`np.sort` of them",
            f"{row['times_np_sort']:.2f}",
        ]
        for row in figures["kmeans"]
    ]
    rows += [
        [
            f"`kmeans`, 100 000 {source} numbers, k = {row['k']}: inertia above the exact",
            "kmeans1d",
            f"{100 * row[f'inertia_above_exact_{source}']:.4f} %",
        ]
        for row in figures["kmeans"]
        for source in ("normal", "Laplace", "Student t, 2")
    ]
    for row in figures.get("rounding", ()):  # earlier records have none
        name, _, rest = row["what"].partition(", ")
        rows.append(
            [
                f"`{name}`, 10 million weights, {rest}",
                "`np.sort` of them",
                f"{row['times_np_sort']:.2f}",
            ]
        )
    rows.append(
        [
            "`magnitude_mask`, 10 million weights",
            "`np.partition` of their magnitudes",
            f"{figures['magnitude_mask']['times_np_partition']:.2f}",
        ]
    )
    for row in figures["training_step"]:
        for kind, transform in (("masked", "hold_mask"), ("shared", "share_centroids")):
            rows.append(
                [
                    f"step of {row['net']} with `{transform}`, batch 64",
                    "the same step without",
                    f"{row[f'{kind}_times_plain']:.2f}",
                ]
            )
    imported = figures["import"]
    rows.append(
        ["`import jaxcompress`", "after `import jax, optax`", f"{imported['added_seconds']:+.3f} s"]
    )
    if "first_use_seconds" in imported:  # earlier records have none: the import did all
        used = "the same, and masks, sharing and a file used"
        rows.append([used, "the same", f"{imported['first_use_seconds']:+.2f} s"])
    return rows


RECORDS = (
    CORE := Record(
        "core",
        "K-Means, rounding, masks and training steps beside named peers; what the import takes",
        (*FILES, *INTEGERS, *MASKS, *SHARING, "jaxcompress/__init__.py", "jaxcompress/optim"),
        {"core": core},
    ),
)
