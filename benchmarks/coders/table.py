"""The table of entropy coders."""

from benchmarks.lib.markdown import footnote, markdown
from benchmarks.lib.record import Figures, Record

_NAMES = ("lanes", "adaptive", "NNCodec", "zstd -19")


def coders(record: Figures) -> list[str]:
    """Return bytes and speeds of each coder."""
    rows = []
    for row in record["figures"]:
        found = row["coders"]
        ours = found["lanes"]
        rows.append([f"{row['network']}, {row['integers']}", f"{row['weights'] / 1e6:.2f}"])
        rows[-1] += [f"{ours['bytes']:,}"]
        rows[-1] += [
            f"{found[name]['bytes'] / ours['bytes']:.3f}" if name in found else ""
            for name in _NAMES[1:]
        ]
        for way in ("encode", "decode"):
            shown = (f"{found[name][way]:.1f}" if name in found else "-" for name in _NAMES)
            rows[-1] += [" / ".join(shown)]
    header = ["network, integers", "weights, millions", "bytes", "adaptive", "NNCodec", "zstd -19"]
    names = " / ".join(_NAMES)
    header += [f"encode, million a CPU-second: {names}", f"decode: {names}"]
    return markdown(header, rows) + footnote(record)


RECORDS = (
    CODERS := Record(
        "coders",
        "size and speed of entropy coders on the same integers",
        (
            "jaxcompress/packing/_choice.py",
            "jaxcompress/packing/_clusters.py",
            "jaxcompress/packing/block.py",
            "jaxcompress/packing/rans.py",
            "jaxcompress/packing/sequences.py",
            "jaxcompress/packing/static.py",
            "jaxcompress/packing/tables.py",
        ),
        {"coders": coders},
    ),
)
