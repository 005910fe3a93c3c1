"""The section of mistakes: classes that lost, confusions that grew, pictures that changed."""

from jaxcompress.report._html._elements import Child, Element, tag
from jaxcompress.report._html._numbers import Told
from jaxcompress.report._html._tables import Column, table


def mistakes(told: Told) -> list[Child]:
    """Return what a classifier answers otherwise than before."""
    if not told.at("mistakes"):
        return []
    text = [
        told.number("mistakes.changed", "count"),
        " of ",
        told.number("mistakes.samples", "count"),
        " test samples get another answer than before: ",
        told.number("mistakes.better", "count"),
        " are right now that were wrong, ",
        told.number("mistakes.worse", "count"),
        " are wrong now that were right.",
    ]
    if not told.at("mistakes.changed"):
        return [tag("p", text)]
    found: list[Child] = [tag("p", text), _classes(told)]
    found.append(_confusion(told) if told.at("mistakes.confusion") else _pairs(told))
    found.append(_pictures(told))
    return found


def _classes(told: Told) -> Element:
    fields = (("samples", "count"), ("right_before", "count"), ("right_after", "count"))
    rows = [
        [
            row["name"],
            *[
                told.number(f"mistakes.classes.{n}.{field}", form)
                for field, form in (*fields, ("difference", "change"))
            ],
        ]
        for n, row in enumerate(told.at("mistakes.classes"))
    ]
    names = ("test samples", "right before", "right after", "difference")
    columns = [Column("class", "text fit"), *map(Column, names)]
    return table("Classes, those that lost most first", columns, rows)


def _confusion(told: Told) -> Element:
    names = told.at("mistakes.names")
    rows = []
    for a, label in enumerate(names):
        cells: list[Child] = [label]
        for b, _ in enumerate(names):
            number = told.at(f"mistakes.confusion.{a}.{b}")
            shown = told.number(f"mistakes.confusion.{a}.{b}", "change") if number else None
            kind = None if not number else "up" if number > 0 else "down"
            cells.append(tag("td", shown, class_=kind))
        rows.append(cells)
    columns = [Column("class \\ answer", "text"), *map(Column, names)]
    return table("Answers after less answers before: how many more, by class", columns, rows)


def _pairs(told: Told) -> Element | None:
    rows = [
        [row["label"], row["answer"], told.number(f"mistakes.pairs.{n}.more", "change")]
        for n, row in enumerate(told.at("mistakes.pairs"))
    ]
    if not rows:
        return None
    columns = [Column("class", "text fit"), Column("answer", "text fit"), Column("more often by")]
    return table("Confusions that grew most", columns, rows)


def _pictures(told: Told) -> list[Child]:
    items = []
    for row in told.at("mistakes.pictures"):
        said = f"test sample {row['sample']}: {row['label']}"
        image = tag("img", src=f"data:image/png;base64,{row['png']}", alt=said)
        is_right = row["after"] == row["label"]
        word = tag("span", row["after"], class_="good" if is_right else "bad")
        items.append(
            tag(
                "li",
                image,
                tag("p", f"is {row['label']}"),
                tag("p", f"before: {row['before']}"),
                tag("p", "after: ", word, " (right)" if is_right else " (wrong)"),
            )
        )
    if not items:
        return []
    return [
        tag("h3", "Test pictures that changed their answer"),
        tag("ul", items, class_="pictures"),
    ]
