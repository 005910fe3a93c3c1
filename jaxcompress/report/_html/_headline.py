"""The first section: before and after, with noise; the budget; what cannot be missed."""

from jaxcompress.report._html._elements import Child, Element, tag
from jaxcompress.report._html._numbers import Told
from jaxcompress.report._html._seeds import about, cards, of_first, spread
from jaxcompress.report._html._tables import Column, table

CODED = ("clustered", "sparse", "quantized", "lowrank")
"""Forms with symbols, of which there is an entropy."""

ARROW = " \N{RIGHTWARDS ARROW} "


def headline(told: Told) -> list[Child]:
    """Return the cards, and the table of the budget."""
    first = cards(told) if told.at("seeds") else [_size(told), _quality(told), _latency(told)]
    first += [_error(told), _memory(told), _flops(told)]
    budget = _budget(told)
    found = [tag("li", card) for card in [*first, _plan(told), budget] if card is not None]
    return [about(told), tag("ul", found, class_="cards") if found else None, _checks(told)]


def _card(name: str, big: Child, *lines: Child) -> list[Child]:
    return [
        tag("h3", name),
        tag("p", big, class_="big"),
        *[tag("p", line) for line in lines if line],
    ]


def _change(told: Told, before: str, after: str, form: str) -> list[Child]:
    return [tag("small", told.number(before, form), ARROW), told.number(after, form)]


def _size(told: Told) -> Child:
    if not told.at("size"):
        return None
    times = [told.number("size.ratio", "ratio"), "\N{MULTIPLICATION SIGN} smaller than "]
    before = [told.number("size.before_bytes", "count"), " bytes, ", told.at("size.before_is")]
    lines: list[Child] = [[times, before]]
    if told.at("files.0.total"):
        lines.append([told.number("files.0.total.bits_per_weight", "bits"), " bits a weight"])
    if any(form["form"] in CODED for form in told.at("forms")):
        lines.append(
            [
                told.number("files.0.total.over_bound", "over"),
                " % against the entropy bound of ",
                told.number("files.0.total.bound_bytes", "count"),
                " bytes",
            ]
        )
    if told.at("size.shipped_bytes"):
        shipped = told.number("size.shipped_bytes", "count")
        lines.append([shipped, " bytes with the program of the network"])
    big = [told.number("size.after_bytes", "count"), tag("small", " bytes")]
    return _card("Size of the file", big, *lines)


def _plan(told: Told) -> Child:
    if told.at("size") or not told.at("plan"):
        return None
    lines: list[Child] = [f"network {told.at('plan.network')}"]
    asked = (
        ("size_bytes", "count", "asked: at most ", " bytes"),
        ("speedup", "few", "asked: at least ", " times faster"),
        ("drop", "few", "asked: at most ", " of quality lost"),
    )
    for name, form, before, after in asked:
        if told.at(f"plan.budget.{name}") is not None:
            lines.append([before, told.number(f"plan.budget.{name}", form), after])
    big = [told.number("plan.size_bytes", "count"), tag("small", " bytes")]
    return _card("Size of the file, predicted", big, *lines)


def _interval(told: Told, place: str) -> Child:
    ends = (told.number(f"{place}.low", "percent"), told.number(f"{place}.high", "percent"))
    return [ends[0], " to ", ends[1]]


def _quality(told: Told) -> Child:
    if not told.at("quality"):
        return None
    if told.at("quality.samples") is None:
        line = None
        if told.at("quality.control") is not None:
            line = ["control ", told.number("quality.control", "few")]
        return _card("Quality", told.number("quality.after", "few"), line)
    big = [*_change(told, "quality.before.value", "quality.after.value", "percent"), " %"]
    lines: list[Child] = [
        [
            "95 % interval ",
            _interval(told, "quality.after"),
            ", before ",
            _interval(told, "quality.before"),
            "; from ",
            told.number("quality.samples", "count"),
            " test samples, one seed",
        ]
    ]
    if told.at("mistakes"):
        lines.append(
            [
                "on the same samples ",
                told.number("mistakes.points.value", "signed"),
                " points, 95 % interval ",
                told.number("mistakes.points.low", "signed"),
                " to ",
                told.number("mistakes.points.high", "signed"),
            ]
        )
    if told.at("quality.control"):
        lines.append(
            [
                "control (dense, trained as long) ",
                told.number("quality.control.value", "percent"),
                " %",
            ]
        )
    return _card("Test accuracy", big, *lines)


