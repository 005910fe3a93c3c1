"""Structured pruning: rounds of cutting units out and fine-tuning the rest."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.prune import UnitScore
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.stages.files import packed
from pipelines.stages.pruning import PRUNED, PRUNING, SHARED, SHARING
from pipelines.stages.stage import Facts, Recipe, Run, Stage, Trainer, Work
from pipelines.stages.training import adamw, pruned_epochs, tune

TRACED = 2  # pictures; their number does not change the groups of units
PROVED = 8

ChooseScore = Callable[[Settings, int], UnitScore]
"""From the plan and the number of a round to the score of units."""


def by_magnitude(plan: Settings, number: int) -> UnitScore:
    """Return the score of the classic recipe: the sum of the magnitudes of a unit's weights."""
    del plan, number
    return jc.prune.l1_score


def at_random(plan: Settings, number: int) -> UnitScore:
    """Return a score that ignores the weights: the control of pruning."""
    return jc.prune.random_unit_score(jax.random.fold_in(jax.random.key(plan.seed), number))


def rounds(score: ChooseScore) -> Callable[[Settings], Sequence[Stage]]:
    """Return the stages of all rounds, `plan.rounds` of them, as a function of the plan."""

    def stages(plan: Settings) -> Sequence[Stage]:
        result = []
        if "group_lasso" in plan:
            result.append(packed("regularized", regularize, pruned_epochs))
        for number in range(1, plan.rounds + 1):
            name = f"cut {number}/{plan.rounds}" if plan.rounds > 1 else "cut"
            epochs = _epochs(number)
            result.append(packed(name, cut(number, score)))
            result.append(packed(f"{name} + tuned", tune(epochs), epochs))
        return result

    return stages


def _epochs(number: int) -> Callable[[Settings], int]:
    """Return the epochs of fine-tuning of a round: an equal part of all epochs, at least one."""

    def epochs(plan: Settings) -> int:
        total, rounds = plan.finetune_epochs, plan.rounds
        return max(total * number // rounds - total * (number - 1) // rounds, 1)

    return epochs


def cut(number: int, score: ChooseScore) -> Run:
    """Return the stage that cuts up to `remove_channels * number / rounds` of the first units."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        plan, x = job.plan, job.sample(TRACED)
        tree = work.tree
        groups = jc.unit_groups(job.apply, tree, x)
        first = jc.unit_groups(job.apply, Work(*job.classifier.blank()).tree, x)
        # A group may be renamed when another one has one unit left: then its size now counts.
        whole = _sizes(groups) | _sizes(first)
        gone = plan.remove_channels * number / plan.rounds
        removed = {
            name: max(1 - max(round((1 - gone) * whole[name]), 1) / size, 0.0)
            for name, size in _sizes(groups).items()
        }
        chosen = score(plan, number)
        keep: dict[str, np.ndarray] = {}
        if groups or not first:  # with one unit left in each there are no groups to cut
            keep = jc.choose_units(
                tree, groups, remove=removed, score=chosen, round_to=plan.round_to
            )
        small = jc.shrink(tree, groups, keep)
        result = work._replace(params=small["params"], stats=small["stats"])
        left = {name: [whole[name], int(np.sum(stay))] for name, stay in keep.items()}
        facts: Facts = {"units": left}
        if not all(np.all(stay) for stay in keep.values()):
            sample = job.sample(PROVED)
            facts["silenced_difference"] = jc.check_shrink(job.apply, tree, groups, keep, sample)
        return job.recalibrated(result), facts

    return run


def from_scratch(epochs: Callable[[Settings], int]) -> Run:
    """Return the control of all cutting: a network of the final sizes, trained from scratch."""

    def run(job: Trainer, work: Work) -> tuple[Work, Facts]:
        del work
        small, facts = cut(job.plan.rounds, at_random)(job, job.fresh())
        return tune(epochs)(job, small)[0], facts

    return run


def regularize(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train on with a penalty on the norms of units that grows from 0."""
    epochs, plan = job.plan.finetune_epochs, job.plan
    groups = jc.unit_groups(job.apply, work.tree, job.sample(TRACED))

    def penalty(params: Any) -> jax.Array:
        return jc.prune.group_lasso(work._replace(params=params).tree, groups)

    growing = optax.linear_schedule(0.0, plan.group_lasso, job.steps(epochs))
    tx = optax.chain(jc.optim.add_penalty(penalty, strength=growing), adamw(job, epochs))
    return job.fit(work, tx, epochs=epochs), {}


def _sizes(groups: jc.prune.UnitGroups) -> dict[str, int]:
    return {group.name: group.size for group in groups}


# Options and recipes

_LARGEST_CUT = 0.2


def _rounds(settings: Settings) -> int:
    """Return the number of rounds: as many as are needed to remove at most a part in each."""
    if "remove_channels" in settings:
        enough = math.ceil(round(settings.remove_channels / _LARGEST_CUT, 9))
    else:  # weights, of which each round removes at most half of what is left
        enough = math.ceil(round(-math.log2(1 - settings.sparsity), 9))
    return settings.get("rounds") or max(enough, 1)


OPTIONS = (
    Option(
        name="remove_channels",
        kind="removed units",
        default=0.5,
        metavar="S",
        help="fraction of the channels of every layer (units of every group) to remove, in [0, 1)",
        recorded="channels",
        unused=0.0,
    ),
    Option(
        name="rounds",
        kind="whole",
        default=_rounds,
        shown=f"as many as remove at most {_LARGEST_CUT} of the channels each; lottery: half of "
        "the weights that are left",
        bounds=(1, None),
        metavar="N",
        help="rounds of cutting and fine-tuning, or of tickets; 1 cuts all at once",
        recorded="steps",
        unused=0,
    ),
    Option(
        name="round_to",
        kind="whole",
        default=1,
        bounds=(1, None),
        metavar="N",
        help="keep multiples of N channels, where a layer has as many; 16 suits processors",
        recorded="round_to",
        unused=1,
    ),
    Option(
        name="group_lasso",
        kind="above",
        bounds=(0, None),
        remedy="0.0001 is usual",
        metavar="L",
        help="before the cuts, train with a penalty on the norms of channels that grows to L",
        recorded="group_lasso",
        unused=0.0,
    ),
)

CUTTING = ("remove_channels", "rounds", "round_to", "group_lasso")

_CUT = rounds(by_magnitude)

RECIPES = {
    "structured": Recipe(
        "cut channels out by L1 norm and fine-tune, in rounds: smaller and faster",
        CUTTING,
        (_CUT,),
        from_scratch=from_scratch,
    ),
    "structured+shared": Recipe(
        "structured, then prune+share on the smaller network",
        CUTTING + PRUNING + SHARING,
        (_CUT, *PRUNED, *SHARED),
        from_scratch=from_scratch,
    ),
    "structured-random": Recipe(
        "structured with channels chosen at random: the control of pruning",
        CUTTING,
        (rounds(at_random),),
        from_scratch=from_scratch,
    ),
}
