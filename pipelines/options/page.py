"""Tables of pages, made from the table of options: flags, recipes, and fields of results.json."""

import json
from collections.abc import Callable, Iterable

from pipelines.options.fields import FIELDS, OF_STAGES
from pipelines.options.option import GROUPS, KINDS, Option
from pipelines.options.table import OF_RECIPES, OPTIONS
from pipelines.stages.table import RECIPES


def flags() -> list[str]:
    """Return a row for each flag: what it means, what may be passed, and the default."""
    rows = []
    for group in GROUPS:
        for option in OPTIONS.values():
            if option.group == group:
                rows.append((_usage(option), option.help, _values(option), _default(option)))
    return _table(("flag", "meaning", "values", "default"), rows)


def recipes() -> list[str]:
    """Return a row for each recipe, with the flags that it uses and others do not."""
    rows = (
        (f"`{name}`", recipe.summary, ", ".join(f"`{OPTIONS[o].flag}`" for o in recipe.options))
        for name, recipe in RECIPES.items()
    )
    return _table(("`--recipe`", "what it does", "its flags"), rows)


def result_fields() -> list[str]:
    """Return a line for each field of `results.json`, of its settings and of its stages."""
    below: dict[tuple[str, ...], list[str]] = {
        ("settings",): list(_settings()),
        ("stages",): list(map(_field, OF_STAGES)),
    }
    lines = []
    for field in FIELDS:
        lines.append(f"- {_field(field)}")
        lines += [f"  - {line}" for line in below.get(field[0], ())]
    return lines


def _field(field: tuple[tuple[str, ...], str]) -> str:
    names, meaning = field
    return f"{', '.join(f'`{name}`' for name in names)}: {meaning}"


def _settings() -> Iterable[str]:
    """Yield a line for each key of `settings` that differs from its option, or has no use."""
    for name, option in OPTIONS.items():
        if not option.recorded:
            continue
        key, unused = f"`{option.recorded}` is", json.dumps(option.unused)
        if option.recorded != name:
            key += f" `{option.flag}`,"
        if name in OF_RECIPES or option.used_by:
            yield f"{key} {unused} where it is not used."
        elif option.default is None and not option.required:
            yield f"{key} {unused} where it was not given."
    yield "`students` is a list of the sizes of each student, empty where there are none."


def _usage(option: Option) -> str:
    many = "..." if KINDS[option.kind].many else ""
    value = f" {option.metavar}{many}" if option.metavar else ""
    return f"`{option.flag}{value}`"


def _values(option: Option) -> str:
    if option.kind == "choice":
        listed = ", ".join(f"`{choice}`" for choice in option.bounds)
        return "[see above](#recipes)" if option.name == "recipe" else listed
    if not option.bounds:
        return ""
    least, most = option.bounds
    if option.kind == "above":
        return f"above {least}"
    return f"{least} or more" if most is None else f"{least} to {most}"


def _default(option: Option) -> str:
    return "required" if option.required else option.default_in_words


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    header = tuple(header)
    return [f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows)]


TABLES: dict[str, Callable[[], list[str]]] = {
    "flags": flags,
    "recipes": recipes,
    "result_fields": result_fields,
}
"""By the name between the markers of a page."""
