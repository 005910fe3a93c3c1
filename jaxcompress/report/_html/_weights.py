"""The section of weights: a small histogram of each large tensor, before and after."""

from collections.abc import Sequence
from typing import Any

from jaxcompress.report._html._elements import Child, Element, path, tag
from jaxcompress.report._html._numbers import Told, words

_WIDTH, _HEIGHT, _FOOT = 240, 96, 14


def weights(told: Told) -> list[Child]:
    """Return the histograms."""
    rows = told.at("weights")
    if not rows:
        return []
    figures = [_figure(told, n) for n in range(len(rows))]
    key = [tag("span", class_="key was"), "before, outline"]
    said = tag("p", key, tag("span", class_="key now"), "after, filled", class_="soft")
    text = (
        "Weights other than 0, each histogram to its own height; ticks at the foot are the values "
        "of the codebook or the grid. Zeros are counted beside it."
    )
    if any(row["mask"] for row in rows):
        text += (
            " The grey pictures are masks of convolutions, light where weights are kept: a row is "
            "a position and an input, a column an output."
        )
    return [tag("p", text), said, tag("div", figures, class_="many")]


def _figure(told: Told, n: int) -> Element:
    row, place = told.at("weights")[n], f"weights.{n}"
    text: list[Child] = [tag("b", path(row["path"])), tag("br"), _values(row["values"]), "; "]
    text += [
        "from ",
        told.number(f"{place}.low", "few"),
        " to ",
        told.number(f"{place}.high", "few"),
    ]
    text += ["; zeros "]
    if row["zeros_before"] is not None:
        text += [told.number(f"{place}.zeros_before", "count"), " before, "]
    text += [told.number(f"{place}.zeros_after", "count"), " after"]
    mask = None
    if row["mask"]:
        said = f"mask of {row['path']}: light where weights are kept"
        mask = tag("img", src=f"data:image/png;base64,{row['mask']}", alt=said, class_="mask")
    return tag("figure", _drawn(row), mask, tag("figcaption", text))


def _values(values: dict[str, Any]) -> str:
    if values["kind"] == "codebook":
        return f"codebook of {values['count']}"
    if values["kind"] == "grid":
        return f"one grid, {values['count']} levels in use"
    if values["kind"] == "grids":
        return (
            f"{values['count']:,} grids of {values['bits']} bits, step sizes "
            f"{words(values['smallest'], 'few')} to {words(values['largest'], 'few')}"
        )
    return "product of two or more" if values["kind"] == "product" else "free values"


def _drawn(row: dict[str, Any]) -> Element:
    bins = len(row["after"] or row["before"])
    parts = []
    if row["after"]:
        parts += _bars(row, bins)
    if row["before"]:
        parts.append(_outline(row["before"], bins))
    spread = row["high"] - row["low"]
    for value in row["values"].get("values") or ():
        if spread > 0 and row["low"] <= value <= row["high"]:
            x = f"{_WIDTH * (value - row['low']) / spread:.1f}"
            ends = {"y1": _HEIGHT + 3, "y2": _HEIGHT + 11}
            parts.append(tag("line", x1=x, x2=x, class_="value", **ends))
    base = {"x1": 0, "x2": _WIDTH, "y1": _HEIGHT + 0.5, "y2": _HEIGHT + 0.5}
    parts.append(tag("line", class_="grid", **base))
    said = f"histogram of {row['path']}, {_values(row['values'])}"
    box = f"0 0 {_WIDTH} {_HEIGHT + _FOOT}"
    return tag("svg", tag("title", said), parts, viewBox=box, role="img", aria_label=said)


def _bars(row: dict[str, Any], bins: int) -> list[Element]:
    counts, width = row["after"], _WIDTH / bins
    most, step = max(counts) or 1, (row["high"] - row["low"]) / bins
    found = []
    for n, count in enumerate(counts):
        if not count:
            continue
        height = max(_HEIGHT * count / most, 1)
        ends = (words(row["low"] + step * (n + end), "few") for end in (0, 1))
        title = tag("title", f"{words(count, 'count')} from {' to '.join(ends)}")
        place = {"x": f"{n * width:.1f}", "y": f"{_HEIGHT - height:.1f}"}
        size = {"width": f"{width - 0.5:.1f}", "height": f"{height:.1f}"}
        found.append(tag("rect", title, class_="after", **place, **size))
    return found


def _outline(counts: Sequence[int], bins: int) -> Element:
    most, width = max(counts) or 1, _WIDTH / bins
    way = [f"M0 {_HEIGHT}"]
    for n, count in enumerate(counts):
        y = f"{_HEIGHT - _HEIGHT * count / most:.1f}"
        way.append(f"V{y}H{(n + 1) * width:.1f}")
    return tag("path", d="".join([*way, f"V{_HEIGHT}"]), class_="before")
