"""Profiles of some techniques alone."""

from collections.abc import Sequence

from jaxcompress.planner._damage import undominated
from jaxcompress.planner._record import Choice, Profile, Tensor
from jaxcompress.planner._techniques import (
    BLOCKS,
    OF_CUTS,
    TECHNIQUES,
    UNITS,
    technique_of,
    technique_of_cut,
)


def only(profile: Profile, techniques: str | Sequence[str]) -> Profile:
    """Return a profile whose choices are those of some techniques alone.

    `plan(only(profile, "quantization"), size_bytes=...)` is what this technique reaches by itself.
    Every tensor may also stay exactly as it is, and the whole network is always there. Weights that
    are left by pruning, and the factors of low rank, are rounded, as that is how they were
    measured; with cutting units or dropping blocks alone all weights that are left stay exactly.

    Args:
        profile: of all techniques.
        techniques: "quantization", "sharing", "pruning", "low rank", "cutting units" or "dropping
            blocks", or several of them, which are combined.

    Raises:
        ValueError: none, another word, or a technique of which the profile holds no choice; it says
            why.

    Example:
        >>> from jaxcompress.planner import Task, plan, profile
        >>> import numpy as np
        >>> weights = np.random.default_rng(0).standard_normal((64, 64))
        >>> found = profile(Task(None, {"w": weights}))
        >>> plan(only(found, "sharing"), size_bytes="3KB").settings
        {'w': {'clusters': 16}}
    """
    techniques = [techniques] if isinstance(techniques, str) else list(techniques)
    if not techniques:
        raise ValueError(f"only: needs a technique, got none; pass {_listed()}.")
    for technique in techniques:
        if technique not in TECHNIQUES:
            raise ValueError(f"only: must be techniques, got {technique!r}; pass {_listed()}.")
        if why := missing(profile, technique):
            raise ValueError(f"only: {technique} must have a choice in the profile; {why}.")
    wanted = ("", *techniques)
    networks = [
        network._replace(tensors=[_of(tensor, wanted) for tensor in network.tensors])
        for network in profile.networks
        if technique_of_cut(network.cut) in wanted
    ]
    return profile._replace(networks=networks)


def _listed() -> str:
    return ", ".join(TECHNIQUES)


def missing(profile: Profile, technique: str) -> str:
    """Return why a profile holds no choice of a technique, "" if it holds one.

    Args:
        profile: of a network.
        technique: one of `TECHNIQUES`.
    """
    if technique in OF_CUTS.values():
        if any(technique_of_cut(network.cut) == technique for network in profile.networks):
            return ""
        return "; ".join(_reasons(profile, technique)) or _ABSENT[technique]
    if any(_offers(tensor, technique) for n in profile.networks for tensor in n.tensors):
        return ""
    return "it made no tensor smaller, or was not tried"


_ABSENT = {
    UNITS: "no fraction of the units was asked for, or none is left of them",
    BLOCKS: "the task names no blocks, or too few",
}


def _reasons(profile: Profile, technique: str) -> list[str]:
    """Return what the profile says of cuts that it does not hold."""
    if not profile.is_measured:
        return ["nothing can be cut without apply and example"]
    word = technique.split()[-1]
    return [limit for limit in profile.limits if word in limit]


def _all(tensor: Tensor) -> list[Choice]:
    return [*tensor.choices, *tensor.beaten]


def _offers(tensor: Tensor, technique: str) -> bool:
    return any(technique_of(choice.settings) == technique for choice in _all(tensor))


def _of(tensor: Tensor, wanted: Sequence[str]) -> Tensor:
    """Return a tensor with the choices of some techniques, and the exact one."""
    kept = [choice for choice in _all(tensor) if technique_of(choice.settings) in wanted]
    return tensor._replace(choices=undominated(kept), beaten=())
