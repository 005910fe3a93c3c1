"""The recipe `search` beside random search of equal cost, and beside widths alone.

    taskset -c 0 python -m benchmarks.search --data digits --seeds 0 1 2

SmallCIFARNet. Each way may pass as many images through networks as the search did. Members are
chosen by validation images and judged by test images. A row is written for each seed.
"""

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.lib.record import merge
from benchmarks.search.table import SEARCH
from nets.families import sizes_of
from nets.students import parameter_count, student_for
from pipelines.data import load
from pipelines.data.dataset import Dataset
from pipelines.models import MODELS
from pipelines.models.examples import Examples, prepare
from pipelines.models.networks import networks_of
from pipelines.options.plan import planned
from pipelines.search.choice import front_of
from pipelines.search.costs import BATCHES, Budget, Costs, key_of, slowest
from pipelines.search.front import hypervolume, point
from pipelines.search.halving import (
    Trial,
    random_search,
    rungs,
    spent,
    successive_halving,
)
from pipelines.search.proposals import Family, by_chance, guided
from pipelines.search.space import axes_of
from pipelines.search.trainings import Trainings
from pipelines.stages.training import WEIGHT_DECAY

IMAGES = {"digits": None, "fashion_mnist": 12_000}
EPOCHS = {"digits": 30, "fashion_mnist": 8}
SPEEDUPS = (1.25, 1.5, 2.0)
"""Budgets, at which widths alone are compared: they make no network much faster than that."""

_RATIOS = [1.5 * 1.5**n for n in range(12)]


def main() -> None:
    """Measure each seed and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=IMAGES, default="digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument(
        "--halved", action="store_true", help="also halve rounds of members proposed at random"
    )
    arguments = parser.parse_args()
    dataset = load(arguments.data, limit=IMAGES[arguments.data])
    setting = _Setting(dataset, arguments.trials, halved=arguments.halved)
    for seed in arguments.seeds:
        row = {"data": arguments.data, "seed": seed} | setting.row(seed)
        print(json.dumps(row), flush=True)
        merge(
            SEARCH,
            row,
            key=lambda row: (row["data"], row["seed"]),
            command=_command,
        )


def _command(rows: Sequence[dict[str, Any]]) -> str:
    """Return the commands that repeat rows, one for each dataset."""
    seeds: dict[str, list[str]] = {}
    for row in rows:
        seeds.setdefault(row["data"], []).append(str(row["seed"]))
    return "; ".join(
        f"taskset -c 0 python -m benchmarks.search --data {data} --seeds {' '.join(given)}"
        for data, given in seeds.items()
    )


class _Setting:
    """One network and one dataset; speeds are measured once for all seeds."""

    def __init__(self, dataset: Dataset, trials: int, *, halved: bool) -> None:
        plan = planned(len(dataset.train), data=dataset.name, model="cifar")
        self._whole = networks_of(plan, dataset)[0].classifier
        self._plan, self._dataset, self._trials, self._halved = plan, dataset, trials, halved
        self._data = prepare(self._whole, dataset)
        sample = self._data.train.inputs[: max(BATCHES)]
        self._costs = Costs(self._whole, sample, layout=plan.layout)
        config = MODELS["cifar"].config(self._whole.shape)
        self._family = Family(config, axes_of(config), self._costs, Budget())
        self._rungs = rungs(EPOCHS[dataset.name])

    def row(self, seed: int) -> dict[str, Any]:
        """Return the figures of one seed."""
        trainings = self._trainings(seed)
        ways = {"search": self._halving(trainings, guided, seed)}
        ways["random search"] = random_search(
            self._family,
            trainings,
            epochs=self._rungs[-1],
            spend=spent(ways["search"]),
            seed=seed,
        )
        if self._halved:
            ways["random, halved"] = self._halving(trainings, by_chance, seed)
        fronts = {way: self._front(trials, trainings) for way, trials in ways.items()}
        return {
            "images": spent(ways["search"]) * trainings.images_per_epoch,
            "epochs": list(self._rungs),
            "trials": {way: len(trials) for way, trials in ways.items()},
            "diverged": {way: sum(t.diverged for t in trials) for way, trials in ways.items()},
            "volume": {way: self._volume(front) for way, front in fronts.items()},
            "fronts": fronts,
            "widths": [
                self._beside_widths(budget, fronts["search"], trainings) for budget in SPEEDUPS
            ],
        }

    def _trainings(self, seed: int) -> Trainings:
        test: Examples = self._data.test
        return Trainings(
            self._whole,
            self._data,
            augment=self._dataset.augment,
            batch_size=self._plan.batch_size,
            lr=self._plan.lr,
            seed=seed,
            weight_decay=WEIGHT_DECAY,
            judge=test,
        )

    def _halving(self, trainings: Trainings, propose: Any, seed: int) -> list[Trial]:
        return successive_halving(
            self._family, trainings, propose, trials=self._trials, epochs=self._rungs, seed=seed
        )

    def _front(self, trials: Sequence[Trial], trainings: Trainings) -> list[dict[str, Any]]:
        return [
            {
                "sizes": trial.candidate.sizes,
                "bytes": trial.size_bytes,
                "speedups": trial.speed.speedups,
                "epochs": trial.epochs,
                "validation": trial.results[-1].accuracy,
                "test": trainings.judged[key_of(trial.candidate.sizes), trial.epochs],
            }
            for trial in front_of(trials)
        ]

    def _volume(self, front: Sequence[dict[str, Any]]) -> float:
        """Return the volume that a front dominates, by its accuracy on test images."""
        largest = str(max(BATCHES))
        return hypervolume(
            [
                point(
                    each["bytes"] / self._costs.whole_bytes,
                    1 / each["speedups"][largest],
                    each["test"],
                )
                for each in front
            ]
        )

    def _beside_widths(
        self, budget: float, front: Sequence[dict[str, Any]], trainings: Trainings
    ) -> dict[str, Any]:
        """Return the widest student of even widths that is so fast, and the best of the front.

        Both are trained as long: that of the front may have been stopped earlier.
        """
        sizes = self._student(budget)
        if sizes is None:
            return {"budget": budget, "sizes": None}
        trainings.result(sizes, self._rungs[-1])
        size = self._costs.size_bytes(sizes)
        fitting = [
            each
            for each in front
            if min(each["speedups"].values()) >= budget and each["bytes"] <= size
        ]
        best = max(fitting, key=lambda each: each["validation"], default=None)
        if best is not None:
            key, epochs = key_of(best["sizes"]), self._rungs[-1]
            trainings.result(best["sizes"], epochs)
            if (key, epochs) in trainings.judged:  # it did not diverge
                best = best | {"epochs": epochs, "test": trainings.judged[key, epochs]}
        return {
            "budget": budget,
            "sizes": sizes,
            "bytes": size,
            "speedups": self._costs.speed(sizes).speedups,
            "test": trainings.judged[key_of(sizes), self._rungs[-1]],
            "best": best,
        }

    def _student(self, budget: float) -> dict[str, Any] | None:
        """Return the sizes of the widest student that is so fast, None if none is."""
        full = parameter_count(self._family.config)
        for ratio in _RATIOS:
            try:
                config = student_for(self._family.config, math.floor(full / ratio))
            except ValueError:
                continue  # no student of about these proportions
            sizes = sizes_of(config)
            if slowest(self._costs.speed(sizes)) >= budget:
                return dict(sizes)
        return None
