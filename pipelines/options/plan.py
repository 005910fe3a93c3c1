"""The plan of a run: all that it uses, chosen; and how files record it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import SettingsError
from pipelines.options.checks import check, check_needs
from pipelines.options.settings import Settings
from pipelines.options.table import OPTIONS, settings_of, used
from pipelines.stages.table import RECIPES


def plan_of(settings: Settings, *, data: str, train_size: int) -> Settings:
    """Return the settings that decide the result, with the defaults of all that is used.

    Args:
        settings: that passed `check`.
        data: name of the dataset.
        train_size: number of training images.

    Raises:
        SettingsError: fewer training images than one batch, or a default leaves the recipe without
            what it needs.
    """
    if train_size < settings.batch_size:
        raise SettingsError(
            f"--batch-size: must be at most the {train_size} training images, got "
            f"{settings.batch_size}; pass --batch-size {train_size} or raise --limit."
        )
    plan = settings.but(data=data, **RECIPES[settings.recipe].fixed)
    for option in used(plan):
        plan = plan.but(**{option.name: option.value(plan)})
    check_needs(plan)
    return Settings(**{name: plan[name] for name in OPTIONS if name in plan and _decides(name)})


def planned(train_size: int, *, data: str, **given: Any) -> Settings:
    """Return the plan of a run with these options, for programs; `data` is no `auto`.

    Raises:
        SettingsError: it cannot work.
    """
    settings = settings_of(data=data, **given)
    check(settings)
    return plan_of(settings, data=data, train_size=train_size)


def recorded(plan: Settings) -> dict[str, Any]:
    """Return a plan as JSON, under the names of the options: what is not used is absent."""
    return {name: _as_json(value) for name, value in plan.items()}


def command_of(plan: Settings) -> str:
    """Return a command line that repeats a run; folders are left out, as they are of one machine.

    Every option that the run used is in it, also one that was not given.
    """
    words = ["python", "run.py"]
    for name, value in plan.items():
        option = OPTIONS[name]
        if isinstance(value, Path):
            words += [option.flag, value.name]
            continue
        is_none = value is False or value == ()
        is_fixed = name in RECIPES[plan.recipe].fixed
        if is_none or is_fixed or (option.fits and option.fits(value, plan)):
            continue  # nobody can give it
        words.append(option.flag)
        if value is not True:
            words += map(str, value if isinstance(value, (tuple, list)) else [value])
    return shlex.join(words)


def recorded_1(plan: Settings, students: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the field `settings` of `results.json`, version 1.

    Some options have their first names there, and those that are not used have a value that says
    so, as 0.

    Args:
        plan: of the run.
        students: the sizes of each student.
    """
    return {
        option.recorded: _as_json(plan.get(name, option.unused))
        for name, option in OPTIONS.items()
        if option.recorded
    } | {"students": [dict(sizes) for sizes in students]}


def _decides(name: str) -> bool:
    return OPTIONS[name].decides


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
