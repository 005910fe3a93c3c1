"""The whole pipeline, run by run: accuracy and bytes beside the dense control.

    python -m benchmarks.pipeline --data fashion_mnist --sparsities 0.5 0.9 --seeds 0 1 2

Every run is `python run.py --model cifar --data DATA --sparsity S --seed N --control`. Figures are
written after each, so that an interrupted benchmark keeps what it has.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import write

ROOT = Path(__file__).parent.parent


def one_run(data: str, sparsity: float, seed: int, more: list[str]) -> dict[str, Any]:
    """Run the pipeline once and return what the table needs."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ["--model", "cifar", "--data", data, "--sparsity", str(sparsity)]
        words += ["--seed", str(seed), "--control", "--out", str(out), *more]
        subprocess.run([sys.executable, "run.py", *words], cwd=ROOT, check=True)
        outcome = json.loads((out / "results.json").read_text())
    kept = ("baseline_accuracy", "control_accuracy", "reloaded_accuracy", "reload_exact")
    kept += ("baseline_bytes", "compressed_bytes", "ratio", "seconds")
    return {
        "sparsity": sparsity,
        "seed": seed,
        "clusters": outcome["settings"]["clusters"],
        "stages": {row["name"]: row["accuracy"] for row in outcome["stages"]},
    } | {name: outcome[name] for name in kept}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.9])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments, more = parser.parse_known_args()
    figures = []
    for seed in arguments.seeds:
        for sparsity in arguments.sparsities:
            figures.append(one_run(arguments.data, sparsity, seed, more))
            seeds = sorted({run["seed"] for run in figures})
            write(f"pipeline_{arguments.data}", seeds=seeds, figures=figures)


if __name__ == "__main__":
    main()
