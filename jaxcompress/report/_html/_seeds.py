"""Several runs that differ in the seed: means, ranges and each number."""

from jaxcompress.report._html._elements import Child, tag
from jaxcompress.report._html._numbers import Told
from jaxcompress.report._html._tables import Column, folded

_ARROW = " \N{RIGHTWARDS ARROW} "


def cards(told: Told) -> list[Child]:
    """Return the cards of size, accuracy and latency, each a mean over the seeds."""
    return [_size(told), _accuracy(told), _latency(told)]


def about(told: Told) -> Child:
    """Return which runs there are."""
    if not told.at("seeds"):
        return None
    runs = [f"{row['folder']} (seed {row['seed']})" for row in told.at("seeds.runs")]
    return tag("p", f"Means and ranges of {len(runs)} runs: {', '.join(runs)}.", class_="soft")


def of_first(told: Told) -> str:
    """Return the end of a caption of what is shown of the first run only."""
    return f", of seed {told.at('seeds.runs.0.seed')}" if told.at("seeds") else ""


def spread(told: Told, place: str, form: str) -> Child:
    """Return the mean of a number over the seeds, and its range below it."""
    found = told.at(place)
    if not found:
        return told.number(place, form)
    if found["low"] == found["high"]:
        return told.number(f"{place}.mean", form)
    ends = (told.number(f"{place}.low", form), " to ", told.number(f"{place}.high", form))
    return [told.number(f"{place}.mean", form), tag("br"), tag("span", ends, class_="soft")]


def stages(told: Told) -> list[Child]:
    """Return the table of the stages over the seeds, each accuracy of its own."""
    rows = told.at("seeds.stages")
    if not rows:
        return []
    fields = (("accuracy", "percent"), ("size_bytes", "count"), ("sparsity", "tenths"))
    fields += (("latency_ms", "ms"),)
    cells = [
        [
            f"{n + 1}. {row['name']}",
            *[spread(told, f"seeds.stages.{n}.{field}", form) for field, form in fields],
            *[
                told.number(f"seeds.stages.{n}.accuracy.each.{k}", "percent")
                for k, _ in enumerate(told.at("seeds.runs"))
            ],
        ]
        for n, row in enumerate(rows)
    ]
    names = ("accuracy, %", "bytes", "zeros, %", "ms")
    more = [f"accuracy, %, seed {row['seed']}" for row in told.at("seeds.runs")]
    columns = [Column("stage", "text"), *map(Column, (*names, *more))]
    return folded("Stages, the mean and the range of the seeds", columns, cells)


def _each(told: Told, place: str, form: str) -> list[Child]:
    count = len(told.at(f"{place}.each"))
    return [[", " if n else "", told.number(f"{place}.each.{n}", form)] for n in range(count)]


def _card(name: str, big: Child, *lines: Child) -> Child:
    return [tag("h3", name), tag("p", big, class_="big"), *[tag("p", line) for line in lines]]


def _size(told: Told) -> Child:
    place = "seeds.headline.size_after_bytes"
    ratio = "seeds.headline.size_ratio"
    times = [told.number(f"{ratio}.mean", "ratio"), "\N{MULTIPLICATION SIGN} smaller than "]
    before = [told.number("seeds.headline.size_before_bytes.mean", "count"), " bytes"]
    big = [told.number(f"{place}.mean", "count"), tag("small", " bytes")]
    lines = [[times, before], ["each: ", *_each(told, place, "count")]]
    return _card("Size of the file, mean", big, *lines)


def _accuracy(told: Told) -> Child:
    before, after = (f"seeds.headline.quality_{when}_value" for when in ("before", "after"))
    lost = "seeds.headline.quality_points_lost"
    big = [tag("small", told.number(f"{before}.mean", "percent"), _ARROW)]
    big += [told.number(f"{after}.mean", "percent"), " %"]
    lines: list[Child] = [
        ["each before: ", *_each(told, before, "percent")],
        ["each after: ", *_each(told, after, "percent")],
        [
            "points lost ",
            told.number(f"{lost}.mean", "points"),
            ", from ",
            told.number(f"{lost}.low", "points"),
            " to ",
            told.number(f"{lost}.high", "points"),
        ],
    ]
    control = "seeds.headline.quality_control_value"
    if told.at(control):
        mean = told.number(f"{control}.mean", "percent")
        each = _each(told, control, "percent")
        lines.append(["control (dense, trained as long) ", mean, " %: ", *each])
    lines.append([told.number("quality.samples", "count"), " test samples"])
    return _card("Test accuracy, mean", big, *lines)


def _latency(told: Told) -> Child:
    before, after = (f"seeds.headline.latency_{when}_ms" for when in ("before", "after"))
    big = [tag("small", told.number(f"{before}.mean", "ms"), _ARROW)]
    big += [told.number(f"{after}.mean", "ms"), " ms"]
    how = ["batch ", told.number("latency.batch", "count"), "; ", told.at("latency.processor")]
    each = ["each: ", *_each(told, before, "ms"), _ARROW, *_each(told, after, "ms")]
    of = f"of {told.at('latency.is_of')}: zeros and shared values do not speed it up"
    return _card("Latency, mean of medians", big, each, how, of)
