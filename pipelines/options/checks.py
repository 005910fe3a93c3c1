"""Refusals before anything is trained."""

from pipelines.errors import SettingsError
from pipelines.options.settings import Settings
from pipelines.options.table import OPTIONS, without_use
from pipelines.stages.table import RECIPES


def check(settings: Settings) -> None:
    """Refuse settings that cannot work, or that recipe, model or quantizer do not use.

    Raises:
        SettingsError: naming the flag, the rule, the value and the remedy.
    """
    for name in ("model", "recipe"):
        OPTIONS[name].check(settings[name], settings)
    recipe = RECIPES[settings.recipe]
    for name in settings:
        user = without_use(OPTIONS[name], settings)
        if user or name in recipe.fixed:
            raise SettingsError(
                f"{OPTIONS[name].flag}: the {user or 'recipe'} has no use for it; leave it out."
            )
    check_needs(settings)
    for name, value in settings.items():
        OPTIONS[name].check(value, settings)


def check_needs(settings: Settings) -> None:
    """Refuse settings, or a plan, in which something is missing for the recipe.

    Raises:
        SettingsError: naming what is missing.
    """
    needs = RECIPES[settings.recipe].needs
    if needs and (missing := needs(settings)):
        raise SettingsError(f"--recipe: {settings.recipe} needs {missing}.")
