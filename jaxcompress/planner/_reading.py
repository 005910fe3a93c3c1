"""Profiles read from files, which a person may have edited."""

import os
from typing import Any

from jaxcompress.planner._kinds import NUMBER, TEXT, TEXTS, is_of
from jaxcompress.planner._record import (
    CUT_ONLY,
    TIMING,
    WHOLE,
    Anchor,
    Choice,
    Network,
    Profile,
    Quality,
    Speed,
    Tensor,
)
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


def _profile(path: str | os.PathLike[str]) -> Profile:
    told = read_fields(path, "profile")
    try:
        quality = told["quality"] and Quality(**told["quality"])
        for name, kind in (("network", TEXT), ("metric", TEXT), ("leave", TEXTS)):
            if not is_of(kind, told[name]):
                raise ValueError(f"{name} {told[name]!r}")
        networks = [_network(**network) for network in told["networks"]]
        return Profile(**told | {"networks": networks, "quality": quality})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: must be a profile, got {shortened(str(error))}; measure it anew."
        ) from None


def _network(**told: Any) -> Network:
    tensors = [_tensor(**each) for each in told["tensors"]]
    for path, _, choices, _ in tensors:
        if not choices or choices[-1].error:
            raise ValueError(f"{path} without an exact choice")
    if not is_of(NUMBER, told["beside_bytes"]):
        raise ValueError(f"beside_bytes {told['beside_bytes']!r}")
    latency = [Speed(**each) for each in told["latency"]]
    anchors = [_anchor(**each) for each in told["anchors"]]
    return Network(**told | {"tensors": tensors, "latency": latency, "anchors": anchors})


def _tensor(path: str, shape: Any, choices: Any, beaten: Any = ()) -> Tensor:
    """Read a tensor; earlier profiles do not say what is beaten."""
    found, others = ([_choice(path, **each) for each in some] for some in (choices, beaten))
    return Tensor(path, tuple(shape), found, others)


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
