"""The sections of layers: where the bytes are, what was cut."""

from typing import Any

from jaxcompress.report._html._elements import Child, Element, path, tag
from jaxcompress.report._html._headline import CODED
from jaxcompress.report._html._numbers import Told, words
from jaxcompress.report._html._tables import MOST_ROWS, Column, folded, table
from jaxcompress.report._html._treemap import treemap
from jaxcompress.text import shape_text


def where(told: Told) -> list[Child]:
    """Return the bytes of the file by form, and by tensor, the largest first."""
    rows = told.at("layers")
    if not rows:
        return []
    order = sorted(range(len(rows)), key=lambda n: (-_size(rows[n]), n))
    shown, left = order[:MOST_ROWS], order[MOST_ROWS:]
    total = told.at("files.0.total")
    found = [_forms(told), *_by_layer(told)]
    before = sum(map(_before, rows))
    names = ("share of bytes", "bytes before", "after", "bits a weight", "entropy, bits")
    more = ("over the bound, %", "zeros, %", "distinct values")
    columns = [
        Column("tensor", "text fit"),
        Column("form, and why it was left", "text why"),
        *map(Column, (*names, *more)),
    ]
    columns[2] = Column("share of bytes", "text bars")
    shares = [
        part / whole
        for row in rows
        for part, whole in ((_size(row), total["file_bytes"]), (_before(row), before))
        if whole
    ]
    scale = before, total["file_bytes"], max(shares)
    cells = [_row(told, n, scale) for n in shown]
    foot: list[Child] = [
        "all tensors",
        "",
        "",
        "",
        told.number("files.0.total.file_bytes", "count"),
    ]
    places = (("bits_per_weight", "bits"), ("over_bound", "over"), ("sparsity", "tenths"))
    bits, over, zeros = (told.number(f"files.0.total.{name}", form) for name, form in places)
    is_coded = any(form["form"] in CODED for form in told.at("forms"))
    foot += [bits, "", over if is_coded else "", zeros, ""]
    found.append(_key(known=any(row["before"] for row in rows)))
    found += folded("Tensors, the largest part of the file first", columns, cells, foot)
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


def _by_layer(told: Told) -> list[Child]:
    """Return the bytes of layers before and after, as areas where there is room, and as numbers."""
    rows = told.at("bytes_by_layer")
    if len(rows) < 2:
        return []
    colours = {form["form"]: f"f{min(n, 5)}" for n, form in enumerate(told.at("forms"))}
    figures = []
    for when in ("before", "after"):
        if any(row[when] for row in rows):
            drawn = treemap(rows, when, colours, f"bytes of layers {when}, as areas")
            figures.append(tag("figure", drawn, tag("figcaption", when.capitalize())))
    said = "Areas are bytes of layers, each figure to its own scale, in the colours of the forms "
    said += "above; layers that are gone are grey. Many layers are shown block by block."
    whole = [sum(row[when] for row in rows) for when in ("before", "after")]
    cells = [
        [
            [path(row["layer"]), ", gone" if row["is_gone"] else None],
            [bar(row["before"], whole[0], "was"), bar(row["after"], whole[1], "now")],
            told.number(f"bytes_by_layer.{n}.before", "count") if whole[0] else None,
            told.number(f"bytes_by_layer.{n}.after", "count"),
            told.number(f"bytes_by_layer.{n}.tensors", "count"),
        ]
        for n, row in enumerate(rows[:MOST_ROWS])
    ]
    columns = [Column("layer", "text fit"), Column("share of bytes", "text bars")]
    columns += map(Column, ("bytes before", "after", "tensors"))
    numbers = folded("Bytes by layer", columns, cells)
    return [
        tag(
            "div", tag("div", figures, class_="pair"), tag("p", said, class_="soft"), class_="maps"
        ),
        tag("details", tag("summary", "Numbers of the layers"), numbers),
    ]


def _size(row: dict[str, Any]) -> float:
    return 0.0 if row["after"] is None else row["after"]["bytes"] or 0.0


def _key(*, known: bool) -> Child:
    was = [tag("span", class_="key was"), "of the bytes before"] if known else None
    return tag("p", was, tag("span", class_="key now"), "of the bytes after", class_="soft")


def _before(row: dict[str, Any]) -> int:
    return row["before"]["bytes"] if row["before"] else 0


def bar(part: float, whole: float, kind: str, most: float = 1.0) -> Child:
    """Return a bar for a part of a whole, as long as the cell for the largest fraction."""
    if not whole or not part:
        return None
    share = part / whole
    style = f"width:{100 * share / most:.2f}%"
    return tag("span", class_=f"bar {kind}", style=style, title=f"{100 * share:.1f} %")


def _row(told: Told, n: int, scale: tuple[float, float, float]) -> list[Child]:
    row, place = told.at("layers")[n], f"layers.{n}"
    was, now = row["before"], row["after"]
    before, after, most = scale
    bars = [bar(_before(row), before, "was", most), bar(_size(row), after, "now", most)]
    if now is None:
        form = row["change"]
    else:
        form = _form(now)
    shapes = [shape_text(each["shape"]) for each in (was, now) if each]
    shape = shapes[-1] if len(set(shapes)) == 1 else " \N{RIGHTWARDS ARROW} ".join(shapes)
    name = [path(row["path"]), tag("br"), tag("span", shape, class_="soft")]
    is_coded = now is not None and now["form"] in CODED
    return [
        name,
        [form, [tag("br"), tag("span", row["why"], class_="soft")] if row["why"] else None],
        bars,
        told.number(f"{place}.before.bytes", "count"),
        told.number(f"{place}.after.bytes", "count"),
        told.number(f"{place}.after.bits_per_weight", "bits"),
        told.number(f"{place}.after.entropy_bits", "bits"),
        told.number(f"{place}.after.over_bound", "over") if is_coded else None,
        told.number(f"{place}.after.sparsity", "tenths"),
        told.number(f"{place}.after.distinct", "count"),
    ]


_NAMES = {"lowrank": "low rank", "planes": "dense, by planes", "same": "same as another"}


def _form(now: dict[str, Any]) -> str:
    if now["form"] == "clustered":
        return f"clustered, {now['k']} values"
    if now["form"] == "quantized":
        return f"quantized, {now['bits']} bits" if now["bits"] is not None else "quantized"
    name = f"half, {now['packing']}" if now["form"] == "half" else now["form"]
    return _NAMES.get(name, name)


def _forms(told: Told) -> Child:
    forms = told.at("forms")
    whole = sum(form["bytes"] for form in forms)
    parts, said = [], []
    for n, form in enumerate(forms):
        share = 100 * form["bytes"] / whole if whole else 0
        colour = f"f{min(n, 5)}"
        style = f"width:{share:.2f}%"
        parts.append(tag("span", class_=colour, style=style, title=form["form"]))
        item = [
            tag("span", class_=f"key {colour}"),
            f"{_NAMES.get(form['form'], form['form'])}: ",
            told.number(f"forms.{n}.bytes", "count"),
            " bytes of ",
            told.number(f"forms.{n}.tensors", "count"),
            " tensors " if form["tensors"] != 1 else " tensor ",
        ]
        said += [tag("span", item, class_="item"), " "]
    return [tag("div", parts, class_="stack", aria_hidden="true"), tag("p", said, class_="soft")]


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
                path(row["path"]),
                shape_text(row["before"]),
                "removed" if row["after"] is None else shape_text(row["after"]),
            ]
            for row in rows[:MOST_ROWS]
        ]
        found += folded("Tensors that were cut or removed", columns, cells)
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