def _latency(told: Told) -> Child:
    if not told.at("latency"):
        return None
    big = [*_change(told, "latency.before_ms", "latency.after_ms", "ms"), " ms"]
    how = [
        "batch ",
        told.number("latency.batch", "count"),
        f", {told.at('latency.statistic')}; ",
        told.at("latency.processor"),
        ", ",
        told.number("latency.threads", "count"),
        " threads" if told.at("latency.threads") != 1 else " thread",
    ]
    quartiles: list[Child] = []
    if told.at("latency.before_quartiles_ms") and told.at("latency.after_quartiles_ms"):
        quartiles = ["quartiles ", *_quartiles(told, "before"), ARROW, *_quartiles(told, "after")]
    faster: list[Child] = []
    for n, _ in enumerate(told.at("latency.speedups")):
        place = f"latency.speedups.{n}"
        faster += [
            "; " if n else "in turn with the dense network ",
            told.number(f"{place}.ratio", "ratio"),
            "\N{MULTIPLICATION SIGN} faster at batch ",
            told.number(f"{place}.batch", "count"),
        ]
    others: list[Child] = [
        [f"{row['name']} ", told.number(f"latency.others.{n}.ms", "ms"), " ms"]
        for n, row in enumerate(told.at("latency.others"))
    ]
    of = f"of {told.at('latency.is_of')}: zeros and shared values do not speed it up"
    return _card("Latency", big, how, quartiles, faster, *others, of)


def _quartiles(told: Told, when: str) -> list[Child]:
    place = f"latency.{when}_quartiles_ms"
    return [told.number(f"{place}.0", "ms"), " to ", told.number(f"{place}.1", "ms")]


def _error(told: Told) -> Child:
    """Return the error of weights that no training has changed since."""
    if told.at("run") or not told.at("damage.changed"):
        return None
    big = [told.number("damage.sqnr_db", "tenth"), tag("small", " dB")]
    line = [
        "signal to noise: relative error ",
        told.number("damage.relative", "few"),
        " of the ",
        told.number("damage.changed", "count"),
        " tensors that changed",
    ]
    return _card("Error of the weights", big, line)


def _memory(told: Told) -> Child:
    if not told.at("memory") or told.at("memory.after_bytes") is None:
        return None
    big = _change(told, "memory.before_bytes", "memory.after_bytes", "count")
    return _card("Memory of one call, bytes", big, "as the compiler plans it, batch 1")


def _flops(told: Told) -> Child:
    if not told.at("flops"):
        return None
    big = _change(told, "flops.before", "flops.after", "count")
    return _card("Operations of one call", big, "floating-point operations, batch 1")


def _budget(told: Told) -> Child:
    asked = [check for check in told.at("checks") if check["budget"] is not None]
    if not asked:
        return None
    is_met = all(check["met"] for check in asked)
    word = tag("span", "met" if is_met else "missed", class_="good" if is_met else "bad")
    return _card("Budget", word, "; ".join(check["name"] for check in asked))


def _checks(told: Told) -> Element | None:
    checks = told.at("checks")
    if not checks:
        return None
    rows = []
    for n, check in enumerate(checks):
        numbers = [told.number(f"checks.{n}.{f}", "few") for f in ("budget", "predicted")]
        word = tag("span", "missed", class_="bad")
        if check["met"]:
            word = tag("span", "met" if check["budget"] is not None else "not asked for")
        rows.append([check["name"], *numbers, told.number(f"checks.{n}.measured", "few"), word])
    columns = [Column("check", "text"), *map(Column, ("budget", "predicted", "measured", ""))]
    columns[-1] = Column("budget is", "text")
    caption = "Budget, prediction, and measurement of the file as read again"
    if told.at("seeds.checks"):
        columns.append(Column("measured, mean of the seeds"))
        for n, row in enumerate(rows):
            row.append(spread(told, f"seeds.checks.{n}.measured", "few"))
        caption += of_first(told)
    return table(caption, columns, rows)
