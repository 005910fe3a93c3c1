"""Cutting units out of arrays."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.placement import like
from jaxcompress.prune._states import States
from jaxcompress.trees import PyTree, named_leaves
from jaxcompress.units.groups import UnitGroups

Keep = Mapping[str, Any]
"""By name of the group `[units]` booleans, True where a unit is kept; other groups lose nothing."""


def shrink(
    tree: PyTree, groups: UnitGroups, keep: Keep, *, restart: PyTree | None = None
) -> PyTree:
    """Cut the removed units out of every array.

    Parameters shrink, and so does any tree whose leaves mirror them: gradients, masks, statistics,
    optimizer states. A leaf is known by the end of its path (`0/mu/conv1/kernel`) and its full
    shape; scalars and leaves of one entry pass. Removing a fraction `p` of the channels of every
    layer removes about `1 - (1 - p)^2` of the parameters.

    Means and maxima over some axes are cut along the others: Adafactor's `v_row` and `v_col`, SM3's
    vectors, arrays with an axis reduced to 1; the parts that removed units added to them are kept.
    Leaves without entries of their own for each unit (Kronecker statistics and their roots,
    projections) and leaves that may be of several axes cannot be cut; `restart` starts such states
    anew.

    Gathered to the host: nothing.

    Args:
        tree: the parameters that were traced, or a tree that mirrors them.
        groups: from `unit_groups`.
        keep: by name of the group `[units]` booleans, from `choose_units`.
        restart: `tx.init(small_params)`, for the state of an optimizer. The innermost named tuple
            with a leaf that cannot be cut, such as one optimizer of a chain, is taken from there
            whole, with its count: moments that start anew under an old count would be wrong. All
            other leaves are cut.

    Returns:
        A tree of the same structure with smaller arrays.

    Raises:
        ValueError: an unknown group, a `keep` of another length or that keeps no unit, a leaf of
            unknown path or of another shape, a leaf that may be of several axes or is factored
            differently at its new size; a `restart` of another optimizer or other sizes.
        TypeError: a `keep` that is not boolean.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.ones((3, 4)), "out": np.ones((4, 2))}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 3)))
        >>> small = shrink(params, groups, {"in": np.array([True, False, False, True])})
        >>> small["in"].shape, small["out"].shape
        ((3, 2), (2, 2))
    """
    kept = kept_indices(groups, keep)
    named = named_leaves(tree)
    parts = States(tree, groups, kept).parts(restart)
    if kept and restart is None and not any(part and part.path for part in parts):
        raise ValueError(
            f"tree: no leaf has a path of the parameters ({', '.join(list(groups.shapes)[:3])}, "
            f"...), got {', '.join(named.paths[:3]) or 'none'}; pass a tree that mirrors them."
        )
    fresh = named.leaves if restart is None else jax.tree.leaves(restart)
    return named.rebuild(
        [
            cut_out(named.leaves[part.source], part.kept(kept)) if part else new
            for part, new in zip(parts, fresh, strict=True)
        ]
    )


def kept_indices(groups: UnitGroups, keep: Keep) -> dict[str, dict[int, np.ndarray]]:
    """Return the indices that are kept, by path and axis, of all axes that lose any.

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
    """Return which units of a group are kept, as booleans.

    Raises:
        ValueError: an unknown group, or a `keep` of another length or that keeps no unit.
        TypeError: a `keep` that is not boolean.
    """
    groups.check_name(name)
    flags = np.asarray(chosen)
    if flags.dtype != bool:
        raise TypeError(
            f"{name}: keep must be booleans, True where a unit is kept, got {flags.dtype}; "
            "compare scores with a threshold or use choose_units."
        )
    if flags.shape != (groups[name].size,):
        raise ValueError(
            f"{name}: keep must have one entry for each of the {groups[name].size} units, got "
            f"shape {flags.shape}; use the groups that it was chosen from."
        )
    if not flags.any():
        raise ValueError(
            f"{name}: at least one unit must be kept, got none; remove a smaller fraction."
        )
    return flags


def cut_out(leaf: Any, kept: Mapping[int, np.ndarray]) -> Any:
    """Return an array with the kept indices alone, by axis."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        sizes = [len(kept[k]) if k in kept else size for k, size in enumerate(leaf.shape)]
        return jax.ShapeDtypeStruct(tuple(sizes), leaf.dtype)
    cut = leaf
    for axis, indices in kept.items():
        take = np.take if isinstance(cut, np.ndarray) else jnp.take
        cut = take(cut, indices, axis=axis)
    return like(cut, leaf)
