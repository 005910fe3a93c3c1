"""The tables of the search."""

from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import FILES, TRAINING
from benchmarks.lib.record import Figures, Record

_TITLES = {
    "search": "search",
    "random search": "random search",
    "even widths": "even widths",
}


def means(record: Figures) -> list[str]:
    """Return one row for each way: accuracy, the mean of the budgets."""
    rows = []
    for data, runs in _by_data(record).items():
        found = {way: [_mean(run, way) for run in runs] for way in _TITLES}
        for way, title in _TITLES.items():
            wins = sum(mine > its for mine, its in zip(found["search"], found[way], strict=True))
            rows.append(
                [
                    data,
                    title,
                    str(runs[0]["trials"].get(way, "")),
                    str(sum(run["diverged"].get(way, 0) for run in runs)),
                    spread([100 * each for each in found[way]], 2),
                    "" if way == "search" else f"{wins} of {len(runs)}",
                ]
            )
    header = ["data", "way", "networks", "diverged", "accuracy %", "search is better, seeds"]
    more = f" Images passed, at most: {max(run['images'] for run in record['figures']):,}."
    return markdown(header, rows) + footnote(record, more)


def _mean(run: dict[str, Any], way: str) -> float:
    return sum(each[way]["test"] for each in run["budgets"]) / len(run["budgets"])


def budgets(record: Figures) -> list[str]:
    """Return one row for each budget and seed: even widths beside what the ways chose."""
    rows = []
    for data, runs in _by_data(record).items():
        for run in runs:
            for each in run["budgets"]:
                found = each["search"]
                rows.append(
                    [
                        data,
                        str(run["seed"]),
                        f"{each['speedup']:g}",
                        f"{each['bytes']:,}",
                        f"{found['bytes']:,}",
                        f"{min(found['speedups'].values()):.1f}",
                        *(_points(each[way]) for way in _TITLES),
                        str(each["seconds"]),
                    ]
                )
    header = ["data", "seed", "times faster", "bytes", "search, bytes"]
    header += ["times faster, found", *(f"{title} %" for title in _TITLES.values()), "search, s"]
    return markdown(header, rows) + footnote(record, " Test images.")


def _points(figures: dict[str, Any]) -> str:
    return f"{100 * figures['test']:.1f}"


def _by_data(record: Figures) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for run in record["figures"]:
        found.setdefault(run["data"], []).append(run)
    return found


RECORDS = (
    SEARCH := Record(
        "search",
        "small networks of a family found within a budget, beside random search and even widths",
        (
            *FILES,
            *TRAINING,
            "jaxcompress/costs",
            "nets/small_cifar.py",
            "nets/students.py",
            "pipelines/search",
        ),
        {"search_means": means, "search_budgets": budgets},
    ),
)
