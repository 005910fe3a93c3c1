"""The table of files with programs: their bytes, and the time to open them."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.measured import FILES
from benchmarks.lib.record import Figures, Record

OPENED, PEER, WITH_LOAD = "open_function", "deserialize", "deserialize and load"


def ship(record: Figures) -> list[str]:
    """Return bytes above the plain file, and how many times as long opening takes."""
    rows = [
        [
            f"{row['network']}, `{row['layout']}`",
            f"{row['parameters']:,}",
            f"{row['plain_bytes']:,}",
            f"{row['program_bytes']:,}",
            f"{row['made_bytes']:,}",
            f"{row['seconds'][PEER] * 1000:.0f}",
            *(f"{row['times_as_long'][peer]:.2f}x" for peer in (PEER, WITH_LOAD)),
        ]
        for row in record["figures"]
    ]
    header = ["network, layout", "parameters", "plain file, bytes", "program, bytes more"]
    header += ["how it was made, bytes more", "`deserialize` and compile, ms"]
    header += ["`open_function`", "beside `load` too"]
    return markdown(header, rows) + footnote(record)


RECORDS = (
    SHIP := Record(
        "ship",
        "bytes of a program in a file, and the time to open it beside `jax.export` alone",
        ("benchmarks/ship/run.py", "jaxcompress/programs", "jaxcompress/compiled.py", *FILES),
        {"ship": ship},
    ),
)
