"""A search: the best student of a family within a budget, found by short trainings, then taught."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import SettingsError
from pipelines.models.classifier import Classifier
from pipelines.models.table import MODELS
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.search.choice import best_of, chosen_in, diverged, front_of, write_front
from pipelines.search.costs import BATCHES, Budget, Costs, slowest
from pipelines.search.front import ERRORS, VOLUME
from pipelines.search.halving import rungs, spent, successive_halving
from pipelines.search.proposals import Family, guided
from pipelines.search.space import axes_of, corners, sizes_at
from pipelines.search.trainings import Trainings
from pipelines.stages.distilling import TEACHING, TUNE, taught_epochs, teach
from pipelines.stages.files import file_of, packed, write_plain
from pipelines.stages.planned import BUDGETS, speedups
from pipelines.stages.stage import Facts, Recipe, Stage, Trainer, Work
from pipelines.stages.training import WEIGHT_DECAY, pruned_epochs, train_on

FRONT, LATENCY, TRIALS = "front.json", "latency.json", "trials.json"

_ROOM, _FASTER = 0.97, 1.1  # of the budgets of bytes and speed: training and timing vary


def search(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Search the family for the best students within the budget; the network stays as it is."""
    plan, model, folder = job.plan, job.network(0), job.folder
    costs = Costs(model, job.sample(max(BATCHES)), layout=plan.layout, path=folder / LATENCY)
    family = _family(model, costs, _budget(plan, _ROOM, _FASTER))
    trainings = Trainings(
        model,
        job.data(),
        augment=job.augment,
        batch_size=plan.batch_size,
        lr=plan.lr,
        seed=plan.seed,
        weight_decay=WEIGHT_DECAY,
        path=folder / TRIALS,
        tell=job.tell,
    )
    drop = plan.get("drop")
    trials = successive_halving(
        family,
        trainings,
        guided,
        trials=plan.trials,
        epochs=rungs(plan.epochs),
        seed=plan.seed,
        goal=ERRORS if drop is None else VOLUME,
        first=family.even(),
    )
    if not trials:
        raise SettingsError(
            f"--size, --speedup: no network of the family of {plan.model} was found that is within "
            "both; raise --size or lower --speedup, and pass another --out."
        )
    found, named = front_of(trials), diverged(trials)
    if not found:
        raise SettingsError(
            f"--lr: all {len(trials)} networks that were tried diverged, got {plan.lr}; pass a "
            "smaller one, and another --out."
        )
    whole = 100 * job.accuracy(work, len(job.data().validation))
    chosen = best_of(found, None if drop is None else (whole - drop) / 100)
    write_front(
        folder / FRONT,
        trials,
        chosen,
        images_per_epoch=trainings.images_per_epoch,
        validation_images=len(job.data().validation),
    )
    accuracy = chosen.results[-1].accuracy
    assert accuracy is not None
    return work, {
        "trials": len(trials),
        "diverged": named,
        "front": len(found),
        "images_trained_on": spent(trials) * trainings.images_per_epoch,
        "sizes": chosen.candidate.sizes,
        "size_bytes": chosen.size_bytes,
        "speedups": chosen.speed.speedups,
        "points_lost": whole - 100 * accuracy,
    }


def reach(plan: Settings, model: Classifier, pictures: np.ndarray) -> None:
    """Refuse a budget that no member of the family reaches.

    Raises:
        SettingsError: the smallest file is too large, or the fastest network too slow.
    """
    sample = model.inputs(pictures[np.arange(max(BATCHES)) % len(pictures)])
    costs, budget = Costs(model, sample, layout=plan.layout), _budget(plan)
    family = _family(model, costs, budget)
    smallest = [sizes_at(family.config, family.axes, levels) for levels in corners(family.axes)]
    if budget.size_bytes is not None:
        least = min(map(costs.size_bytes, smallest))
        if least > budget.size_bytes:
            raise SettingsError(
                f"--size: must be at least {least:,}, of the smallest network of the family of "
                f"{plan.model}, got {budget.size_bytes:,.0f}; raise it."
            )
    if budget.speedup is not None:
        fastest = costs.speed(min(smallest, key=costs.operations))
        if slowest(fastest) < budget.speedup:
            raise SettingsError(
                f"--speedup: at most {slowest(fastest):.2f} can be reached in the family of "
                f"{plan.model}, got {budget.speedup:g}; lower it."
            )


def _family(model: Classifier, costs: Costs, budget: Budget) -> Family:
    config = MODELS[model.model].config(model.shape)
    return Family(config, axes_of(config), costs, budget)


def _budget(plan: Settings, room: float = 1.0, faster: float = 1.0) -> Budget:
    size, speedup = plan.get("size"), plan.get("speedup")
    return Budget(
        None if size is None else room * size, None if speedup is None else faster * speedup
    )


def _chosen(folder: Path) -> Mapping[str, Any]:
    return chosen_in(folder / FRONT)


def _extra(plan: Settings) -> int:
    """Return the epochs of the student, lesson and fine-tuning."""
    return taught_epochs(plan) + pruned_epochs(plan)


def controls(plan: Settings) -> Sequence[Stage]:
    """Return the control: the dense network, trained on for as many epochs as the student."""
    del plan
    return [Stage("control", train_on(_extra), write_plain, "stages/control.npz", student=0)]


_STAGES = (
    Stage("searched", search, write_plain, file_of("searched")),
    packed("distilled", teach(0), taught_epochs, student=1)._replace(sizes=_chosen),
    packed("distilled + tuned", TUNE, pruned_epochs, student=1),
)

OPTIONS = (
    Option(
        name="trials",
        kind="whole",
        default=24,
        bounds=(2, None),
        metavar="N",
        help="networks that a search tries, in rounds of 8; each costs a quarter of the epochs of "
        "a full training on average",
    ),
)


def _needs(settings: Settings) -> str:
    if not any(name in settings for name in BUDGETS):
        return "a budget; pass --size, --speedup or --drop, or several"
    if find_spec("optuna") is None:
        return "optuna, which is not installed; pip install -e '.[run,search]'"
    return ""


RECIPES = {
    "search": Recipe(
        "search widths, depth and resolution within a budget; teach the best one",
        ("trials", *BUDGETS, *TEACHING),
        _STAGES,
        _needs,
        controls=controls,
        proof=speedups,
        reach=reach,
    ),
}
