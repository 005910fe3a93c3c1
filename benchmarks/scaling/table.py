"""The table of one process and two."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import TRAINING
from benchmarks.lib.record import Figures, Record

ALONE, TOGETHER, THREADS = "one process", "two processes", "one on two cores"


def scaling(record: Figures) -> list[str]:
    """Return one row for each network."""
    rows = [
        [
            row["net"],
            f"{row['images_per_second']:,}",
            *(f"{row['times_faster'][way]:.2f}x" for way in (TOGETHER, THREADS)),
        ]
        for row in record["figures"]
    ]
    header = ["network", "one process on one core, images a second", TOGETHER, THREADS]
    more = " Batches of 128 images; medians of three rounds in turn."
    return markdown(header, rows) + footnote(record, more)


RECORDS = (
    SCALING := Record(
        "scaling",
        "how much faster two processes train than one",
        ("benchmarks/scaling", *TRAINING),
        {"scaling": scaling},
    ),
)
