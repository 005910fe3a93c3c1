"""The tables of the search."""

from typing import Any

from benchmarks.lib.markdown import footnote, markdown, spread
from benchmarks.lib.measured import FILES, TRAINING
from benchmarks.lib.record import Figures, Record

_TITLES = {
    "search": "search",
    "random, halved": "random proposals, halved",
    "random search": "random search",
}


def volume(record: Figures) -> list[str]:
    """Return one row for each way: the volume that its front dominates."""
    rows = []
    for data, runs in _by_data(record).items():
        for way, title in _TITLES.items():
            if any(way not in run["volume"] for run in runs):
                continue
            found = [run["volume"][way] for run in runs]
            wins = sum(run["volume"]["search"] > run["volume"][way] for run in runs)
            rows.append(
                [
                    data,
                    title,
                    f"{runs[0]['trials'][way]}",
                    f"{sum(run['diverged'][way] for run in runs)}",
                    spread(found, 3),
                    "" if way == "search" else f"{wins} of {len(runs)}",
                ]
            )
    header = ["data", "way", "networks", "diverged", "volume", "search is larger, seeds"]
    more = f" Images passed, at most: {max(run['images'] for run in record['figures']):,}."
    return markdown(header, rows) + footnote(record, more)


def widths(record: Figures) -> list[str]:
    """Return one row for each budget and seed: even widths beside the best of the front."""
    rows = []
    for data, runs in _by_data(record).items():
        for run in runs:
            for each in run["widths"]:
                if each["sizes"] is None:
                    rows.append([data, str(run["seed"]), f"{each['budget']:g}", "none", *[""] * 4])
                    continue
                best = each["best"]
                rows.append(
                    [
                        data,
                        str(run["seed"]),
                        f"{each['budget']:g}",
                        f"{each['bytes']:,}",
                        f"{100 * each['test']:.1f}",
                        *_cells(best),
                    ]
                )
    header = ["data", "seed", "times faster", "even widths, bytes", "accuracy %"]
    header += ["search, bytes", "times faster, found", "accuracy %, found"]
    return markdown(header, rows) + footnote(record, " Test images.")


def _cells(best: dict[str, Any] | None) -> list[str]:
    if best is None:
        return ["none", "", ""]
    faster = min(best["speedups"].values())
    return [f"{best['bytes']:,}", f"{faster:.1f}", f"{100 * best['test']:.1f}"]


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
        {"search_volume": volume, "search_widths": widths},
    ),
)
