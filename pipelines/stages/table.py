"""The families of recipes: a row a file of this folder, with its options and recipes."""

from itertools import chain

from pipelines.options.settings import Settings
from pipelines.stages import (
    distilling,
    dropping,
    integers,
    lottery,
    patterns,
    planned,
    pruning,
    rated,
    searched,
    structured,
)
from pipelines.stages.files import write_plain
from pipelines.stages.stage import Recipe, Stage
from pipelines.stages.training import RELOAD, TRAIN, proved, reload, train_on

FAMILIES = (
    pruning,
    patterns,
    lottery,
    structured,
    dropping,
    distilling,
    integers,
    planned,
    rated,
    searched,
)

OPTIONS = {option.name: option for family in FAMILIES for option in family.OPTIONS}
RECIPES: dict[str, Recipe] = {
    name: recipe for family in FAMILIES for name, recipe in family.RECIPES.items()
}


def stages_of(plan: Settings) -> tuple[Stage, ...]:
    """Return the stages of a plan, and its controls if it asks for them.

    The controls are the dense network, trained on for as many extra epochs, and, where units or
    blocks are removed, a network of the final sizes, trained from scratch for all epochs; unless
    the recipe has controls of its own.
    """
    recipe = RECIPES[plan.recipe]
    parts = ([part] if isinstance(part, Stage) else part(plan) for part in recipe.parts)
    last = RELOAD if recipe.proof is None else RELOAD._replace(run=proved(reload, recipe.proof))
    between = (recipe.first or TRAIN, *chain(*parts), last)
    if not plan.control:
        return between
    if recipe.controls:
        return (*between, *recipe.controls(plan))

    def extra(plan: Settings) -> int:
        return sum(stage.extra_epochs(plan) for stage in between)

    control = [Stage("control", train_on(extra), write_plain, "stages/control.npz")]
    if recipe.from_scratch:
        small = recipe.from_scratch(lambda plan: plan.epochs + extra(plan))
        file = "stages/from_scratch.npz"
        control.append(Stage("small from scratch", small, write_plain, file))
    return (*between, *control)
