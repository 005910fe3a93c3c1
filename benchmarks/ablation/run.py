"""Accuracy of FruitsFusionNet with each of its inputs alone, and with all together.

    python -m benchmarks.ablation --seeds 0
    python -m benchmarks.ablation --seeds 0 --rows "without texture"

Every row trains the dense network with `--branches` as `python run.py --model fruits` does, and
measures it on the test images. A row is written after each training.
"""

import argparse
import shlex
import tempfile
from pathlib import Path
from typing import Any

import jax

from benchmarks.ablation.table import ABLATION
from benchmarks.lib.record import merge
from benchmarks.lib.runs import run
from nets.fruits_fusion import BRANCHES
from nets.students import parameters_in
from pipelines.data import load
from pipelines.data.dataset import Dataset
from pipelines.models import MODELS, Shape
from pipelines.options.plan import planned

USUAL = {"all five": BRANCHES} | {f"{name} alone": (name,) for name in BRANCHES}
ROWS: dict[str, tuple[str, ...]] = USUAL | {
    f"without {name}": tuple(b for b in BRANCHES if b != name) for name in BRANCHES
}


def row(name: str, dataset: Dataset, seed: int) -> dict[str, Any]:
    """Train with some branches; returns the figures of the baseline."""
    plan = planned(
        len(dataset.train), data=dataset.name, model="fruits", branches=ROWS[name], seed=seed
    )
    shape = Shape(len(dataset.classes), plan.image_size, plan.branches)
    params, _ = jax.eval_shape(MODELS["fruits"].build(shape).init, jax.random.key(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        (baseline,) = run(plan, dataset, folder, stop_before="pruned")
    return {
        "branches": name,
        "seed": seed,
        "parameters": parameters_in(params),
        "image_size": plan.image_size,
        "epochs": plan.epochs,
        "accuracy": baseline.accuracy,
        "validation_accuracy": baseline.validation_accuracy,
        "seconds": round(baseline.seconds, 1),
    }


def _command(figures: list[dict[str, Any]]) -> str:
    seeds = sorted({row["seed"] for row in figures})
    made = [name for name in ROWS if any(row["branches"] == name for row in figures)]
    words = ["python -m benchmarks.ablation --seeds", *map(str, seeds)]
    return " ".join([*words, *(["--rows", shlex.join(made)] if made != list(USUAL) else [])])


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(USUAL))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    dataset = load("rendered_fruits")
    for seed in arguments.seeds:
        for name in arguments.rows:
            figure = row(name, dataset, seed)
            merge(
                ABLATION,
                figure,
                key=lambda row: (list(ROWS).index(row["branches"]), row["seed"]),
                command=_command,
            )
