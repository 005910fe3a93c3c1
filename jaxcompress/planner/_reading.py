"""Profiles read from files, which a person may have edited."""

import math
import os
from collections.abc import Mapping
from typing import Any

from jaxcompress.costs import LayerTime
from jaxcompress.planner._kinds import BY_NAME, NUMBER, TEXT, TEXTS, TRUTH, is_of
from jaxcompress.planner._record import (
    CUT_ONLY,
    TIMING,
    WHOLE,
    Anchor,
    Choice,
    Network,
    Parts,
    Profile,
    Quality,
    Speed,
    Tensor,
)
from jaxcompress.planner._task import Task
from jaxcompress.planner._text import read_fields
from jaxcompress.text import shortened


def read(path: str | os.PathLike[str], network: str | None = None) -> Profile:
    """Read a profile from a file.

    Args:
        path: of the file.
        network: digest of the network that it must be of; None for any.

    Raises:
        ValueError: it is none, of another version, or of another network.
        OSError: it cannot be read.
    """
    found = _profile(path)
    if network is not None and found.network != network:
        raise ValueError(
            f"{path}: is the profile of another network; remove it, or name another file."
        )
    return found


def read_for(task: Task, path: str | os.PathLike[str], network: str) -> Profile:
    """Read the profile of a task from a file.

    Args:
        task: whose network it is.
        path: of the file.
        network: digest of it.

    Raises:
        ValueError: as of `read`, or one that was measured for less than the task has: without
            evaluation or training, or for other batch sizes.
    """
    found = read(path, network)
    batches = {speed.batch_size for each in found.networks for speed in each.latency}
    differs = {
        "evaluate": task.evaluate is not None and found.quality is None,
        "loss and train": task.is_trained != found.is_trained,
        "batches": len(batches) > 1 and not batches >= set(task.batches),
    }
    if any(differs.values()):
        raise ValueError(
            f"{path}: must be measured for this task, got one of another "
            f"{' and '.join(name for name in differs if differs[name])}; remove it, or name "
            "another file."
        )
    return (
        found
        if task.learning_rate is None or not found.is_trained
        else found._replace(learning_rate=task.learning_rate)
    )


def _profile(path: str | os.PathLike[str]) -> Profile:
    told = read_fields(path, "profile")
    try:
        _check(told, _PROFILE)
        quality = told["quality"] and Quality(*_signed(**told["quality"]))
        if told["learning_rate"] is not None:
            _check(told, {"learning_rate": NUMBER})
        networks = [_network(**network) for network in told["networks"]]
        parts = _parts(**told.get("parts", {}))  # earlier profiles do not say them
        layers = [_layer(**each) for each in told.get("layers", [])]
        return Profile(
            **told | {"networks": networks, "quality": quality, "parts": parts, "layers": layers}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: must be a profile, got {shortened(str(error))}; measure it anew."
        ) from None


_PROFILE = {
    **dict.fromkeys(("network", "architecture", "metric"), TEXT),
    **dict.fromkeys(("leave", "limits"), TEXTS),
    **dict.fromkeys(("parameters", "dense_bytes"), NUMBER),
    **dict.fromkeys(("kept", "unfinished"), BY_NAME),
    "is_trained": TRUTH,
}
_NETWORK = {
    "name": TEXT,
    "cut": BY_NAME,
    **dict.fromkeys(("parameters", "beside_bytes", "damage", "trained_steps"), NUMBER),
}


def _check(told: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    for name, kind in kinds.items():
        if not is_of(kind, told[name]):
            raise ValueError(f"{name} {told[name]!r}, which is not {kind}")


def _signed(value: Any, noise: Any) -> tuple[float, float]:
    """Read a quality, which may be negative."""
    found = float(value), float(noise)
    if not all(map(math.isfinite, found)):
        raise ValueError(f"a quality of {value!r}")
    return found


def _parts(units: Any = None, blocks: Any = ()) -> Parts:
    found = Parts(dict(units or {}), list(blocks))
    if not all(is_of(TEXTS, paths) for paths in (*found.units.values(), found.blocks)):
        raise ValueError(f"parts {found!r}")
    return found


def _layer(shapes: Any, **told: Any) -> LayerTime:
    _check(told, {"path": TEXT, **dict.fromkeys(("batch_size", "calls", "ms"), NUMBER)})
    return LayerTime(shapes=tuple(map(_shape, shapes)), **told)


def _shape(given: Any) -> tuple[int, ...]:
    if not all(type(length) is int and length >= 0 for length in given):
        raise ValueError(f"a shape {given!r}")
    return tuple(given)


def _speed(**told: Any) -> Speed:
    _check(told, dict.fromkeys(Speed._fields, NUMBER))
    return Speed(**told)


def _network(**told: Any) -> Network:
    _check(told, _NETWORK)
    for name in ("flops", "memory_bytes"):
        if told[name] is not None:
            _check(told, {name: NUMBER})
    tensors = [_tensor(**each) for each in told["tensors"]]
    for path, _, choices, _ in tensors:
        if not choices or choices[-1].error:
            raise ValueError(f"{path} without an exact choice")
    latency = [_speed(**each) for each in told["latency"]]
    anchors = [_anchor(**each) for each in told["anchors"]]
    return Network(**told | {"tensors": tensors, "latency": latency, "anchors": anchors})


def _tensor(path: str, shape: Any, choices: Any, beaten: Any = ()) -> Tensor:
    """Read a tensor; earlier profiles do not say what is beaten."""
    found, others = ([_choice(path, **each) for each in some] for some in (choices, beaten))
    return Tensor(path, _shape(shape), found, others)


def _anchor(**told: Any) -> Anchor:
    found = Anchor(**told)
    if not all(is_of(NUMBER, value) for value in found[:3]):
        raise ValueError(f"an anchor of {list(found)}")
    return found if found.lost is None else found._replace(lost=float(found.lost))


def _choice(path: Any, **told: Any) -> Choice:
    found = Choice(**told)
    if not isinstance(path, str) or not isinstance(found.settings, dict):
        raise ValueError(f"{path} with settings {found.settings!r}")
    if not all(is_of(NUMBER, value) for value in found[1:]):
        raise ValueError(f"{path} with {list(found[1:])}")
    return found


def with_whole(found: Profile, *, is_run: bool) -> Profile:
    """Return a profile that is to measure the whole network, where it was left out.

    Args:
        found: that was read.
        is_run: whether networks are timed, which they are in turn with the whole one.
    """
    if CUT_ONLY not in found.limits:
        return found
    more = {TIMING: {}} if is_run else {}
    return found._replace(
        limits=[line for line in found.limits if line != CUT_ONLY],
        unfinished={WHOLE: {}} | found.unfinished | more,
    )
