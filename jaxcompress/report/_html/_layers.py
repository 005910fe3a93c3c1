"""The sections of layers: where the bytes are, which layers hurt, what was cut."""

from typing import Any

from jaxcompress.report._html._elements import Child, Element, tag
from jaxcompress.report._html._numbers import Told, words
from jaxcompress.report._html._tables import Column, table
from jaxcompress.text import shape_text

MOST_ROWS = 250
"""Rows of a table; the record has all."""

_CODED = ("clustered", "sparse", "quantized", "lowrank")


def where(told: Told) -> list[Child]:
    """Return the bytes of the file by form, and by tensor, the largest first."""
    rows = told.at("layers")
    if not rows:
        return []
    order = sorted(range(len(rows)), key=lambda n: (-_size(rows[n]), n))
    shown, left = order[:MOST_ROWS], order[MOST_ROWS:]
    total = told.at("files.0.total")
    found = [_forms(told), _key(known=any(row["before"] for row in rows))]
    before = sum(row["before"]["bytes"] for row in rows if row["before"])
    names = ("share of bytes", "bytes before", "after", "bits a weight", "entropy, bits")
    more = ("over the bound, %", "zeros, %", "distinct values")
    columns = [Column("tensor", "text fit"), Column("form", "text"), *map(Column, (*names, *more))]
    columns[2] = Column("share of bytes", "text bars")
    columns.append(Column("why it was left", "text long"))
    cells = [_row(told, n, before, total) for n in shown]
    foot: list[Child] = [
        "all tensors",
        "",
        "",
        "",
        told.number("files.0.total.file_bytes", "count"),
    ]
    places = (("bits_per_weight", "bits"), ("over_bound", "over"), ("sparsity", "tenths"))
    bits, over, zeros = (told.number(f"files.0.total.{name}", form) for name, form in places)
    foot += [bits, "", over, zeros, "", ""]
    found.append(table("Tensors, the largest part of the file first", columns, cells, foot=foot))
    if left:
        found.append(
            tag("p", f"{len(left):,} smaller tensors are in report.json only.", class_="soft")
        )
    found.append(tag("p", _MEANING, class_="soft"))
    return found


_MEANING = (
    "Entropy is that of the stored symbols, one weight at a time (order 0). The bound is this "
    "entropy plus codebook or scales; a coder that looks at neighbours, or compresses scales too, "
    "can go below it. The bytes of a tensor are its part of the compressed streams. Distinct "
    "values count zero."
)


def _size(row: dict[str, Any]) -> float:
    return 0.0 if row["after"] is None else row["after"]["bytes"] or 0.0


def _key(*, known: bool) -> Child:
    was = [tag("span", class_="key was"), "of the bytes before"] if known else None
    return tag("p", was, tag("span", class_="key now"), "of the bytes after", class_="soft")


def _bar(part: float, whole: float, kind: str) -> Child:
    if not whole or not part:
        return None
    share = 100 * part / whole
    return tag("span", class_=f"bar {kind}", style=f"width:{share:.2f}%", title=f"{share:.1f} %")


def _row(told: Told, n: int, before: float, total: dict[str, Any]) -> list[Child]:
    row, place = told.at("layers")[n], f"layers.{n}"
    was, now = row["before"], row["after"]
    bars = [_bar(was["bytes"], before, "was") if was else None]
    if now is None:
        form = row["change"]
    else:
        bars.append(_bar(_size(row), total["file_bytes"], "now"))
        form = _form(now)
    shapes = [shape_text(each["shape"]) for each in (was, now) if each]
    shape = shapes[-1] if len(set(shapes)) == 1 else " \N{RIGHTWARDS ARROW} ".join(shapes)
    name = [row["path"], tag("br"), tag("span", shape, class_="soft")]
    is_coded = now is not None and now["form"] in _CODED
    return [
        name,
        form,
        bars,
        told.number(f"{place}.before.bytes", "count"),
        told.number(f"{place}.after.bytes", "count"),
        told.number(f"{place}.after.bits_per_weight", "bits"),
        told.number(f"{place}.after.entropy_bits", "bits"),
        told.number(f"{place}.after.over_bound", "over") if is_coded else None,
        told.number(f"{place}.after.sparsity", "tenths"),
        told.number(f"{place}.after.distinct", "count"),
        row["why"],
    ]


