"""The first recommendation for each network, carried out, beside each single technique.

    apt-get install dataset-fashion-mnist
    pip install dm-haiku equinox
    python -m benchmarks.recommend

All techniques have the same bytes, a twelfth of those of the network (or a quarter more than the
smallest file, where that is larger), and nothing is trained. Files are compared on test pictures
that the planner does not see.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.lib.record import merge
from benchmarks.recommend.kinds import KINDS
from benchmarks.recommend.nets import Subject, subject
from benchmarks.recommend.table import RECORD
from jaxcompress import planner

COMMAND = "python -m benchmarks.recommend"
NETS = tuple(KINDS)
SEED = 0

_PART, _ABOVE = 12, 1.25  # of the bytes of the network, or times the smallest file
_UNITS = (0.65, 0.42)


def main() -> None:
    """Measure each network and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, default=Path("runs/networks"), metavar="DIR")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    arguments = parser.parse_args()
    for name in arguments.nets:
        given = subject(name, arguments.networks)
        file = arguments.networks / f"recommend-{name}.json"
        found = planner.profile(given.task, file, units=_UNITS)
        row = {"net": name, "what": KINDS[name].what, "seed": SEED}
        row |= _figures(given, found)
        print(json.dumps(row), flush=True)
        merge(RECORD, row, key=lambda row: NETS.index(row["net"]), command=lambda _: COMMAND)


def _figures(given: Subject, found: planner.Profile) -> dict[str, Any]:
    least = min(network.reachable[0] for network in found.networks)
    size = round(max(found.dense_bytes / _PART, _ABOVE * least))
    advice = planner.recommend(found, size_bytes=size)
    print(advice, flush=True)
    exact = given.judge(given.task.apply, given.task.params)
    rows = []
    for row in advice.rows:
        told: dict[str, Any] = {"technique": row.technique, "place": row.place}
        if row.plan is None:
            told["why"] = row.measured
        else:
            told |= _made(given, row.plan, exact)
        rows.append(told)
    return {
        "architecture": found.architecture,
        "accuracy": exact,
        "dense_bytes": found.dense_bytes,
        "size_bytes": size,
        "rows": rows,
    }


def _made(given: Subject, plan: planner.Plan, exact: float) -> dict[str, Any]:
    """Return what a plan loses on test pictures, and what it said."""
    made = planner.carry_out(plan, given.task)
    return {
        "predicted": None if plan.drop is None else plan.drop.drop,
        "bytes": made.steps[-1].size_bytes,
        "lost": exact - given.judge(made.apply, made.params),
    }
