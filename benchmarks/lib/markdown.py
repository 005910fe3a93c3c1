"""What all tables of README and docs need: rows, footnotes, figures of earlier records."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Sequence[str]]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return mean and range of several seeds."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    three = (statistics.mean(values), min(values), max(values))
    mean, low, high = (f"{value:.{digits}f}" for value in three)
    return f"{mean} ({low} to {high})"


def markdown(header: Sequence[str], rows: Rows, *, left: int = 1) -> list[str]:
    """Return a table, the first `left` columns to the left and the others to the right."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def with_earlier(
    header: Sequence[str], make: Callable[[Any], Rows], content: Mapping[str, Any]
) -> list[str]:
    """Return a table with its footnote, and a last column of what the last figure was before.

    Args:
        header: of the columns that `make` fills.
        make: from figures to rows; the first cell of a row is its name.
        content: of the record. Without a history the table has no further column.
    """
    rows = make(content["figures"])
    if not content.get("history"):
        return markdown(header, rows) + footnote(content)
    earlier = content["history"][0]
    was = {row[0]: row[-1] for row in make(earlier["figures"])}
    table = markdown([*header, "was"], [[*row, was.get(row[0], "")] for row in rows])
    more = f" The last column was measured {_made(earlier)}: {earlier['hardware']}."
    return table + footnote(content, more)


def footnote(content: Mapping[str, Any], more: str = "") -> list[str]:
    """Return what a reader needs to repeat the figures, and to know how old they are."""
    seeds = ", ".join(map(str, content["seeds"]))
    return [
        "",
        f"`{content['command']}`, {_made(content)}: {content['hardware']}; "
        f"jax {content['versions']['jax']}, numpy {content['versions']['numpy']}; "
        f"seeds {seeds}.{more}",
    ]


def _made(content: Mapping[str, Any]) -> str:
    edited = ", edited" if content.get("dirty") else ""
    return f"{content['date']} at {content['commit']}{edited}"
