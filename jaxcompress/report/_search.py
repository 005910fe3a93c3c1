"""What a search tried, and what lottery tickets reached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxcompress.report._intervals import apart, wilson
from jaxcompress.report._json import checked

FRONT = "front.json"
"""The file of a run with the networks that its search tried."""

_FRONT = {
    "trials": "a count",
    "diverged": "a list",
    "images_trained_on": "a count",
    "validation_images": "a count?",
    "chosen": "an object",
    "front": "a list",
    "tried": "a list?",
}
_MEMBER = {
    "sizes": "an object",
    "size_bytes": "a count",
    "milliseconds": "a number",
    "speedups": "an object",
    "accuracy": "a number?",
    "loss": "a number?",
    "epochs": "a count",
}
_BUDGETS = {"size": "size_bytes", "speedup": "speedup", "drop": "drop"}
_WAYS = ("ticket", "new_weights", "random_mask", "fine_tuned")
_DENSE = ("dense", "dense_trained_on")


def search_record(path: Path, told: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a search tried: the smallest file first.

    Args:
        path: of its file, for errors.
        told: its content.
        options: of the run.

    Raises:
        ValueError: it is no such file.
    """
    found = checked(path, told, _FRONT)
    fields = ("front",) if found["tried"] is None else ("front", "tried")
    front, *others = [[_member(path, each, at) for each in found[at]] for at in fields]
    best = [member["sizes"] for member in front]
    members = others[0] if others else front
    images = found["validation_images"] or None
    for member in members:
        value = member["accuracy"]
        member["on_front"] = member["sizes"] in best
        member["is_chosen"] = member["sizes"] == found["chosen"]
        ends = None if value is None or images is None else wilson(value, images)
        member["low"], member["high"] = ends or (None, None)
    return {
        "trials": found["trials"],
        "images_trained_on": found["images_trained_on"],
        "validation_images": images,
        "budget": {new: _asked(options.get(old)) for old, new in _BUDGETS.items()},
        "chosen": named(found["chosen"]),
        "diverged": [member["name"] for member in members if member["accuracy"] is None],
        "is_whole": bool(others),
        "tried": sorted(members, key=lambda member: member["size_bytes"]),
    }


def _asked(value: Any) -> float | None:
    return value if type(value) in (int, float) else None


def _member(path: Path, told: Any, at: str) -> dict[str, Any]:
    member = checked(path, told, _MEMBER, at=at)
    speedups = {"speedups": {str(name): value for name, value in member["speedups"].items()}}
    checked(path, member["speedups"], dict.fromkeys(member["speedups"], "a number"), at=at)
    value = member["accuracy"]
    if not member["size_bytes"] or member["milliseconds"] <= 0 or not 0 <= (value or 0) <= 1:
        raise ValueError(f"{path}: {at} must have sizes, times and accuracies; make it again.")
    return {name: member[name] for name in _MEMBER} | speedups | {"name": named(member["sizes"])}


def named(sizes: Mapping[str, Any]) -> str:
    """Return the sizes of a network as one name.

    Example:
        >>> named({"widths": [8, 16], "depth": 2}), named({})
        ('widths 8-16, depth 2', 'the whole network')
    """
    parts = [f"{name.replace('_', ' ')} {_value(value)}" for name, value in sizes.items()]
    return ", ".join(parts) or "the whole network"


def _value(value: Any) -> str:
    return "-".join(map(_value, value)) if isinstance(value, list) else str(value)


def tickets_record(path: Path, rounds: Any, samples: int) -> dict[str, Any] | None:
    """Return what tickets and their controls reached, with intervals; None without rounds.

    Args:
        path: of the results, for errors.
        rounds: `tickets` of the results.
        samples: of the test.

    Raises:
        ValueError: they are no rounds.
    """
    if not rounds:
        return None
    kinds = {name: "a number" for name in ("sparsity", *_WAYS)}
    kinds |= {name: "a number?" for name in _DENSE}
    found = []
    for each in rounds:
        row = checked(path, each, kinds, at="tickets")
        if not all(0 <= row[name] <= 1 for name in kinds if row[name] is not None):
            raise ValueError(f"{path}: tickets must be fractions, got others; make it again.")
        ways = {name: _with_interval(row[name], samples) for name in _WAYS}
        worth = {
            name: dict(
                zip(("value", "low", "high"), apart(row["ticket"], row[name], samples), strict=True)
            )
            for name in _WAYS[1:]
        }
        found.append({"sparsity": row["sparsity"], "ways": ways, "ticket_less": worth})
    dense = {
        name: None if rounds[0].get(name) is None else _with_interval(rounds[0][name], samples)
        for name in _DENSE
    }
    return {"samples": samples, "rounds": found} | dense


def _with_interval(value: float, samples: int) -> dict[str, float]:
    low, high = wilson(value, samples)
    return {"value": value, "low": low, "high": high}
