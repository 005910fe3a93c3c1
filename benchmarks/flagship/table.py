"""The table of the flagship."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES, INTEGERS, SHARING, TRAINING, UNITS
from benchmarks.lib.record import Figures, Record

WHOLE, AS_LONG = "whole", "trained as long"


def flagship(record: Figures) -> list[str]:
    """Return one row for each way: bytes, time of a call, accuracy."""
    rows = record["figures"]["rows"]
    by_way = {row["way"]: row for row in rows}
    whole, control = by_way[WHOLE], by_way[AS_LONG]["accuracy"]
    lines = [
        [
            row["way"],
            f"{row['bytes']:,}",
            f"{whole['bytes'] / row['bytes']:.1f}",
            f"{row['ms']:.2f}" if "ms" in row else "",
            f"{whole['ms'] / row['ms']:.1f}" if "ms" in row else "",
            f"{row['accuracy']:.2%}",
            f"{100 * (row['accuracy'] - control):+.2f}",
            f"{row['seconds'] / 60:.0f}",
        ]
        for row in rows
    ]
    header = ["network", "bytes", "times smaller", "ms, batch 1", "times faster", "accuracy"]
    header += ["against the control, points", "minutes of the run"]
    return markdown(header, lines) + footnote(record)


_CODE = (*FILES, *INTEGERS, *SHARING, *UNITS, *TRAINING, "jaxcompress/planner", "nets/resnet.py")

RECORDS = (
    FLAGSHIP := Record(
        "flagship",
        "one network of 45 MB pruned, quantized, distilled and planned",
        _CODE,
        {"flagship": flagship},
    ),
)
