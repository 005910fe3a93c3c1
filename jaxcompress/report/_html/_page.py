"""The whole page."""

from collections.abc import Mapping
from typing import Any

from jaxcompress.report._html._damage import damage
from jaxcompress.report._html._elements import Child, Element, tag, written
from jaxcompress.report._html._headline import headline
from jaxcompress.report._html._layers import structure, where
from jaxcompress.report._html._mistakes import mistakes
from jaxcompress.report._html._numbers import Told
from jaxcompress.report._html._rest import again, skipped
from jaxcompress.report._html._stages import stages, tried
from jaxcompress.report._html._style import STYLE
from jaxcompress.report._html._tried import searched, tickets
from jaxcompress.report._html._weights import weights

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_KINDS = {
    "run": "Report of a run of jaxcompress",
    "files": "Report of a compressed file",
    "result": "Report of a compressed network",
    "plan": "Report of a plan",
}

_LAST = {
    "run": "To make it again",
    "files": "The file",
    "result": "The plan, and the file",
    "plan": "The plan",
}
"""The title of the last section."""


def page(record: Mapping[str, Any]) -> str:
    """Return a record as one HTML file, which needs no script and no network.

    Each number is a `data` element: `value` has it in full, `data-from` the place in the record.
    All text is escaped.

    Args:
        record: of `of_run`, `of_files`, `of_result` or `of_plan`.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from jaxcompress.artifact import save
        >>> from jaxcompress.report import of_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = save(pathlib.Path(folder, "a<b.npz"), {"bias": np.zeros(3, "float32")})
        ...     text = page(of_files([pathlib.Path(folder, "a<b.npz")]))
        >>> "<title>a&lt;b.npz" in text, f'value="{size}"' in text
        (True, True)
    """
    told = Told(record)
    sections = [
        ("headline", "In short", headline(told)),
        ("stages", "Quality against bytes", [*stages(told), *tried(told)]),
        ("search", "Networks that were tried", searched(told)),
        ("tickets", "Lottery tickets", tickets(told)),
        ("bytes", "Where the bytes are", where(told)),
        ("layers", "Which layers hurt", damage(told)),
        ("structure", "Structure", structure(told)),
        ("weights", "Weights", weights(told)),
        ("mistakes", "Mistakes", mistakes(told)),
        ("skipped", "Skipped, and warnings", skipped(told)),
        ("again", _LAST[record["kind"]], again(told)),
    ]
    shown = [(name, title, parts) for name, title, parts in sections if _is_any(parts)]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{record['title']}: {_KINDS[record['kind']].lower()}"),
    )
    style = Element("style")
    style.text = STYLE
    head.append(style)
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in shown]
    body = tag(
        "body",
        tag("a", "To the contents", href="#main", class_="skip"),
        tag("header", _top(record), tag("nav", tag("ul", links), aria_label="Sections")),
        tag("main", [_section(*each) for each in shown], id="main"),
        tag(
            "footer", tag("p", "Every number of this page is in report.json. Made by jaxcompress.")
        ),
    )
    return f"<!DOCTYPE html>\n{written(tag('html', head, body, lang='en'))}\n"


def _is_any(parts: list[Child]) -> bool:
    return any(part is not None and part != [] for part in parts)


def _top(record: Mapping[str, Any]) -> list[Child]:
    found: list[Child] = [
        tag("p", _KINDS[record["kind"]], class_="soft"),
        tag("h1", record["title"]),
    ]
    if record["notice"]:
        found.append(tag("p", record["notice"], class_="note", role="note"))
    if record["warnings"]:
        found.append(tag("p", "; ".join(record["warnings"]), class_="note", role="note"))
    return found


def _section(name: str, title: str, parts: list[Child]) -> Element:
    return tag(
        "section",
        tag("h2", title, id=f"{name}-title"),
        parts,
        id=name,
        aria_labelledby=f"{name}-title",
    )
