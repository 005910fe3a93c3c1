"""The whole pipeline, run by run: accuracy and bytes beside the dense control.

    python -m benchmarks.pipeline --data fashion_mnist --sparsities 0.5 0.9 --seeds 0 1 2

Every run is `python run.py --model cifar --data DATA --sparsity S --seed N`, with `--control` the
first time that a seed is met: the control is dense and the same at any sparsity. Figures are
written after each run, beside those that are there, so that a benchmark may be made in parts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, write

ROOT = Path(__file__).parent.parent


def one_run(data: str, sparsity: float, seed: int, more: list[str]) -> dict[str, Any]:
    """Run the pipeline once and return what the table needs."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ["--model", "cifar", "--data", data, "--sparsity", str(sparsity)]
        words += ["--seed", str(seed), "--out", str(out), *more]
        subprocess.run([sys.executable, "run.py", *words], cwd=ROOT, check=True)
        outcome = json.loads((out / "results.json").read_text())
    stages = {row["name"]: row for row in outcome["stages"]}
    kept = ("baseline_accuracy", "control_accuracy", "reloaded_accuracy", "reload_exact")
    kept += ("baseline_bytes", "compressed_bytes", "ratio")
    return {
        "sparsity": sparsity,
        "seed": seed,
        "clusters": outcome["settings"]["clusters"],
        "train_images": outcome["train_images"],
        "stages": {name: row["accuracy"] for name, row in stages.items()},
        "seconds": round(sum(row["seconds"] for n, row in stages.items() if n != "control"), 1),
    } | {name: outcome[name] for name in kept}


def recorded(path: Path) -> list[dict[str, Any]]:
    """Return the figures that are there already."""
    return json.loads(path.read_text())["figures"] if path.exists() else []


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.9])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments, more = parser.parse_known_args()
    name = f"pipeline_{arguments.data}"
    path = RESULTS / f"{name}.json"
    for seed in arguments.seeds:
        for sparsity in arguments.sparsities:
            controlled = any(
                run["seed"] == seed and run["control_accuracy"] is not None
                for run in recorded(path)
            )
            control = [] if controlled else ["--control"]
            figures = [one_run(arguments.data, sparsity, seed, [*more, *control])]
            figures += [r for r in recorded(path) if (r["seed"], r["sparsity"]) != (seed, sparsity)]
            figures.sort(key=lambda run: (run["sparsity"], run["seed"]))
            seeds = sorted({run["seed"] for run in figures})
            write(
                name, seeds=seeds, figures=figures, command=_command(arguments.data, figures, more)
            )


def _command(data: str, figures: list[dict[str, Any]], more: list[str]) -> str:
    """Return the one command that makes all the figures."""
    sparsities = " ".join(str(s) for s in sorted({run["sparsity"] for run in figures}))
    seeds = " ".join(str(s) for s in sorted({run["seed"] for run in figures}))
    words = f"python -m benchmarks.pipeline --data {data} --sparsities {sparsities} --seeds {seeds}"
    return " ".join([words, *more])


if __name__ == "__main__":
    main()
