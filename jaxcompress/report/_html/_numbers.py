"""Numbers of a record as a page shows them, each with the place that it comes from."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from jaxcompress.report._html._elements import Element, tag

MINUS, NONE = "\N{MINUS SIGN}", "\N{EN DASH}"


def _few(value: float) -> str:
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.2e}"


_FORMS: dict[str, Callable[[float], str]] = {
    "count": lambda value: f"{value:,.0f}",
    "percent": lambda value: f"{100 * value:.2f}",
    "tenths": lambda value: f"{100 * value:.1f}",
    "points": lambda value: f"{value:.2f}",
    "signed": lambda value: f"{value:+,.2f}",
    "change_points": lambda value: f"{100 * value:+.2f}",
    "change": lambda value: f"{value:+,.0f}",
    "over": lambda value: f"{100 * value:+.1f}",
    "ratio": lambda value: f"{value:,.1f}" if value >= 9.95 else f"{value:.2f}",
    "bits": lambda value: f"{value:.2f}",
    "ms": lambda value: f"{value:.3g}" if value < 1000 else f"{value:,.0f}",
    "few": _few,
    "tenth": lambda value: f"{value:.1f}",
    "seconds": lambda value: f"{value:,.1f}",
}
"""How numbers are written, by name."""


def words(value: float | None, form: str) -> str:
    """Return a number as text, a dash if there is none.

    Example:
        >>> words(24150, "count"), words(-0.5, "signed"), words(None, "bits")
        ('24,150', '−0.50', '–')
    """
    if value is None or not math.isfinite(value):
        return NONE
    return _FORMS[form](value).replace("-", MINUS)


class Told:
    """A record, whose numbers become elements.

    Args:
        record: to be shown.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record

    def at(self, place: str) -> Any:
        """Return what stands at a place such as `layers.3.after.bytes`; None where nothing is."""
        value: Any = self.record
        for part in place.split("."):
            if value is None:
                return None
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        return value

    def number(self, place: str, form: str) -> Element:
        """Return the number at a place as an element that names value and place."""
        value = self.at(place)
        if value is None or not math.isfinite(value):
            return tag("span", NONE, class_="none")
        return tag("data", words(value, form), value=repr(value), data_from=place)

    def words(self, place: str, form: str) -> str:
        """Return the number at a place as text."""
        return words(self.at(place), form)
