"""Rectangles whose areas are bytes, by layer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxcompress.report._html._elements import Element, tag
from jaxcompress.report._html._numbers import words
from jaxcompress.report._html._scatter import size_words

_WIDTH, _HEIGHT = 480, 220
_MOST = 20
"""Rectangles of a figure; of more layers those of one block are one, and the smallest are."""

_FEW, _MANY = 4, 60
"""So few blocks say nothing: up to so many layers are not taken together to them."""

_LETTER = 7.0  # pixels of a letter of a label, at most on average
_LINE = 18  # pixels
_LEAST_LETTERS = 3
_OTHERS = "others"


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


def squarified(sizes: Sequence[float], box: Box) -> list[Box]:
    """Return rectangles of these areas that fill a box, as near to squares as rows allow.

    Args:
        sizes: above 0, the largest first; they are scaled to the area of the box.
        box: to fill.

    Source:
        M. Bruls, K. Huizing, J. J. van Wijk, Squarified treemaps, 2000.

    Example:
        >>> [tuple(map(round, each)) for each in squarified([2, 1, 1], Box(0, 0, 4, 2))]
        [(0, 0, 2, 2), (2, 0, 2, 1), (2, 1, 2, 1)]
    """
    unit = box.width * box.height / sum(sizes) if sizes else 0.0
    left, found = [size * unit for size in sizes], []
    while left:
        side = min(box.width, box.height)
        count = 1
        while count < len(left) and _worst(left[: count + 1], side) <= _worst(left[:count], side):
            count += 1
        row, left = left[:count], left[count:]
        boxes, box = _laid(row, box)
        found += boxes
    return found


def _worst(row: Sequence[float], side: float) -> float:
    """Return the largest ratio of sides of a row of rectangles along a side."""
    whole = sum(row)
    return max(side**2 * max(row) / whole**2, whole**2 / (side**2 * min(row)))


def _laid(row: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """Return a row of rectangles along the shorter side of a box, and what is left of it."""
    found, place = [], 0.0
    if box.width >= box.height:
        deep = min(sum(row) / box.height, box.width)
        for area in row:
            found.append(Box(box.x, box.y + place, deep, area / deep))
            place += area / deep
        return found, Box(box.x + deep, box.y, max(box.width - deep, 1e-9), box.height)
    deep = min(sum(row) / box.width, box.height)
    for area in row:
        found.append(Box(box.x + place, box.y, area / deep, deep))
        place += area / deep
    return found, Box(box.x, box.y + deep, box.width, max(box.height - deep, 1e-9))


def treemap(
    layers: Sequence[Mapping[str, Any]], when: str, colours: Mapping[str, str], title: str
) -> Element:
    """Return a figure of the bytes of layers; titles tell the numbers.

    Args:
        layers: with `layer`, `form` and bytes, as in `bytes_by_layer`.
        when: `before` or `after`.
        colours: class of a form.
        title: what the figure shows, for those who do not see it.
    """
    some = sorted((part for part in _blocks(layers, when) if part[1] > 0), key=_by_size)
    parts = [(name, size, colours.get(form, "f5")) for name, size, form in some[:_MOST]]
    if some[_MOST:]:
        parts.append((_OTHERS, sum(size for _, size, _ in some[_MOST:]), "f5"))
        parts.sort(key=_by_size)
    whole = sum(size for _, size, _ in parts)
    boxes = squarified([size for _, size, _ in parts], Box(0, 0, _WIDTH, _HEIGHT))
    drawn = [_rectangle(*part, box, whole) for part, box in zip(parts, boxes, strict=True)]
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    return tag("svg", drawn, viewBox=box, role="img", aria_label=title, class_="map")


def _by_size(part: tuple[str, float, str]) -> float:
    return -part[1]


def _blocks(layers: Sequence[Mapping[str, Any]], when: str) -> list[tuple[str, float, str]]:
    """Return name, bytes and form of layers, of many those of a block together.

    Example:
        >>> same = {"x": 1, "form": "a", "is_gone": False}
        >>> rows = [same | {"layer": f"net/{n // 20}/{n}"} for n in range(80)]
        >>> _blocks(rows, "x")[:2], len(_blocks(rows, "x")), len(_blocks(rows[:40], "x"))
        ([('net/0', 20.0, 'a'), ('net/1', 20.0, 'a')], 4, 40)
    """
    names = [re.split(r"(?<=[/.])", each["layer"]) for each in layers]
    depth = max(map(len, names), default=1)
    blocks = [0, *(len({tuple(name[:n]) for name in names}) for n in range(1, depth + 1))]
    while depth > 1 and blocks[depth] > (_MOST if blocks[depth - 1] >= _FEW else _MANY):
        depth -= 1
    sizes: dict[tuple[str, bool], float] = {}
    forms: dict[tuple[str, bool], Mapping[str, Any]] = {}
    for name, each in zip(names, layers, strict=True):
        block = "".join(name[:depth]).rstrip("/."), each["is_gone"]
        sizes[block] = sizes.get(block, 0.0) + each[when]
        forms[block] = max(forms.get(block, each), each, key=lambda layer: layer[when])
    return [(name, size, forms[name, gone]["form"]) for (name, gone), size in sizes.items()]


def _rectangle(name: str, size: float, colour: str, box: Box, whole: float) -> Element:
    said = f"{name}: {words(size, 'count')} bytes, {words(size / whole, 'tenths')} %"
    ends = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    places = {key: f"{value:.1f}" for key, value in ends.items()}
    parts = [tag("title", said), tag("rect", class_=colour, **places)]
    x, most, size_said = f"{box.x + 5:.1f}", int((box.width - 8) / _LETTER), size_words(size)
    label = name if name == _OTHERS else _short(name, most)
    if box.height > _LINE and _LEAST_LETTERS <= len(label) <= most:
        parts.append(tag("text", label, x=x, y=f"{box.y + 14:.1f}"))
        if box.height > 2 * _LINE and len(size_said) <= most:
            parts.append(tag("text", size_said, x=x, y=f"{box.y + 29:.1f}", class_="axis"))
    return tag("g", parts)


def _short(name: str, most: int) -> str:
    """Return the end of a name, from a slash or a dot on if that is enough.

    Example:
        >>> _short("encoder/layer/0/attention", 12), _short("attention", 5)
        ('0/attention', '…tion')
    """
    if len(name) <= most:
        return name
    tail = name[len(name) - most :]
    cut = min((place for place in (tail.find("/"), tail.find(".")) if place >= 0), default=-1)
    kept = tail[cut + 1 :] if 0 <= cut < len(tail) - 2 else tail
    return kept if kept is not tail else f"\N{HORIZONTAL ELLIPSIS}{tail[1:] or tail}"
