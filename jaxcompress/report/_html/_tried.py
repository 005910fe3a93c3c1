"""The sections of what was tried: networks of a search, lottery tickets and their controls."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxcompress.report._html._elements import Child, tag
from jaxcompress.report._html._numbers import Told, words
from jaxcompress.report._html._scatter import BYTES, Axis, Point, scatter
from jaxcompress.report._html._seeds import of_first, spread
from jaxcompress.report._html._tables import MOST_ROWS, Column, folded

_WAYS = {
    "ticket": "ticket: early weights",
    "new_weights": "its mask, new weights",
    "random_mask": "random mask, early weights",
    "fine_tuned": "its mask, fine-tuned",
}
_OTHERS = tuple(_WAYS)[1:]
_MOST_POINTS = 500
_DENSE = {"dense": "dense", "dense_trained_on": "dense, trained on"}


def searched(told: Told) -> list[Child]:
    """Return every network that a search tried: bytes, speed and accuracy, with the front."""
    if not told.at("search"):
        return []
    members = told.at("search.tried")
    sound = [member for member in members if member["accuracy"] is not None]
    some = sorted(sound, key=lambda member: not member["on_front"])[:_MOST_POINTS]
    batch = max((int(b) for m in members for b in m["speedups"] if b.isdigit()), default=None)
    time = Axis(f"ms a call, {batch} pictures" if batch else "ms a call", _ms)
    size = BYTES._replace(limit=told.at("search.budget.size_bytes"))
    figures = [
        _cloud(some, size, lambda member: member["size_bytes"]),
        _cloud(some, time, lambda member: member["milliseconds"]),
    ]
    said = "Circles are the front: no other network has fewer bytes, less time and more accuracy "
    said += "together. Diamonds are the others, the large circle is the one that was taught. "
    said += "Networks that were trained longer have an advantage: see the epochs. "
    if told.at("search.validation_images"):
        said += "Bars are 95 % intervals, from the number of validation images. "
    if size.limit:
        said += "The dashed line is the budget of bytes."
    shown = tag("div", figures, class_="pair") if some else None
    caption = tag("p", said, class_="soft")
    return [_about(told), shown, caption, *_members(told)]


def _ms(value: float) -> str:
    return words(value, "ms")


def _cloud(members: Sequence[dict[str, Any]], axis: Axis, x: Callable[..., float]) -> Child:
    points = []
    for member in members:
        height = 100 * member["accuracy"]
        said = f"{words(height, 'points')} %, {words(member['size_bytes'], 'count')} bytes, "
        said += f"{_ms(member['milliseconds'])} ms"
        kind = "chosen" if member["is_chosen"] else "" if member["on_front"] else "other"
        low, high = (None if e is None else 100 * e for e in (member["low"], member["high"]))
        points.append(Point(x(member), height, said, low, high, kind=kind))
    name = "validation accuracy, %"
    return tag("figure", scatter(points, f"{name}, and {axis.name}", y_name=name, axis=axis))


def _about(told: Told) -> Child:
    said: list[Child] = [told.number("search.trials", "count"), " networks were trained on "]
    said += [told.number("search.images_trained_on", "count"), " pictures in all. The one that "]
    said += ["was taught: ", tag("b", told.at("search.chosen")), ". Budget: "]
    asked = [
        [before, told.number(f"search.budget.{name}", form), after]
        for name, form, before, after in (
            ("size_bytes", "count", "at most ", " bytes"),
            ("speedup", "few", "at least ", " times faster"),
            ("drop", "few", "at most ", " points lost"),
        )
        if told.at(f"search.budget.{name}") is not None
    ]
    said += [[", " if n else "", part] for n, part in enumerate(asked)]
    names = told.at("search.diverged")
    lost = f" Diverged: {'; '.join(names)}." if names else " None diverged."
    return tag("p", said, ".", lost)


def _members(told: Told) -> list[Child]:
    fields = (
        *(("accuracy", "percent"), ("low", "percent"), ("high", "percent"), ("loss", "few")),
        *(("size_bytes", "count"), ("milliseconds", "ms"), ("epochs", "count")),
    )
    rows = []
    members = told.at("search.tried")
    batches = sorted({b for m in members for b in m["speedups"] if b.isdigit()}, key=int)
    for n, member in enumerate(members[:MOST_ROWS]):
        place = f"search.tried.{n}"
        what = "taught" if member["is_chosen"] else "front" if member["on_front"] else ""
        what = "diverged" if member["accuracy"] is None else what
        numbers = [told.number(f"{place}.{field}", form) for field, form in fields]
        faster = [told.number(f"{place}.speedups.{b}", "ratio") for b in batches]
        rows.append([member["name"], what, *numbers, *faster])
    names = ("validation accuracy, %", "from", "to", "loss", "bytes", "ms", "epochs")
    more = [f"times faster, batch {b}" for b in batches]
    first = (Column("network", "text fit"), Column("it is", "text"))
    columns = [*first, *map(Column, (*names, *more))]
    which = "Networks that were tried" if told.at("search.is_whole") else "Networks of the front"
    found = folded(f"{which}, the smallest file first", columns, rows)
    left = len(members) - len(rows)
    more = f"{left:,} larger ones are in report.json only."
    return [*found, tag("p", more, class_="soft") if left else None]


def tickets(told: Told) -> list[Child]:
    """Return what lottery tickets reached beside their controls, by sparsity."""
    if not told.at("tickets"):
        return []
    longer = "Networks that were fine-tuned, and the dense one that was trained on, have trained "
    longer += "longer."
    key = [
        [tag("span", tag("span", class_=f"key f{n}"), name, class_="item"), " "]
        for n, name in enumerate(_WAYS.values())
    ]
    is_many = bool(told.at("seeds.tickets"))
    caption = "Bars are 95 % intervals, from the number of test samples; they say nothing of other "
    caption += "seeds. Diamonds are the dense network. "
    if is_many:
        caption = "Means of the seeds, with bars from the lowest to the highest; diamonds are the "
        caption += "dense network of the first one. "
    return [
        tag("p", key, class_="soft"),
        tag("figure", _curves(told), tag("figcaption", caption + longer)),
        *(_over_seeds(told) if is_many else []),
        *_reached(told),
        *_worth(told),
    ]


def _over_seeds(told: Told) -> list[Child]:
    """Return accuracies, and what they tell of a ticket, as means and ranges of the seeds."""
    names = [f"{name}, %" for name in _WAYS.values()]
    worth = [f"less {_WAYS[way]}, points" for way in _OTHERS]
    columns = [Column("zeros, %", "text"), *map(Column, (*names, *worth))]
    cells = []
    for n, _ in enumerate(told.at("seeds.tickets")):
        place = f"seeds.tickets.{n}"
        reached = [spread(told, f"{place}.ways.{way}", "percent") for way in _WAYS]
        less = [spread(told, f"{place}.ticket_less.{way}", "change_points") for way in _OTHERS]
        cells.append([told.number(f"{place}.sparsity", "tenths"), *reached, *less])
    return folded("Tickets, the mean and the range of the seeds", columns, cells)


def _curves(told: Told) -> Child:
    points, lines = [], []
    rounds, means = told.at("tickets.rounds"), told.at("seeds.tickets")
    for n, (way, name) in enumerate(_WAYS.items()):
        lines.append(list(range(len(points), len(points) + len(rounds))))
        for each in means or rounds:
            kept, found = max(1 - each["sparsity"], 1e-9), each["ways"][way]
            found = found | {"value": found["mean"]} if means else found
            points.append(_point(kept, name, found, f"w{n}"))
    for place, name in _DENSE.items():
        if told.at(f"tickets.{place}"):
            points.append(_point(1.0, name, told.at(f"tickets.{place}"), "other"))
    axis = Axis("weights that are kept", lambda kept: f"{words(100 * kept, 'few')} %")
    name = "test accuracy, %"
    title = f"{name}, by the fraction of weights that are kept"
    return scatter(points, title, y_name=name, lines=lines, axis=axis)


def _point(kept: float, name: str, found: dict[str, float], kind: str) -> Point:
    height, low, high = (100 * found[part] for part in ("value", "low", "high"))
    said = f"{name}, {words(100 * kept, 'few')} % kept: {words(height, 'points')} %"
    return Point(kept, height, said, low, high, kind=kind)


def _reached(told: Told) -> list[Child]:
    columns = [Column("zeros, %", "text"), *[Column(f"{name}, %") for name in _WAYS.values()]]
    rows = []
    for n, _ in enumerate(told.at("tickets.rounds")):
        place = f"tickets.rounds.{n}"
        cells = [_range(told, f"{place}.ways.{way}", "percent") for way in _WAYS]
        rows.append([told.number(f"{place}.sparsity", "tenths"), *cells])
    for place, name in _DENSE.items():
        if told.at(f"tickets.{place}"):
            cell = _range(told, f"tickets.{place}", "percent")
            rows.append([name, cell, *[None] * (len(_WAYS) - 1)])
    caption = f"Test accuracy by sparsity, with 95 % intervals{of_first(told)}"
    return folded(caption, columns, rows)


def _worth(told: Told) -> list[Child]:
    columns = [
        Column("zeros, %", "text"),
        Column("early weights are worth"),
        Column("their places are worth"),
        Column("rewinding is worth"),
    ]
    rows = []
    for n, _ in enumerate(told.at("tickets.rounds")):
        place = f"tickets.rounds.{n}"
        cells = [_range(told, f"{place}.ticket_less.{way}", "change_points") for way in _OTHERS]
        rows.append([told.number(f"{place}.sparsity", "tenths"), *cells])
    said = "A ticket less its controls, in points: less new weights, less a random mask, less "
    said += "fine-tuning. Intervals are those of independent samples, wider than needed. Where "
    said += "zero lies between the ends, this run does not tell."
    caption = f"What early weights, their places and rewinding are worth, in points{of_first(told)}"
    return [*folded(caption, columns, rows), tag("p", said, class_="soft")]


def _range(told: Told, place: str, form: str) -> Child:
    value, low, high = (told.number(f"{place}.{part}", form) for part in ("value", "low", "high"))
    return [value, tag("br"), tag("span", low, " to ", high, class_="soft")]