def _form(now: dict[str, Any]) -> str:
    if now["form"] == "clustered":
        return f"clustered, {now['k']} values"
    if now["form"] == "quantized":
        return f"quantized, {now['bits']} bits" if now["bits"] is not None else "quantized"
    return {"lowrank": "low rank", "half": f"half, {now['packing']}"}.get(now["form"], now["form"])


def _forms(told: Told) -> Child:
    forms = told.at("forms")
    whole = sum(form["bytes"] for form in forms)
    parts, said = [], []
    for n, form in enumerate(forms):
        share = 100 * form["bytes"] / whole if whole else 0
        colour = f"f{min(n, 5)}"
        style = f"width:{share:.2f}%"
        parts.append(tag("span", class_=colour, style=style, title=form["form"]))
        said += [
            tag("span", class_=f"key {colour}"),
            f"{form['form']} ",
            told.number(f"forms.{n}.bytes", "count"),
            " bytes of ",
            told.number(f"forms.{n}.tensors", "count"),
            " tensors" if form["tensors"] != 1 else " tensor",
        ]
    return [tag("div", parts, class_="stack", aria_hidden="true"), tag("p", said, class_="soft")]


def sensitivity(told: Told) -> list[Child]:
    """Return the damage by layer, the worst first."""
    rows = told.at("profile.layers")
    if not rows:
        return []
    worst = max(row["damage"] for row in rows)
    cells = []
    for n, row in enumerate(rows[:MOST_ROWS]):
        place = f"profile.layers.{n}"
        name = [row["path"], tag("br"), tag("span", shape_text(row["shape"]), class_="soft")]
        bar = _bar(max(row["damage"], 0), worst, "now")
        numbers = [
            told.number(f"{place}.damage", "few"),
            told.number(f"{place}.bits_per_weight", "bits"),
        ]
        cells.append(
            [name, bar, *numbers, row["settings"], told.number(f"{place}.choices", "count")]
        )
    columns = [
        Column("tensor", "text fit"),
        Column("damage, to scale", "text bars"),
        Column("damage"),
        Column("bits a weight"),
        Column("settings", "text"),
        Column("choices measured"),
    ]
    said = (
        f"Of the network {told.at('profile.network')}; damage is {told.at('profile.metric')}, each "
        "layer alone at the measured choice nearest to four bits a weight. "
    )
    return [tag("p", said), table("Layers, the worst first", columns, cells)]


def structure(told: Told) -> list[Child]:
    """Return the shapes of layers that were cut, and what was cut with what."""
    rows = told.at("structure")
    found: list[Child] = []
    if told.at("flops") and rows:
        found.append(
            tag(
                "p",
                "Operations of one call: ",
                told.number("flops.before", "count"),
                " before, ",
                told.number("flops.after", "count"),
                " after.",
            )
        )
    found.append(_groups(told))
    if rows:
        columns = [Column("tensor", "text fit"), Column("before"), Column("after")]
        cells = [
            [
                row["path"],
                shape_text(row["before"]),
                "removed" if row["after"] is None else shape_text(row["after"]),
            ]
            for row in rows[:MOST_ROWS]
        ]
        found.append(table("Tensors that were cut or removed", columns, cells))
    if len(rows) > MOST_ROWS:
        found.append(tag("p", f"{len(rows) - MOST_ROWS:,} more are in report.json.", class_="soft"))
    return found


def _groups(told: Told) -> Element | None:
    """Return the last cut of the stages, or that of the plan."""
    for row in reversed(told.at("stages")):
        units = row.get("facts", {}).get("units")
        if isinstance(units, dict) and not row["is_control"] and all(map(_is_pair, units.values())):
            columns = [Column("group", "text fit"), Column("units before"), Column("units kept")]
            rows = [[name, *[words(count, "count") for count in units[name]]] for name in units]
            return table("Units that are cut together", columns, rows)
    units = (told.at("plan.cut") or {}).get("units")
    if not isinstance(units, dict):
        return None
    rows = [[name, words(kept, "count")] for name, kept in units.items() if type(kept) is int]
    columns = [Column("group", "text fit"), Column("units kept")]
    return table("Units that are cut together", columns, rows)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value)
