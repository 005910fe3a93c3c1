"""python -m benchmarks.works_with [--only WORD ...]: write benchmarks/results/works_with.json.

It needs an environment of its own, with `requirements.txt` beside this file. A network whose
package is missing is skipped and named. With `--only` the rows of other networks are kept
if they are of the same code.
"""

import argparse
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from benchmarks.lib.record import rows_of, write
from benchmarks.works_with import equinox_, flax_, haiku_, keras_, others
from benchmarks.works_with.cases import Source
from benchmarks.works_with.table import WORKS_WITH
from benchmarks.works_with.trials import trials

NETWORKS: dict[str, Source] = {
    **haiku_.NETWORKS,
    **keras_.NETWORKS,
    **flax_.NETWORKS,
    **equinox_.NETWORKS,
    **others.NETWORKS,
}


def row(name: str) -> dict[str, object]:
    """Return what a network went through, with the versions of its packages."""
    versions: dict[str, str | None] = {}
    for package in NETWORKS[name].packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    missing = [package for package, found in versions.items() if found is None]
    if missing:
        print(f"{name}: skipped, {', '.join(missing)} is not installed")
        return {"network": name, "versions": versions, "skipped": ", ".join(missing)}
    start = time.process_time()
    outcome = trials(NETWORKS[name].make())
    failed = [
        f"{trial}: {found['failed']}" for trial, found in outcome.items() if "failed" in found
    ]
    print(f"{name}: {time.process_time() - start:.0f} s", *failed, sep="\n  ", flush=True)
    return {"network": name, "versions": versions, "trials": outcome}


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the networks through everything, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="networks with one of these words")
    only = parser.parse_args(arguments).only
    old = {found["network"]: found for found in rows_of(WORKS_WITH)}
    chosen = [name for name in NETWORKS if not only or any(word in name for word in only)]
    rows = [row(name) if name in chosen else old.get(name) for name in NETWORKS]
    figures = [found for found in rows if found is not None]
    write(WORKS_WITH, seeds=[0], figures=figures, command="python -m benchmarks.works_with")
