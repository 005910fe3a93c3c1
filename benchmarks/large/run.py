"""`jaxcompress pack` on a made checkpoint of many gigabytes: speed, memory, kills, reading. Linux.

    python -m benchmarks.large make FOLDER --gigabytes 10     # bfloat16, five shards and an index
    python -m benchmarks.large measure FOLDER --kills 20      # makes nothing, deletes its outputs

Outputs lie beside FOLDER, so twice its size must be free.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.large.checkpoint import make, shapes_of
from benchmarks.large.processes import jaxcompress, kills, measured, sha256_of
from benchmarks.large.table import LARGE
from benchmarks.lib.record import write

WAYS: dict[str, list[str]] = {
    "8-bit": ["--bits", "8"],
    "4-bit": ["--bits", "4", "--layout", "entropy"],
    "lossless": ["--lossless"],
}
"""Options of `pack` by name."""

MOMENTS = 4.0, 24.0
"""Seconds after a start when it is killed, least and most."""


def speed_row(way: str, model: Path, output: Path) -> dict[str, Any]:
    """Pack once without a break, and return what it took."""
    used = measured(jaxcompress("pack", model, "-o", output, *WAYS[way]))
    return {
        "options": " ".join(WAYS[way]),
        "input_bytes": sum(path.stat().st_size for path in model.iterdir()),
        "file_bytes": output.stat().st_size,
        "seconds": round(used.seconds, 1),
        "cpu_seconds": round(used.cpu_seconds, 1),
        "peak_bytes": used.peak_bytes,
    }


def reading_row(way: str, file: Path, which: str) -> dict[str, Any]:
    """Read one tensor of a file, or all, and return what it took.

    Args:
        way: that made the file.
        file: to read.
        which: "one" or "all".
    """
    command = [sys.executable, "-m", "benchmarks.large.reading", str(file), which]
    used = measured(command)
    return {
        "options": " ".join(WAYS[way]),
        "file_bytes": file.stat().st_size,
        "which": which,
        "peak_bytes": used.peak_bytes,
        **json.loads(used.output),
    }


def kills_row(way: str, model: Path, whole: Path, seconds: float, count: int) -> dict[str, Any]:
    """Pack again with kills at random moments, and compare the bytes with those of a whole run.

    Args:
        way: a key of `WAYS`.
        model: folder of the checkpoint.
        whole: what a run without a break wrote.
        seconds: of that run.
        count: of kills.
    """
    output = whole.with_name(f"{whole.stem}.killed.npz")
    before = set(whole.parent.iterdir())
    command = jaxcompress("pack", model, "-o", output, *WAYS[way])
    expected, same = sha256_of(whole), []

    def ended() -> None:
        same.append(sha256_of(output) == expected)
        output.unlink()

    kills(command, count, MOMENTS, ended)
    last = measured(command)
    ended()
    return {
        "options": " ".join(WAYS[way]),
        "whole_run_seconds": seconds,
        "kills": count,
        "outputs": len(same),
        "last_run_seconds": round(last.seconds, 1),
        "same_bytes": all(same),
        "left_over": sorted(path.name for path in {*whole.parent.iterdir()} - before),
    }


def measure(model: Path, ways: list[str], count: int) -> None:
    """Measure each way, and write the record after each."""
    figures: dict[str, Any] = {"speed": [], "reading": [], "kills": []}
    for number, way in enumerate(ways):
        output = model.with_name(f"{model.name}.{number}.npz")
        figures["speed"].append(row := speed_row(way, model, output))
        print(row, flush=True)
        for which in ("one", "all"):
            figures["reading"].append(reading_row(way, output, which))
            print(figures["reading"][-1], flush=True)
        if count and not number:
            figures["kills"].append(kills_row(way, model, output, row["seconds"], count))
            print(figures["kills"][-1], flush=True)
        output.unlink()
        write(LARGE, seeds=[0], figures=figures)


def main() -> None:
    """Read the command line, and make or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["make", "measure"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=10, help="of the checkpoint to make")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--kills", type=int, default=20, help="of the first way")
    arguments = parser.parse_args()
    if arguments.action == "make":
        make(arguments.folder, shapes_of(1e9 * arguments.gigabytes))
    else:
        measure(arguments.folder, arguments.ways, arguments.kills)
