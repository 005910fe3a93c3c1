"""A figure of points, with a logarithmic axis to the right."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxcompress.report._html._elements import Element, tag
from jaxcompress.report._html._numbers import words

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 22, 54, 46


class Point(NamedTuple):
    """A point of a figure.

    Attributes:
        x: place on the axis, above 0.
        y: height.
        words: what it is, with its numbers.
        low: end of its interval; None for none.
        high: the other end.
        mark: a short text beside it.
        kind: the class of its mark: "other" stands apart, as controls do, "chosen" stands out,
            "w0" to "w3" are of four series.
    """

    x: float
    y: float
    words: str
    low: float | None = None
    high: float | None = None
    mark: str = ""
    kind: str = ""


class Axis(NamedTuple):
    """The axis to the right.

    Attributes:
        name: what it shows.
        words: a number on it as text.
        limit: place of a line that a budget draws; None for none.
    """

    name: str
    words: Callable[[float], str]
    limit: float | None = None


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


BYTES = Axis("bytes of the file", size_words)


def scatter(
    points: Sequence[Point],
    title: str,
    *,
    y_name: str,
    lines: Sequence[Sequence[int]] = (),
    axis: Axis = BYTES,
) -> Element:
    """Return a figure of points; a tap, a hover or the keyboard tells the numbers of one.

    Args:
        points: to be shown.
        title: what the figure shows, for those who do not see it.
        y_name: of the vertical axis.
        lines: numbers of the points that a line joins, in its order, for each line.
        axis: to the right.
    """
    places, ticks = _scales(points, axis)
    drawn = [_grid(ticks, places, y_name, axis)]
    for line in lines:
        if len(line) > 1:
            way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (places(points[n]) for n in line))
            kind = points[line[0]].kind if points[line[0]].kind in _SERIES else ""
            drawn.append(tag("polyline", points=way, class_=f"path {kind}".strip()))
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


def _scales(points: Sequence[Point], axis: Axis) -> tuple[_Places, tuple[list[float], list[float]]]:
    xs = [*(point.x for point in points), *([axis.limit] if axis.limit else [])]
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


def _grid(
    ticks: tuple[list[float], list[float]], places: _Places, y_name: str, axis: Axis
) -> Element:
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
        label = tag("text", axis.words(value), x=x, y=bottom + 21, text_anchor="middle")
        if not is_round and len(ticks[0]) > _FEW_TICKS:
            label.set("class", "dense")
        lines.append(label)
    lines.append(tag("text", y_name, x=0, y=15))
    lines.append(tag("text", axis.name, x=_WIDTH - _RIGHT, y=_HEIGHT - 4, text_anchor="end"))
    if axis.limit:
        x = f"{places.x(axis.limit):.1f}"
        lines.append(tag("line", x1=x, x2=x, y1=_TOP - 6, y2=_HEIGHT - _BOTTOM, class_="limit"))
    return tag("g", lines, class_="axis", aria_hidden="true")


def _mark(point: Point, places: _Places) -> Element:
    x, y = places(point)
    parts = [tag("title", point.words)]
    if point.low is not None and point.high is not None:
        ends = {"y1": f"{places.y(point.low):.1f}", "y2": f"{places.y(point.high):.1f}"}
        parts.append(tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", class_="span", **ends))
    if point.kind in _CORNERS:
        corners = ((x + 6 * right, y + 6 * down) for right, down in _CORNERS[point.kind])
        way = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        parts.append(tag("polygon", points=way, class_="point"))
    else:
        radius = "7" if point.kind == "chosen" else "5"
        parts.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=radius, class_="point"))
    parts.append(tag("text", point.words, x=_WIDTH - _RIGHT, y=39, text_anchor="end", class_="tip"))
    return tag(
        "g",
        parts,
        tabindex="0",
        role="img",
        aria_label=point.words,
        class_=point.kind or None,
    )


_SERIES = ("w0", "w1", "w2", "w3")
_CORNERS = {
    "other": ((0, -1), (1, 0), (0, 1), (-1, 0)),
    "w1": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "w2": ((0, -1), (1, 0.8), (-1, 0.8)),
    "w3": ((-1, -0.8), (1, -0.8), (0, 1)),
}
"""Marks that are no circles, by kind: their corners, in units of six."""


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


_FEW_TICKS = 4  # all of which a narrow screen has room for

_NEAR = 18
"""Distance below which points share a text."""
