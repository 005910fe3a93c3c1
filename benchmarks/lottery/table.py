"""The table of lottery tickets and their controls."""

from benchmarks.figures.marks import grouped
from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import MASKS, TRAINING
from benchmarks.lib.record import Figures, Record
from pipelines.stages.tickets import WAYS

NETS = ("lenet-300-100", "cifar")
DENSE, LATER = "dense", "dense, trained on"


def lottery(record: Figures) -> list[str]:
    """Return one row for each network and sparsity: accuracy of each way over the seeds."""
    rows = []
    columns = (*WAYS, DENSE, LATER)
    for name in NETS:
        mine = [row for row in record["figures"] if row["net"] == name]
        mine.sort(key=lambda row: row["sparsity"])
        for sparsity, runs in grouped(mine, lambda row: row["sparsity"]).items():
            cells = (spread([100 * run[way] for run in runs], 1) for way in columns)
            rows.append([name, f"{sparsity:.0%}", *cells])
    more = " Mean (range) over the seeds, in percent of test images."
    return markdown(["network", "removed", *columns], rows) + footnote(record, more)


RECORDS = (
    LOTTERY := Record(
        "lottery",
        "sparse networks rewound to an early epoch, with new weights, other masks, not rewound",
        (
            *MASKS,
            *TRAINING,
            "benchmarks/lottery/run.py",
            "nets/lenet.py",
            "nets/small_cifar.py",
            "pipelines/stages/tickets.py",
        ),
        {"lottery": lottery},
    ),
)
