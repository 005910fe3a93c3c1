"""The section of damage: tensors by their errors, layers by what they do to the answers."""

from jaxcompress.report._html._elements import Child, path, tag
from jaxcompress.report._html._headline import CODED
from jaxcompress.report._html._layers import bar
from jaxcompress.report._html._numbers import Told
from jaxcompress.report._html._tables import MOST_ROWS, Column, folded
from jaxcompress.text import shape_text


def damage(told: Told) -> list[Child]:
    """Return the damage by layer, the worst first: planned, of answers, of tensors."""
    return [*_planned(told), *_alone(told), *_errors(told)]


def _planned(told: Told) -> list[Child]:
    rows = told.at("profile.layers")
    if not rows:
        return []
    worst = max(row["damage"] for row in rows)
    cells = []
    for n, row in enumerate(rows[:MOST_ROWS]):
        place = f"profile.layers.{n}"
        name = [path(row["path"]), tag("br"), tag("span", shape_text(row["shape"]), class_="soft")]
        numbers = [
            told.number(f"{place}.damage", "few"),
            told.number(f"{place}.bits_per_weight", "bits"),
        ]
        choices = told.number(f"{place}.choices", "count")
        drawn = bar(max(row["damage"], 0), worst, "now")
        cells.append([name, drawn, *numbers, row["settings"], choices])
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
    return [tag("p", said), *folded("Layers, the worst first", columns, cells)]


def _alone(told: Told) -> list[Child]:
    rows = told.at("alone.layers")
    if not rows:
        return []
    worst = max((row["kl"] or 0.0) for row in rows)
    cells = []
    for n, row in enumerate(rows[:MOST_ROWS]):
        place = f"alone.layers.{n}"
        numbers = [
            told.number(f"{place}.kl", "few"),
            told.number(f"{place}.points_lost", "signed"),
        ]
        drawn = bar(row["kl"] or 0.0, worst, "now")
        cells.append([path(row["layer"]), drawn, *numbers, f"{len(row['tensors'])}"])
    columns = [
        Column("layer", "text fit"),
        Column("divergence, to scale", "text bars"),
        *map(Column, ("divergence", "points lost", "tensors")),
    ]
    said = [
        "The network as it was before, with one layer as it is now; from ",
        told.number("alone.images", "count"),
        " validation images. The divergence of its answers is that of Kullback and Leibler, in "
        "nats. What training changed in the layer counts too.",
    ]
    return [tag("p", said), *folded("Layers alone, the worst first", columns, cells)]


def _errors(told: Told) -> list[Child]:
    layers = told.at("layers")
    known = [n for n, row in enumerate(layers) if (row.get("error") or {}).get("relative")]
    lost = [n for n, row in enumerate(layers) if row.get("error") == _BEYOND]
    if not told.at("damage"):
        return []
    said = [
        told.number("damage.changed", "count"),
        " of ",
        told.number("damage.compared", "count"),
        " tensors that can be compared have changed. ",
    ]
    if told.at("damage.changed"):
        said += ["Their relative error together is ", told.number("damage.relative", "few"), ", "]
        said += [told.number("damage.sqnr_db", "tenth"), " dB."]
    if told.at("run"):
        said.append(" It counts what training changed since the first network, too.")
        coded = [n for n in known if layers[n]["after"]["form"] in CODED]
        if not coded:
            return []  # training alone changed them
        if len(coded) < len(known):
            said.append(" Tensors that training alone changed are left out below.")
        known = coded
    order = lost + sorted(known, key=lambda n: -layers[n]["error"]["relative"])
    if not order:
        return [tag("p", said)]
    worst = max([layers[n]["error"]["relative"] for n in known], default=0.0)
    cells = []
    for n in order[:MOST_ROWS]:
        place = f"layers.{n}.error"
        drawn = bar(layers[n]["error"]["relative"] or 0.0, worst, "now")
        numbers = [
            told.number(f"{place}.relative", "few"),
            told.number(f"{place}.sqnr_db", "tenth"),
        ]
        bits = told.number(f"layers.{n}.after.bits_per_weight", "bits")
        cells.append([path(layers[n]["path"]), drawn, *numbers, bits])
    columns = [
        Column("tensor", "text fit"),
        Column("error, to scale", "text bars"),
        *map(Column, ("relative error", "SQNR, dB", "bits a weight")),
    ]
    caption = "Tensors by their relative error, the worst first"
    note = "The relative error is the norm of the difference by that of the tensor as it was; SQNR "
    note += "is the same in decibels. A large error in a layer need not hurt the answers."
    return [tag("p", said), *folded(caption, columns, cells), tag("p", note, class_="soft")]


_BEYOND = {"relative": None, "sqnr_db": None}
"""The error of a tensor that was finite and is not, or was 0."""
