"""All options in one table: those of every run, of models, and of the files of `stages/`."""

from collections.abc import Iterator
from typing import Any

from pipelines.models import choices
from pipelines.options import every_run
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.stages.table import OPTIONS as OF_RECIPES
from pipelines.stages.table import RECIPES

OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        choices.MODEL,
        every_run.RECIPE,
        *OF_RECIPES.values(),
        every_run.CONTROL,
        *every_run.DATA_OPTIONS,
        *choices.OPTIONS,
        *every_run.TRAINING_OPTIONS,
        *every_run.OUTPUT_OPTIONS,
        *every_run.PREDICT_OPTIONS,
    )
}


def settings_of(**given: Any) -> Settings:
    """Return the settings that were given, with the constant defaults of all recipes.

    Raises:
        TypeError: there is no such option.
    """
    if unknown := [name for name in given if name not in OPTIONS or not OPTIONS[name].of_run]:
        raise TypeError(f"{unknown[0]}: is no option of a run; see pipelines/options/table.py.")
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    every = {
        name: option.default
        for name, option in OPTIONS.items()
        if option.of_run and name not in OF_RECIPES and not callable(option.default)
    }
    for name, recipe in RECIPES.items():
        if any(values.get(option) is not None for option in recipe.chosen_by):
            every["recipe"] = name
    return Settings(**every | {name: v for name, v in values.items() if v is not None})


def without_use(option: Option, settings: Settings) -> str:
    """Return who has no use for an option: recipe, model or quantizer; "" if all have."""
    recipe = RECIPES[settings.recipe]
    if option.name in OF_RECIPES and option.name not in (*recipe.options, *recipe.fixed):
        return "recipe"
    if option.used_by is not None and not option.used_by.uses(option.name, settings):
        return option.used_by.named(settings)
    return ""


def used(settings: Settings) -> Iterator[Option]:
    """Yield the options that a run of these settings uses, in the order of the table."""
    for option in OPTIONS.values():
        if option.of_run and not without_use(option, settings):
            yield option
