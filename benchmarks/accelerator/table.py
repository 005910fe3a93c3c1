"""The record of an accelerator; it is made where there is one."""

from benchmarks.lib.markdown import markdown
from benchmarks.lib.measured import FILES, INTEGERS, MASKS, SHARING
from benchmarks.lib.record import Figures, Record


def accelerator(record: Figures) -> list[str]:
    """Return what was the same as on the processor, and times beside a peer on the same device."""
    figures = record["figures"]
    rows = [[row["what"], row["peer"], _shown(row)] for row in figures["parts"]]
    tests = figures["tests"]
    found = f"{tests['passed']} pass, {tests['failed']} fail"
    rows.append(["tests of the core", "what they expect", found])
    return markdown(["what", "beside", figures["device"]], rows, left=2)


def _shown(row: Figures) -> str:
    same = "same bits" if row["same_bits"] else f"differs by {row['largest_difference']:.2g}"
    return f"{same}; {row['times_peer']:.2f}x" if row["times_peer"] is not None else same


ACCELERATOR = Record(
    "accelerator",
    "decoding, K-Means, masks, steps and products on a GPU or TPU beside the processor",
    (*FILES, *INTEGERS, *MASKS, *SHARING, "jaxcompress/execution", "jaxcompress/optim"),
    {"accelerator": accelerator},
)
