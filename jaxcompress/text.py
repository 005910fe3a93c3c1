"""Text on a screen; what others wrote, such as names in a file, can steer nothing.

What is not printable is written as an escape: control characters (C0, DEL, C1), separators of
lines, marks of direction and of no width, unpaired surrogates, unassigned code points.

    ascii_json   JSON in printable ASCII
    as_html      text of several lines as HTML, for notebooks
    escaped      text with whatever is not printable escaped
    json_digest  a short digest of plain data
    printable    a message on one line
    shape_text   a shape such as 3x3x64
    shortened    escaped text of at most so many characters
    table_lines  the lines of a table
"""

import hashlib
import html
import json
import math
from collections.abc import Sequence
from typing import Any

__all__ = [
    "as_html",
    "ascii_json",
    "escaped",
    "json_digest",
    "printable",
    "shape_text",
    "shortened",
    "table_lines",
]


def escaped(text: str) -> str:
    r"""Return the text with whatever is not printable as Python escapes it.

    Example:
        >>> escaped("caf\xe9\x1b]0;x\x07\u202e\n")
        'café\\x1b]0;x\\x07\\u202e\\n'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def as_html(text: str) -> str:
    r"""Return text of several lines as HTML, as notebooks show it: columns stay below each other.

    Example:
        >>> as_html("a  <b>\n1\x1b  2")
        '<pre>a  &lt;b&gt;\n1\\x1b  2</pre>'
    """
    lines = "\n".join(map(escaped, text.split("\n")))
    return f"<pre>{html.escape(lines)}</pre>"


def printable(text: str) -> str:
    r"""Return a message on one line: its lines joined by spaces, the rest `escaped`.

    Example:
        >>> printable("two differences:\n  \x9bname")
        'two differences: \\x9bname'
    """
    return escaped(" ".join(line.strip() for line in text.splitlines() if line.strip()))


def shortened(text: str, *, most: int = 80) -> str:
    """Return the escaped text, its end left out where it is longer than `most` characters.

    Example:
        >>> shortened("a long name", most=8)
        'a lon...'
    """
    # Cut before escaping too: the text may be as long as a file.
    shown = escaped(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def table_lines(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    r"""Return the lines of a table: its first columns to the left, the others to the right.

    Args:
        rows: cells, as many in each.
        left: how many columns.

    Example:
        >>> print("\n".join(table_lines([["name", "size"], ["a", "7"]])))
        name  size
        a        7
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        [
            cell.ljust(width) if n < left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    return ["  ".join(line).rstrip() for line in lines]


def shape_text(dims: Sequence[int]) -> str:
    """Return a shape as text.

    Example:
        >>> shape_text((3, 3, 64)), shape_text(())
        ('3x3x64', 'scalar')
    """
    return "x".join(map(str, dims)) or "scalar"


def ascii_json(value: Any, *, indent: int | None = None) -> str:
    r"""Return JSON in printable ASCII; numbers that are not finite become null.

    Example:
        >>> ascii_json({"\x7f\x9b": float("nan")})
        '{"\\u007f\\u009b": null}'
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_digest(value: Any) -> str:
    """Return twelve hexadecimal digits of JSON, the same for the same plain data.

    Example:
        >>> json_digest([{"units": {}}, {"w": "leave"}, False])
        'f58a383a6e41'
    """
    told = json.dumps(value, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]
