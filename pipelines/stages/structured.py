"""The stages of structured pruning: rounds of cutting units out and fine-tuning the rest."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

import jaxcompress as jc
from jaxcompress.prune import UnitScore
from pipelines.options.plan import Plan
from pipelines.stages.common import adamw, packed, pruned_epochs, tune
from pipelines.stages.stage import Facts, Run, Stage, Trainer, Work

TRACED = 2  # pictures; their number does not change the groups of units
PROVED = 8

ChooseScore = Callable[[Plan, int], UnitScore]
"""From the plan and the number of a round to the score of units."""


def by_magnitude(plan: Plan, number: int) -> UnitScore:
    """Return the score of the classic recipe: the sum of the magnitudes of a unit's weights."""
    del plan, number
    return jc.prune.l1_score


def at_random(plan: Plan, number: int) -> UnitScore:
    """Return a score that ignores the weights: the control of pruning."""
    return jc.prune.random_unit_score(jax.random.fold_in(jax.random.key(plan.seed), number))


def rounds(score: ChooseScore) -> Callable[[Plan], Sequence[Stage]]:
    """Return the stages of all rounds, `plan.rounds` of them, as a function of the plan."""

    def stages(plan: Plan) -> Sequence[Stage]:
        result = []
        if plan.group_lasso:
            result.append(packed("regularized", regularize, pruned_epochs))
        for number in range(1, plan.rounds + 1):
            name = f"cut {number}/{plan.rounds}" if plan.rounds > 1 else "cut"
            epochs = _epochs(number)
            result.append(packed(name, cut(number, score)))
            result.append(packed(f"{name} + tuned", tune(epochs), epochs))
        return result

    return stages


def _epochs(number: int) -> Callable[[Plan], int]:
    """Return the epochs of fine-tuning of a round: an equal part of all epochs, at least one."""

    def epochs(plan: Plan) -> int:
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


def from_scratch(epochs: Callable[[Plan], int]) -> Run:
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
