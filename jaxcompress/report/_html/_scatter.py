"""A figure of points, sizes to the right on a logarithmic axis."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxcompress.report._html._elements import Element, tag
from jaxcompress.report._html._numbers import words

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 22, 54, 46


class Point(NamedTuple):
    """A point of a figure.

    Attributes:
        x: bytes, above 0.
        y: height.
        words: what it is, with its numbers.
        low: end of its interval; None for none.
        high: the other end.
        mark: a short text beside it.
        is_other: whether it stands apart, as controls do.
    """

    x: float
    y: float
    words: str
    low: float | None = None
    high: float | None = None
    mark: str = ""
    is_other: bool = False


def scatter(points: Sequence[Point], title: str, *, y_name: str, line: Sequence[int]) -> Element:
    """Return a figure of points; a tap, a hover or the keyboard tells the numbers of one.

    Args:
        points: to be shown.
        title: what the figure shows, for those who do not see it.
        y_name: of the vertical axis.
        line: numbers of the points that a line joins, in its order.
    """
    places, ticks = _scales(points)
    drawn = [_grid(ticks, places, y_name)]
    if len(line) > 1:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (places(points[n]) for n in line))
        drawn.append(tag("polyline", points=way, class_="path"))
    drawn += [_mark(point, places) for point in points]
    drawn.append(tag("g", _names(points, places), aria_hidden="true"))
    return tag(
        "svg",
        drawn,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="group",
        aria_label=title,
        class_="chart",
    )


class _Places:
    """From numbers to places in the figure."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self.xs, self.ys = xs, ys

    def x(self, value: float) -> float:
        low, high = self.xs
        part = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.ys
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def __call__(self, point: Point) -> tuple[float, float]:
        return self.x(point.x), self.y(point.y)


def _scales(points: Sequence[Point]) -> tuple[_Places, tuple[list[float], list[float]]]:
    xs = [point.x for point in points]
    ys = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    low, high = min(xs) / 1.25, max(xs) * 1.25
    y_ticks = _nice(min(ys), max(ys))
    places = _Places((low, high), (min(y_ticks[0], *ys), max(y_ticks[-1], *ys)))
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if high / low > 300 else (1, 2, 5)
    x_ticks = [m * 10.0**e for e in decades for m in steps if low <= m * 10.0**e <= high]
    return places, (x_ticks, y_ticks)


def _nice(low: float, high: float) -> list[float]:
    """Return round numbers around an interval."""
    spread = (high - low) or abs(high) or 1.0
    raw = spread / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * n for n in range(first, max(last, first + 1) + 1)]


def _grid(ticks: tuple[list[float], list[float]], places: _Places, y_name: str) -> Element:
    lines = []
    for value in ticks[1]:
        y = f"{places.y(value):.1f}"
        lines.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        label = words(round(value, 10), "few")
        lines.append(tag("text", label, x=_LEFT - 8, y=y, dy="0.35em", text_anchor="end"))
    for value in ticks[0]:
        x, bottom = f"{places.x(value):.1f}", _HEIGHT - _BOTTOM
        lines.append(tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, class_="grid"))
        is_round = f"{value:.0e}"[0] == "1"
        label = tag("text", size_words(value), x=x, y=bottom + 21, text_anchor="middle")
        if not is_round:
            label.set("class", "dense")
        lines.append(label)
    lines.append(tag("text", y_name, x=0, y=15))
    lines.append(
        tag("text", "bytes of the file", x=_WIDTH - _RIGHT, y=_HEIGHT - 4, text_anchor="end")
    )
    return tag("g", lines, class_="axis", aria_hidden="true")


def size_words(value: float) -> str:
    """Return bytes in words.

    Example:
        >>> size_words(24150), size_words(5e6)
        ('24.1 kB', '5 MB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} B"


def _mark(point: Point, places: _Places) -> Element:
    x, y = places(point)
    parts = [tag("title", point.words)]
    if point.low is not None and point.high is not None:
        ends = {"y1": f"{places.y(point.low):.1f}", "y2": f"{places.y(point.high):.1f}"}
        parts.append(tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", class_="span", **ends))
    if point.is_other:
        corners = ((x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y))
        way = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        parts.append(tag("polygon", points=way, class_="point"))
    else:
        parts.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="5", class_="point"))
    parts.append(tag("text", point.words, x=_WIDTH - _RIGHT, y=39, text_anchor="end", class_="tip"))
    return tag(
        "g",
        parts,
        tabindex="0",
        role="img",
        aria_label=point.words,
        class_="other" if point.is_other else None,
    )


def _names(points: Sequence[Point], places: _Places) -> list[Element]:
    """Return the marks of points; those of points close together are one text."""
    groups: list[tuple[float, float, list[str]]] = []
    for point in points:
        x, y = places(point)
        near = next((g for g in groups if abs(g[0] - x) < _NEAR and abs(g[1] - y) < _NEAR), None)
        if near is None:
            groups.append((x, y, [point.mark]))
        else:
            near[2].append(point.mark)
    found = []
    for x, y, marks in groups:
        is_right = x > _WIDTH - 90
        place = {
            "x": f"{x - 9 if is_right else x + 9:.1f}",
            "y": f"{y - (20 if is_right else 8):.1f}",
        }
        anchor = "end" if is_right else "start"
        text = ", ".join(filter(None, marks))
        found.append(tag("text", text, text_anchor=anchor, class_="dense", **place))
    return found


_NEAR = 18
"""Distance below which points share a text."""
