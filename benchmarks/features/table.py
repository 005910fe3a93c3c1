"""The table of features."""

from benchmarks.lib.markdown import with_earlier
from benchmarks.lib.record import Figures, Record


def features(record: Figures) -> list[str]:
    """Return how many pictures of 100x100 pixels a core does in a second, now and before."""
    return with_earlier(["feature", "pictures a CPU-second"], _rows, record)


def _rows(figures: Figures) -> list[list[str]]:
    speeds = figures["pictures_per_cpu_second"]
    return [[kind, f"{speed:,}"] for kind, speed in speeds.items()]


RECORDS = (
    FEATURES := Record(
        "features",
        "pictures a second of each kind of feature",
        ("pipelines/features",),
        {"features": features},
    ),
)
