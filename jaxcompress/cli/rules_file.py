"""Files of rules of `pack`: settings of tensors by patterns of their paths."""

import tomllib
from pathlib import Path
from typing import Any

from jaxcompress.cli.pack_values import (
    check_values,
    checked_axis,
    checked_block,
    checked_value,
    usual_way,
)
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.rules import Rule
from jaxcompress.oneshot.ways import NAMED, WAYS

_RULE_KEYS = (
    "match",
    "keep",
    "quantizer",
    "bits",
    "clusters",
    "step_size",
    "block",
    "channel_axis",
)


def rules_of(path: Path) -> list[Rule]:
    """Return the rules of a TOML file.

    Raises:
        Refused: it is no TOML, or says something else than rules.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: must be TOML, got {error}; see the page of the command.") from None
    tables = told.pop("rules", [])
    if told or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise Refused(
            f"{path}: must hold tables [[rules]] and nothing else, got {', '.join(told) or 'rules'}"
            "; see the page of the command."
        )
    return [_rule(f"{path}: rule {number}: ", t) for number, t in enumerate(tables, start=1)]


def _rule(where: str, table: dict[str, Any]) -> Rule:
    unknown = [key for key in table if key not in _RULE_KEYS]
    if unknown or not isinstance(table.get("match"), str):
        raise Refused(
            f"{where}must have match, and of {', '.join(_RULE_KEYS[1:])} what it sets, got "
            f"{', '.join(unknown or table)}; correct it."
        )
    keep = table.get("keep", False)
    values = {key: table.get(key) for key in ("bits", "clusters", "step_size")}
    name = table.get("quantizer")
    if not isinstance(keep, bool) or (keep and len(table) > 2) or (name not in (None, *NAMED)):
        raise Refused(
            f"{where}must have keep = true alone, or one of {', '.join(NAMED)} as quantizer, got "
            f"{table}; correct it."
        )
    if keep:
        return Rule(table["match"], None)
    settings: dict[str, Any] = {}
    if name is not None or any(value is not None for value in values.values()):
        name = name or usual_way(values, None)
        check_values(where, name, values)
        value = values[WAYS[name].parameter]
        value = WAYS[name].default if value is None else value
        settings = {"way": name, "value": checked_value(where, name, value)}
    if "block" in table:
        settings["block"] = checked_block(f"{where}block", table["block"])
    if "channel_axis" in table:
        settings["axis"] = checked_axis(f"{where}channel_axis", table["channel_axis"])
    if not settings:
        raise Refused(f"{where}must set something, got match alone; add keep = true, say.")
    return Rule(table["match"], settings)
