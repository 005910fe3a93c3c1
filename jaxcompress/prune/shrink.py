"""Cutting units out of arrays."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.prune.groups import UnitGroups
from jaxcompress.trees import PyTree, named_leaves

Keep = Mapping[str, Any]
"""By name of the group `[units]` booleans, True where a unit stays; groups left out stay whole."""


def shrink(tree: PyTree, groups: UnitGroups, keep: Keep) -> PyTree:
    """Cut the units that do not stay out of every array.

    Parameters shrink, and so does any tree whose leaves mirror them: gradients, masks, statistics,
    optimizer states. A leaf is known by the end of its path (`0/mu/conv1/kernel`) and its full
    shape; scalars and leaves of one entry pass. Removing a share `p` of the channels of every
    layer removes about `1 - (1 - p)^2` of the parameters.

    Args:
        tree: the parameters that were traced, or a tree that mirrors them.
        groups: from `unit_groups`.
        keep: by name of the group `[units]` booleans, from `choose_units`.

    Returns:
        A tree of the same structure with smaller arrays.

    Raises:
        ValueError: an unknown group, a `keep` of another length or that keeps no unit, a leaf of
            unknown path or of another shape.
        TypeError: a `keep` that is not boolean.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.ones((3, 4)), "out": np.ones((4, 2))}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 3)))
        >>> small = shrink(params, groups, {"in": np.array([True, False, False, True])})
        >>> small["in"].shape, small["out"].shape
        ((3, 2), (2, 2))
    """
    stays = kept_indices(groups, keep)
    known = _by_tail(groups)
    named = named_leaves(tree)
    found = [
        _known_path(path, tuple(leaf.shape), groups, known)
        for path, leaf in zip(named.paths, named.leaves, strict=True)
    ]
    if stays and not any(found):
        raise ValueError(
            f"tree: no leaf has a path of the parameters ({', '.join(list(groups.shapes)[:3])}, "
            f"...), got {', '.join(named.paths[:3]) or 'none'}; pass a tree that mirrors them."
        )
    return named.rebuild(
        [
            cut_out(leaf, stays.get(path, {})) if path else leaf
            for path, leaf in zip(found, named.leaves, strict=True)
        ]
    )


def kept_indices(groups: UnitGroups, keep: Keep) -> dict[str, dict[int, np.ndarray]]:
    """Return the indices that stay, by path and axis, of all axes that lose any.

    Raises:
        ValueError: as `shrink`.
        TypeError: as `shrink`.
    """
    gone: dict[tuple[str, int], np.ndarray] = {}
    for name, chosen in keep.items():
        flags = check_keep(groups, name, chosen)
        for part in groups[name].slices:
            size = groups.shapes[part.path][part.axis]
            mask = gone.setdefault((part.path, part.axis), np.zeros(size, bool))
            mask[part.indices[~flags].ravel()] = True
    result: dict[str, dict[int, np.ndarray]] = {}
    for (path, axis), mask in gone.items():
        if mask.any():
            result.setdefault(path, {})[axis] = np.flatnonzero(~mask)
    return result


def check_keep(groups: UnitGroups, name: str, chosen: Any) -> np.ndarray:
    """Return which units of a group stay, as booleans.

    Raises:
        ValueError: an unknown group, or a `keep` of another length or that keeps no unit.
        TypeError: a `keep` that is not boolean.
    """
    groups.check_name(name)
    flags = np.asarray(chosen)
    if flags.dtype != bool:
        raise TypeError(
            f"{name}: keep must be booleans, True where a unit stays, got {flags.dtype}; "
            "compare scores with a threshold or use choose_units."
        )
    if flags.shape != (groups[name].size,):
        raise ValueError(
            f"{name}: keep must have one entry for each of the {groups[name].size} units, got "
            f"shape {flags.shape}; use the groups that it was chosen from."
        )
    if not flags.any():
        raise ValueError(f"{name}: at least one unit must stay, got none; remove a smaller share.")
    return flags


def _by_tail(groups: UnitGroups) -> dict[str, list[str]]:
    """Return known paths by themselves and by what follows their first key."""
    result: dict[str, list[str]] = {}
    for path in groups.shapes:
        for tail in dict.fromkeys((path, path.partition("/")[2])):
            if tail:
                result.setdefault(tail, []).append(path)
    return result


def _known_path(
    path: str, shape: tuple[int, ...], groups: UnitGroups, known: Mapping[str, list[str]]
) -> str | None:
    """Return the parameter that a leaf mirrors, None for scalars."""
    if path in groups.shapes and groups.shapes[path] == shape:
        return path
    keys = path.split("/")
    tails = ["/".join(keys[k:]) for k in range(len(keys))]
    candidates = next((known[tail] for tail in tails if tail in known), [])
    fitting = [name for name in candidates if groups.shapes[name] == shape]
    if len(fitting) == 1:
        return fitting[0]
    if int(np.prod(shape)) <= 1:
        return None
    if candidates and not fitting:
        raise ValueError(
            f"{path}: must have the shape of {candidates[0]}, {groups.shapes[candidates[0]]}, got "
            f"{shape}; pass a tree that mirrors the parameters before the cut."
        )
    if fitting:
        raise ValueError(
            f"{path}: may mirror any of {', '.join(fitting)}; shrink their trees one by one."
        )
    raise ValueError(
        f"{path}: no parameter has a path that this ends in; pass a tree that mirrors the "
        f"parameters ({', '.join(list(groups.shapes)[:3])}, ...), or leave this leaf out."
    )


def cut_out(leaf: Any, stays: Mapping[int, np.ndarray]) -> Any:
    """Return an array with the indices that stay alone, by axis."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        sizes = [len(stays[k]) if k in stays else size for k, size in enumerate(leaf.shape)]
        return jax.ShapeDtypeStruct(tuple(sizes), leaf.dtype)
    for axis, indices in stays.items():
        take = np.take if isinstance(leaf, np.ndarray) else jnp.take
        leaf = take(leaf, indices, axis=axis)
    return leaf
