"""One large network made small by every way there is, and by a plan: bytes, time, accuracy.

    apt-get install dataset-fashion-mnist
    taskset -c 0 python -m benchmarks.flagship --folder runs/flagship

ResNet-18 (11.2M parameters, 44.7 MB) on Fashion-MNIST. Every row is what `python run.py --model
resnet18 --data fashion_mnist --limit IMAGES --start TRAINED` gives with a recipe and the settings
below. Runs are kept in the folder: finished ones are not made again, stopped ones go on. In the
end all networks are timed in turn at batch 1.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxcompress as jc
from benchmarks.flagship.table import AS_LONG, FLAGSHIP, WHOLE
from benchmarks.lib import runs
from benchmarks.lib.record import write
from jaxcompress.costs import Timing
from pipelines.data import load
from pipelines.data.dataset import Dataset
from pipelines.features.resize import resized
from pipelines.models.classifier import Classifier
from pipelines.options.plan import planned
from pipelines.options.settings import Settings
from pipelines.run.folder import write_json
from pipelines.run.predict import Predictor
from pipelines.run.report import results

MODEL, DATA, SEED = "resnet18", "fashion_mnist", 0
SMALLER, FASTER, DROP = 105, 7.6, 2.0
BYTES = 44_726_568 // SMALLER
"""Of the file, at most: the parameters have so many bytes in float32."""

IMAGES, EPOCHS, FINETUNE = 6_000, 5, 6
IMAGE_SIZE = 32
_ROUNDS = 200
_BUDGETED = "auto"


class Way(NamedTuple):
    """A run and the row of it that counts.

    Attributes:
        name: of the row of the table.
        recipe: of `run.py`.
        stage: name of the row of the run.
        options: of the recipe.
        is_timed: whether its `compressed.npz` is timed in turn with the others.
    """

    name: str
    recipe: str
    stage: str
    options: dict[str, Any]
    is_timed: bool = False


PRUNE = {"sparsity": 0.97, "step_size": 0.8}
DISTIL = {"times_smaller": float(SMALLER), "students": 1, "control": True, "epochs": EPOCHS}
BUDGET = {"size": str(BYTES), "speedup": FASTER, "drop": DROP}
WAYS = (
    Way(AS_LONG, "auto", "control", BUDGET),
    Way("pruned and shared", "prune+share", "reloaded", PRUNE, is_timed=True),
    Way("ONNX Runtime, float32", "int8", "onnx float32", {}),
    Way("ONNX Runtime, int8", "int8", "onnx int8", {}),
    Way("distilled", "distill", "reloaded", DISTIL, is_timed=True),
    Way("that student from scratch", "distill", "student from scratch", DISTIL),
    Way("planned", "auto", "reloaded", BUDGET, is_timed=True),
)


def main() -> None:
    """Train, compress in each way, time, and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/flagship"), metavar="DIR")
    recipes = list(dict.fromkeys(way.recipe for way in WAYS))
    parser.add_argument(
        "--recipes", nargs="+", choices=recipes, default=recipes, help="beside auto"
    )
    arguments = parser.parse_args()
    folder, wanted = arguments.folder, {_BUDGETED, *arguments.recipes}
    ways = [way for way in WAYS if way.recipe in wanted]
    dataset = load(DATA, limit=IMAGES)
    start = runs.trained(_plan(dataset, "prune+share", PRUNE), dataset, folder / "trained")
    found = {
        way.recipe: _result(_plan(dataset, way.recipe, way.options, start), dataset, folder)
        for way in ways
    }
    whole = found[_BUDGETED]["stages"][0]
    rows = [{"way": WHOLE, **_row(whole), "seconds": whole["seconds"]}]
    rows += [{"way": way.name, **_of(found[way.recipe], way.stage)} for way in ways]
    times = {t.name: {"ms": t.median, "speedup": t.speedup} for t in _times(folder, ways, dataset)}
    rows = [row | times.get(row["way"], {}) for row in rows]
    write(FLAGSHIP, seeds=[SEED], figures={"rows": rows, "checks": found[_BUDGETED]["checks"]})


def _plan(
    dataset: Dataset, recipe: str, options: dict[str, Any], start: Path | None = None
) -> Settings:
    given = ({"epochs": EPOCHS} if start is None else {}) | {"finetune_epochs": FINETUNE} | options
    return planned(
        len(dataset.train),
        data=DATA,
        model=MODEL,
        recipe=recipe,
        limit=IMAGES,
        seed=SEED,
        **given | ({} if start is None else {"start": start}),
    )


def _result(plan: Settings, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Return what the run of a plan says, which is made or finished if it is not there."""
    path = folder / plan.recipe / "results.json"
    if not path.is_file():
        rows = runs.run(plan, dataset, path.parent)
        write_json(path, results(plan, dataset, rows))
    return json.loads(path.read_text())


def _of(result: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return the row of a stage, and the seconds of its run."""
    (found,) = [row for row in result["stages"] if row["name"] == stage]
    return _row(found) | {"seconds": result["seconds"]}


def _row(stage: dict[str, Any]) -> dict[str, Any]:
    found = {"bytes": stage["size_bytes"], "accuracy": stage["accuracy"]}
    is_onnx = stage["name"].startswith("onnx")
    return found | ({"ms": stage["latency_ms"]} if is_onnx else {})


def _times(folder: Path, ways: Sequence[Way], dataset: Dataset) -> Sequence[Timing]:
    """Return the times of networks in turn: dense, compiled for inference, the whole one first."""
    files = {WHOLE: folder / "trained" / "trained.npz"}
    files |= {way.name: folder / way.recipe / "compressed.npz" for way in ways if way.is_timed}
    variants = {}
    for name, file in files.items():
        made, tree = Predictor(file).classifier, jc.load(file)
        variants[name] = (_applied(made), tree)
    picture = resized(np.asarray(dataset.test.images[:1]), IMAGE_SIZE)
    return jc.compare_latency(variants, picture, batches=1, rounds=_ROUNDS).timings


def _applied(classifier: Classifier) -> Callable[..., Any]:
    return lambda tree, x: classifier.apply(tree["params"], tree.get("stats", {}), x)
