"""The recipe `search` within budgets, beside even widths and random search of equal cost.

    taskset -c 0 python -m benchmarks.search --data digits --seeds 0 1 2

SmallCIFARNet. A budget is the bytes and the speed of a student of even widths. Random search may
pass as many images through networks as the search did, all of its networks as long as the last of
that. Members are chosen by validation images and judged by test images. A row is written for each
seed.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
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
from pipelines.search.choice import best_of, front_of
from pipelines.search.costs import BATCHES, Budget, Costs, key_of, slowest
from pipelines.search.front import ERRORS
from pipelines.search.halving import (
    Trial,
    random_search,
    rungs,
    spent,
    successive_halving,
)
from pipelines.search.proposals import Family, guided
from pipelines.search.space import axes_of
from pipelines.search.trainings import Trainings
from pipelines.stages.training import WEIGHT_DECAY

IMAGES = {"digits": None, "fashion_mnist": 12_000}
EPOCHS = {"digits": 30, "fashion_mnist": 8}
SPEEDUPS = (1.25, 1.5, 2.0)
"""At which even widths are compared: they make no network much faster than that."""
WAYS = ("search", "random search")

_RATIOS = [1.5 * 1.5**n for n in range(12)]


def main() -> None:
    """Measure each seed and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=IMAGES, default="digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=16)
    arguments = parser.parse_args()
    dataset = load(arguments.data, limit=IMAGES[arguments.data])
    setting = _Setting(dataset, arguments.trials)
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

    def __init__(self, dataset: Dataset, trials: int) -> None:
        plan = planned(len(dataset.train), data=dataset.name, model="cifar")
        self._whole = networks_of(plan, dataset)[0].classifier
        self._plan, self._dataset, self._trials = plan, dataset, trials
        self._data = prepare(self._whole, dataset)
        sample = self._data.train.inputs[: max(BATCHES)]
        self._costs = Costs(self._whole, sample, layout=plan.layout)
        config = MODELS["cifar"].config(self._whole.shape)
        self._family = Family(config, axes_of(config), self._costs, Budget())
        self._rungs = rungs(EPOCHS[dataset.name])
        self._students = {speedup: self._student(speedup) for speedup in SPEEDUPS}

    def row(self, seed: int) -> dict[str, Any]:
        """Return the figures of one seed."""
        trainings = self._trainings(seed)
        found: dict[str, list[Trial]] = {way: [] for way in WAYS}
        budgets = []
        for speedup, sizes in self._students.items():
            budget = Budget(self._costs.size_bytes(sizes), speedup)
            family = self._family._replace(budget=budget)
            started = time.perf_counter()
            tried = {"search": self._searched(family, trainings, seed)}
            seconds = time.perf_counter() - started
            tried["random search"] = random_search(
                family,
                trainings,
                epochs=self._rungs[-1],
                spend=spent(tried["search"]),
                seed=seed,
            )
            chosen = {way: best_of(front_of(trials), None) for way, trials in tried.items()}
            budgets.append(
                {
                    "speedup": speedup,
                    "bytes": budget.size_bytes,
                    "seconds": round(seconds),
                    "even widths": self._judged(sizes, trainings),
                }
                | {way: self._judged(t.candidate.sizes, trainings) for way, t in chosen.items()}
            )
            for way, trials in tried.items():
                found[way] += trials
        return {
            "images": spent(found["search"]) * trainings.images_per_epoch,
            "epochs": list(self._rungs),
            "trials": {way: len(trials) for way, trials in found.items()},
            "diverged": {way: sum(t.diverged for t in trials) for way, trials in found.items()},
            "budgets": budgets,
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

    def _searched(self, family: Family, trainings: Trainings, seed: int) -> list[Trial]:
        return successive_halving(
            family,
            trainings,
            guided,
            trials=self._trials,
            epochs=self._rungs,
            seed=seed,
            goal=ERRORS,
            first=family.even(),
        )

    def _judged(self, sizes: Mapping[str, Any], trainings: Trainings) -> dict[str, Any]:
        """Return the figures of a network trained to the last rung, as all that are compared."""
        epochs = self._rungs[-1]
        validation = trainings.result(sizes, epochs).accuracy
        trainings.forget()
        return {
            "sizes": sizes,
            "bytes": self._costs.size_bytes(sizes),
            "speedups": self._costs.speed(sizes).speedups,
            "validation": validation,
            "test": trainings.judged.get((key_of(sizes), epochs), 0.0),  # 0 where it diverged
        }

    def _student(self, speedup: float) -> dict[str, Any]:
        """Return the sizes of the widest student of even widths that is so fast."""
        full = parameter_count(self._family.config)
        for ratio in _RATIOS:
            try:
                config = student_for(self._family.config, math.floor(full / ratio))
            except ValueError:
                continue  # no student of about these proportions
            sizes = sizes_of(config)
            if slowest(self._costs.speed(sizes)) >= speedup:
                return dict(sizes)
        raise RuntimeError(f"no student is {speedup} times faster")
