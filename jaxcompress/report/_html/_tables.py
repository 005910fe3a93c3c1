"""Tables: a caption, headings with a scope, and a container of their own to scroll in."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxcompress.report._html._elements import Child, Element, tag

MOST_ROWS = 250
"""Rows of a table; the record has all."""

_FIRST = 30
"""Rows that are shown at once; the others unfold."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: its heading.
        kind: class of its cells: `text` to the left, `text long` for sentences, `` for numbers.
    """

    name: str
    kind: str = ""


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Child]],
    *,
    foot: Sequence[Child] | None = None,
) -> Element:
    """Return a table whose first column is a heading of its rows.

    Args:
        caption: what it shows.
        columns: of the table.
        rows: a cell a column.
        foot: of the table; None for none.
    """
    head = tag("tr", [tag("th", c.name, scope="col", class_=c.kind or None) for c in columns])
    parts: list[Any] = [
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", [_row(columns, row) for row in rows]),
    ]
    if foot is not None:
        parts.append(tag("tfoot", _row(columns, foot)))
    return tag(
        "div", tag("table", parts), class_="wide", tabindex="0", role="region", aria_label=caption
    )


def folded(
    caption: str, columns: list[Column], cells: list[list[Child]], foot: list[Child] | None = None
) -> list[Child]:
    """Return a table of the first rows, and one of the others, which unfolds.

    Args:
        caption: what it shows.
        columns: of the table.
        cells: of the rows.
        foot: of the first table; None for none.
    """
    first, more = cells[:_FIRST], cells[_FIRST:]
    found: list[Child] = [table(caption, columns, first, foot=foot)]
    if more:
        rest = table(f"{caption}: the others", columns, more)
        found.append(tag("details", tag("summary", f"{len(more):,} more"), rest))
    return found


def _row(columns: Sequence[Column], cells: Sequence[Child]) -> Element:
    found = []
    for number, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        if isinstance(cell, Element) and cell.tag == "td":
            found.append(cell)
            continue
        name, more = ("td", {}) if number else ("th", {"scope": "row"})
        found.append(tag(name, cell, class_=column.kind or None, **more))
    return tag("tr", found)
