"""What a profile and a plan say: which layers hurt, and what was tried."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcompress.report._json import checked
from jaxcompress.text import json_digest, shortened

_BITS = 4.0
"""Bits a weight at which layers are compared: coarse enough to hurt, and in most profiles."""

_TENSOR = {"path": "a text", "shape": "a list", "choices": "a list"}
_CHOICE = {"settings": "an object", "size_bytes": "a number", "damage": "a number"}
_ANCHOR = {"size_bytes": "a number", "damage": "a number", "lost": "a number?"}
_NETWORK = {"name": "a text", "tensors": "a list", "anchors": "a list", "flops": "a number?"}
_PROFILE = {"metric": "a text?", "networks": "a list", "kept": "an object", "limits": "a list"}
_BUDGET = {"size_bytes": "a number?", "speedup": "a number?", "drop": "a number?"}
_PLAN = {
    "name": "a text",
    "cut": "an object",
    "settings": "an object",
    "budget": "an object",
    "size_bytes": "a number",
    "why": "a list",
}


def plan_record(path: Path, told: Any) -> dict[str, Any]:
    """Return a plan as a record has it.

    Args:
        path: of its file, for errors.
        told: its content.

    Raises:
        ValueError: it is no plan.
    """
    plan = checked(path, told, _PLAN)
    settings = {name: _words(path, value) for name, value in plan["settings"].items()}
    budget = checked(path, plan["budget"], _BUDGET, at="budget")
    return {
        "network": plan["name"],
        "cut": plan["cut"],
        "settings": settings,
        "budget": {name: budget[name] for name in _BUDGET},
        "size_bytes": plan["size_bytes"],
        "why": [str(line) for line in plan["why"]],
    }


def plan_of_file(path: Path, told: Any, metadata: Any) -> dict[str, Any]:
    """Return the plan that a file was made by.

    Args:
        path: of the plan, for errors.
        told: its content.
        metadata: of the file.

    Raises:
        ValueError: it is no plan, or not that of the file.
    """
    plan = plan_record(path, told)
    pack = metadata.get("pack") if isinstance(metadata, dict) else None
    stamp = pack.get("plan") if isinstance(pack, dict) else None
    mine = json_digest([told["cut"], told["settings"], told.get("half")])
    if stamp != mine:
        got = shortened(repr(stamp))
        raise ValueError(
            f"{path}: must be the plan that the file was made by, {mine}, got a file of {got}; "
            "name the other plan, or leave it out."
        )
    return plan


def _words(path: Path, value: Any) -> str:
    if isinstance(value, str):
        return "exactly as it is"
    settings = checked(path, value, {}, at="settings")
    if settings.get("keep"):
        return "exactly as it is"
    return ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in settings.items())


def profile_record(path: Path, told: Any, network: str | None) -> dict[str, Any]:
    """Return a profile as a record has it: layers, the worst first, and plans that were tried.

    Layers are compared at the choice nearest to four bits a weight.

    Args:
        path: of its file, for errors.
        told: its content.
        network: name of the one that was chosen; None for the first.

    Raises:
        ValueError: it is no profile.
    """
    profile = checked(path, told, _PROFILE)
    networks = [checked(path, each, _NETWORK, at="networks") for each in profile["networks"]]
    chosen = next((each for each in networks if each["name"] == network), None)
    if chosen is None and networks:
        chosen = networks[0]
    rows = [] if chosen is None else [_layer(path, each) for each in chosen["tensors"]]
    return {
        "metric": profile["metric"] or "of outputs",
        "network": None if chosen is None else chosen["name"],
        "layers": sorted(rows, key=lambda row: -row["damage"]),
        "tried": _tried(path, networks),
        "kept": {str(why): [*map(str, paths)] for why, paths in profile["kept"].items()},
        "limits": [str(line) for line in profile["limits"]],
    }


def _layer(path: Path, told: Any) -> dict[str, Any]:
    tensor = checked(path, told, _TENSOR, at="tensors")
    shape = [size for size in tensor["shape"] if type(size) is int and size >= 0]
    weights = max(math.prod(shape), 1)
    choices = [checked(path, each, _CHOICE, at=tensor["path"]) for each in tensor["choices"]]
    if not choices:
        raise ValueError(f"{path}: {tensor['path']} must have choices, got none; measure it anew.")

    def far(choice: Mapping[str, Any]) -> float:
        return abs(8 * choice["size_bytes"] / weights - _BITS)

    at = min(choices, key=far)
    return {
        "path": tensor["path"],
        "shape": shape,
        "settings": _words(path, at["settings"]),
        "bits_per_weight": 8 * at["size_bytes"] / weights,
        "damage": at["damage"],
        "choices": len(choices),
        "curve": [[8 * each["size_bytes"] / weights, each["damage"]] for each in choices],
    }


def _tried(path: Path, networks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return all plans that were made and evaluated; those on the front have none better."""
    found = []
    for network in networks:
        for each in network["anchors"]:
            anchor = checked(path, each, _ANCHOR, at="anchors")
            found.append(
                {
                    "network": network["name"],
                    "size_bytes": anchor["size_bytes"],
                    "damage": anchor["damage"],
                    "lost": anchor["lost"],
                }
            )
    by = "lost" if all(each["lost"] is not None for each in found) else "damage"
    for each in found:
        each["on_front"] = not any(_beats(other, each, by) for other in found)
    return sorted(found, key=lambda each: (each["size_bytes"], each[by]))


def _beats(one: Mapping[str, Any], other: Mapping[str, Any], by: str) -> bool:
    pairs = [(one[name], other[name]) for name in ("size_bytes", by)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def reasons(plan: Mapping[str, Any] | None, profile: Mapping[str, Any] | None) -> dict[str, str]:
    """Return why tensors were left, by path."""
    kept = {} if profile is None else profile["kept"]
    found = dict(itertools.chain.from_iterable(((p, w) for p in ps) for w, ps in kept.items()))
    settings = {} if plan is None else plan["settings"]
    return found | {
        path: "the plan keeps it exactly"
        for path, words in settings.items()
        if words == "exactly as it is"
    }
