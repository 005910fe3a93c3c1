"""Files of rules of `pack`: settings of tensors by patterns of their paths."""

import tomllib
from pathlib import Path
from typing import Any

from jaxcompress.cli.status import Refused
from jaxcompress.oneshot.rules import Rule
from jaxcompress.oneshot.values import asked_rule


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
    pattern = table.pop("match", None)
    if not isinstance(pattern, str):
        raise Refused(f"{where}must have match, a pattern of paths, got {pattern}; add one.")
    return asked_rule(where, pattern, table)
