"""Training for rate beside pruning and sharing, from the same dense network, in equal epochs.

    apt-get install dataset-fashion-mnist
    python -m benchmarks.rate

For each network, seed and sparsity, `--recipe prune+share` makes a file, and `--recipe rate` is
asked for a fraction of its bytes, with the same flags otherwise. Both fine-tune for as many
epochs, and the dense control for all of them. Both are judged on test images; neither chooses
anything by them. A row is written after each run, so that a benchmark may be made in parts.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.lib.record import merge
from benchmarks.lib.runs import outcome, run
from benchmarks.rate.table import RECORD, SPARSITIES
from pipelines.data import load
from pipelines.data.dataset import Dataset
from pipelines.options.plan import planned
from pipelines.options.settings import Settings
from pipelines.run.row import Row

OURS, USUAL = "rate", "prune+share"
FRACTIONS = (0.75,)


class Training(NamedTuple):
    """How long a network is trained, on how many images of Fashion-MNIST.

    Attributes:
        images: the first so many.
        epochs: of the dense network.
        finetune: of the first stage after it; the second has a third of them.
    """

    images: int
    epochs: int
    finetune: int


TRAININGS = {
    "lenet-300-100": Training(55_000, 8, 6),
    "lenet-5": Training(20_000, 4, 6),
    "cifar": Training(8_000, 6, 6),
    "resnet20": Training(8_000, 6, 6),
}


def figure(plan: Settings, dataset: Dataset, rows: list[Row], **more: Any) -> dict[str, Any]:
    """Return what the table needs of a run."""
    return {
        "net": plan.model,
        "recipe": plan.recipe,
        "seed": plan.seed,
        "epochs": plan.epochs,
        "finetune_epochs": plan.finetune_epochs,
        "asked_bytes": plan.get("size"),
        "facts": {row.name: row.facts for row in rows if row.facts},
        **more,
    } | outcome(plan, dataset, rows)


def one_seed(
    model: str, seed: int, sparsities: list[float], fractions: list[float], dataset: Dataset
) -> None:
    """Make all rows of a network and a seed."""
    training = TRAININGS[model]

    def plan(recipe: str, **more: Any) -> Settings:
        return planned(
            len(dataset.train),
            data=dataset.name,
            model=model,
            seed=seed,
            recipe=recipe,
            epochs=training.epochs,
            finetune_epochs=training.finetune,
            **more,
        )

    with tempfile.TemporaryDirectory() as temporary:
        dense = Path(temporary) / "dense"
        run(plan(USUAL, sparsity=sparsities[0]), dataset, dense, stop_before="pruned")

        def finished(name: str, of_run: Settings, **more: Any) -> int:
            folder = Path(shutil.copytree(dense, Path(temporary) / name))
            row = figure(of_run, dataset, run(of_run, dataset, folder), **more)
            merge(RECORD, row, key=_key, command=_command)
            return row["compressed_bytes"]

        for sparsity in sparsities:
            control = sparsity == sparsities[0]
            usual = plan(USUAL, sparsity=sparsity, control=control)
            size = finished(f"{sparsity}", usual, sparsity=sparsity, fraction=1.0)
            for fraction in fractions:
                asked = plan(OURS, size=f"{int(fraction * size)}")
                finished(f"{sparsity}-{fraction}", asked, sparsity=sparsity, fraction=fraction)


def _command(figures: list[dict[str, Any]]) -> str:
    """Return what makes all these rows."""
    nets = [net for net in TRAININGS if any(row["net"] == net for row in figures)]
    seeds = sorted({row["seed"] for row in figures})
    return f"python -m benchmarks.rate --nets {' '.join(nets)} --seeds {' '.join(map(str, seeds))}"


def _key(row: dict[str, Any]) -> tuple[int, float, int, float]:
    place = [*TRAININGS].index(row["net"])
    return place, row["sparsity"], row["seed"], -row["fraction"]


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", nargs="+", choices=TRAININGS, default=[*TRAININGS])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[*SPARSITIES])
    parser.add_argument("--fractions", type=float, nargs="+", default=[*FRACTIONS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    for net in arguments.nets:
        dataset = load("fashion_mnist", limit=TRAININGS[net].images)
        for seed in arguments.seeds:
            one_seed(net, seed, arguments.sparsities, arguments.fractions, dataset)
