"""Tensors that are to stay exactly as they are: in files, in cuts and in training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxcompress.oneshot.outcomes import SAME_AS
from jaxcompress.oneshot.rules import path_matches
from jaxcompress.planner._plan import Plan
from jaxcompress.planner._record import LEAVE, Parts, Profile
from jaxcompress.trees import some_of


def leaving(profile: Profile, leave: Sequence[str]) -> Callable[[str], bool]:
    """Return what says of a path whether its tensor stays exactly as it is.

    Args:
        profile: with patterns of its own.
        leave: more of them.

    Raises:
        ValueError: a pattern that no tensor matches: what it should protect would be changed.
    """
    patterns = [*profile.leave, *leave]
    paths = [tensor.path for network in profile.networks for tensor in network.tensors]
    paths += [path for kept in profile.kept.values() for path in kept]
    check_matches(patterns, paths)
    tied = {
        why.removeprefix(SAME_AS): others
        for why, others in profile.kept.items()
        if why.startswith(SAME_AS)
    }

    def is_left(path: str) -> bool:
        """Return whether a tensor, or one that is stored with it, is to be left."""
        return any(path_matches(p, one) for p in patterns for one in (path, *tied.get(path, ())))

    return is_left


def check_matches(patterns: Sequence[str], paths: Sequence[str]) -> None:
    """Refuse patterns that match no path.

    Raises:
        ValueError: naming the first: what it should protect would be changed.
    """
    if isinstance(patterns, str):
        raise ValueError(f"leave: must be a list of patterns, got {patterns!r}; pass [...].")
    for pattern in patterns:
        if not any(path_matches(pattern, path) for path in paths):
            raise ValueError(
                f"leave: {pattern!r} must match a tensor, got none of {some_of(paths)}; a word "
                "alone names a whole part of a path."
            )


def left_in(settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the paths that settings leave exactly as they are.

    Example:
        >>> sorted(left_in({"a": "leave", "b": {"bits": 4}, "c": {"keep": True}}))
        ['a']
    """
    return frozenset(path for path, each in settings.items() if each == LEAVE)


def honoured(given: Plan, parts: Callable[[], Parts]) -> dict[str, Any]:
    """Return the cut of a plan without tensors to leave, which a person may have added.

    Args:
        given: the plan.
        parts: finds which tensors groups of units, and blocks, have a part in.

    Raises:
        ValueError: blocks are dropped, and a tensor to leave is in one.
    """
    left = left_in(given.settings)
    if not given.cut or not left:
        return given.cut
    found = parts()
    if "blocks" in given.cut and not left.isdisjoint(found.blocks):
        raise ValueError(
            f"{min(left & set(found.blocks))}: cannot be left, the plan drops some of the blocks "
            "that it is in; take the cut or this line out."
        )
    return spared(given.cut, found, left.__contains__) or {}


def spared(
    cut: Mapping[str, Any], parts: Parts, is_left: Callable[[str], bool]
) -> dict[str, Any] | None:
    """Return a cut without the groups that have a part in tensors to leave.

    Args:
        cut: what is kept.
        parts: which tensors groups of units, and blocks, have a part in.
        is_left: says it of a path.

    Returns:
        The cut; None if nothing is left of it, or if it drops blocks that hold such a tensor.

    Example:
        >>> parts = Parts({"a": ["a/kernel", "b/kernel"], "b": ["b/kernel", "c/kernel"]}, [])
        >>> cut = {"units": {"a": 2, "b": 3}}
        >>> spared(cut, parts, lambda path: path == "c/kernel")
        {'units': {'a': 2}}
        >>> spared(cut, parts, lambda path: path == "b/kernel") is None
        True
    """
    if "blocks" in cut:
        return None if any(map(is_left, parts.blocks)) else dict(cut)
    if "units" not in cut:
        return dict(cut)
    units = {
        name: kept
        for name, kept in cut["units"].items()
        if not any(map(is_left, parts.units.get(name, ())))
    }
    return {"units": units} if units else None
