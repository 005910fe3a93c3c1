"""The whole pipeline: accuracy and bytes beside the dense control.

    python -m benchmarks.pipeline --data fashion_mnist --sparsities 0.5 0.9 --seeds 0 1
    python -m benchmarks.pipeline --model fruits --data rendered_fruits --seeds 0

Every row is what `python run.py --model MODEL --data DATA --sparsity S --quantizer Q --seed N`
gives. Runs of one seed have the same baseline, and those of one sparsity also the same pruned
network: a copy of the folder is resumed from there with other settings. The first run of a seed
has `--control`, which is dense and the same for all. A row is written after each run, beside the
existing rows, so that a benchmark may be made in parts.
"""

import argparse
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.lib.record import merge
from benchmarks.lib.runs import outcome, run
from benchmarks.pipeline.table import BY_DATA
from jaxcompress.oneshot import SHARING
from pipelines.data import load
from pipelines.data.dataset import Dataset
from pipelines.models import MODELS
from pipelines.options.plan import planned
from pipelines.options.settings import Settings
from pipelines.run.row import Row

MODEL = "cifar"


def figure(plan: Settings, dataset: Dataset, rows: list[Row]) -> dict[str, Any]:
    """Return what the table needs of a run."""
    return {
        "sparsity": plan.sparsity,
        "seed": plan.seed,
        "quantizer": plan.quantizer,
        "clusters": plan.get("clusters", 0),
        "step_size": plan.get("step_size", 0.0),
        "layout": plan.layout,
    } | outcome(plan, dataset, rows)


def one_seed(
    model: str, data: str, seed: int, sparsities: list[float], quantizers: list[str]
) -> None:
    """Make all rows of a seed."""
    dataset = load(data)

    def plan(sparsity: float, quantizer: str, *, control: bool) -> Settings:
        return planned(
            len(dataset.train),
            data=dataset.name,
            model=model,
            sparsity=sparsity,
            quantizer=quantizer,
            seed=seed,
            control=control,
        )

    with tempfile.TemporaryDirectory() as temporary:
        trained = Path(temporary) / "trained"
        first = plan(sparsities[0], quantizers[0], control=True)
        run(first, dataset, trained, stop_before="pruned")
        for sparsity in sparsities:
            pruned = Path(shutil.copytree(trained, Path(temporary) / f"{sparsity}"))
            run(first.but(sparsity=sparsity), dataset, pruned, stop_before="shared")
            for quantizer in quantizers:
                control = (sparsity, quantizer) == (sparsities[0], quantizers[0])
                of_run = plan(sparsity, quantizer, control=control)
                folder = Path(shutil.copytree(pruned, Path(temporary) / f"{sparsity}-{quantizer}"))
                merge(
                    BY_DATA[data],
                    figure(of_run, dataset, run(of_run, dataset, folder)),
                    key=_key,
                    command=partial(_command, model, data),
                )


def _command(model: str, data: str, figures: list[dict[str, Any]]) -> str:
    """Return what makes all these rows."""
    of_model = "" if model == MODEL else f" --model {model}"
    words = [f"python -m benchmarks.pipeline{of_model} --data {data} --sparsities"]
    words += map(str, sorted({row["sparsity"] for row in figures}))
    return " ".join([*words, "--seeds", *map(str, sorted({row["seed"] for row in figures}))])


def _key(row: dict[str, Any]) -> tuple[float, str, int]:
    return row["sparsity"], row["quantizer"], row["seed"]


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default=MODEL)
    parser.add_argument("--data", choices=BY_DATA, required=True)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.9])
    parser.add_argument("--quantizers", nargs="+", choices=SHARING, default=list(SHARING))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        one_seed(arguments.model, arguments.data, seed, arguments.sparsities, arguments.quantizers)
