"""Cutting units out of arrays, and proving that nothing else has changed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.prune.find import trace_units
from jaxcompress.prune.groups import UnitGroups
from jaxcompress.prune.members import members_of
from jaxcompress.trace.cut import Cut, mismatch, other_results
from jaxcompress.trace.program import Program, abstract, retrace
from jaxcompress.trace.silence import relative_difference, run_silenced
from jaxcompress.trace.walk import Units
from jaxcompress.trees import PyTree, named_leaves, native

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
        flags = _check_keep(groups, name, chosen)
        for part in groups[name].slices:
            size = groups.shapes[part.path][part.axis]
            mask = gone.setdefault((part.path, part.axis), np.zeros(size, bool))
            mask[part.indices[~flags].ravel()] = True
    result: dict[str, dict[int, np.ndarray]] = {}
    for (path, axis), mask in gone.items():
        if mask.any():
            result.setdefault(path, {})[axis] = np.flatnonzero(~mask)
    return result


def _check_keep(groups: UnitGroups, name: str, chosen: Any) -> np.ndarray:
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


def check_shrink(
    apply: Callable[..., PyTree],
    params: PyTree,
    groups: UnitGroups,
    keep: Keep,
    *inputs: PyTree,
    small_apply: Callable[..., PyTree] | None = None,
) -> float:
    """Return the largest relative difference between the cut function and the silenced one.

    `max |small - silenced| / max |silenced|` of each result, and of these the largest: a large
    result hides no other. Silenced means that the full function runs with zeros in place of the
    removed units in every value between its primitives, biases and the offsets of norms included.
    Where a norm averages over the units themselves, its statistics are those of the units that
    stay, as in the cut function; numbers that follow from sizes, such as the `n` of a mean, are
    taken from there. Code that is traced otherwise for one unit than for several, as the products
    of attention for one head, is compared with what it does for two, with the numbers of two.

    Args:
        apply: the function that `groups` were found for.
        params: its full parameters.
        groups: from `unit_groups`.
        keep: by name of the group `[units]` booleans.
        *inputs: of the function; their values matter, random ones are better than zeros.
        small_apply: the function rebuilt for the new sizes, where `apply` does not follow them.

    Returns:
        About 1e-6 for float32 if the cut is right; a deep net without training may lose digits,
        which float64 parameters under `jax_enable_x64` give back. Infinity if
        a result has no finite number, or one that is finite on one side only.

    Raises:
        ValueError: the function does not run on the cut parameters, or does something else there;
            parameters of other paths or shapes than those that `groups` were found for.
        TypeError: inputs or results that are no arrays.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.eye(4), "out": np.ones((4, 2))}
        >>> apply = lambda p, x: np.tanh(1) * (x @ p["in"]) @ p["out"]
        >>> groups = unit_groups(apply, params, np.ones((1, 4)))
        >>> keep = {"in": np.array([True, False, False, True])}
        >>> check_shrink(apply, params, groups, keep, np.ones((1, 4))) < 1e-6
        True
    """
    params, inputs = jax.tree.map(native, (params, inputs))
    _check_shapes(params, groups)
    units = trace_units(apply, params, inputs, part=groups.parted)
    cut = Cut(_removed(units, groups, keep, named_leaves(params).paths))
    small_params = shrink(params, groups, keep)
    cut_apply = small_apply or apply
    remedy = (
        "find the groups again, or pass small_apply, rebuilt for the new sizes."
        if small_apply is None
        else "small_apply must be the same code at the new sizes."
    )
    try:
        small = retrace(cut_apply, small_params, *inputs)
    except Exception as error:
        raise ValueError(
            f"apply: must run on the cut parameters, got {type(error).__name__}: {error}; {remedy}"
        ) from error
    difference = other_results(units.program, small)
    if not difference and (difference := mismatch(units.program, units.walk, small, cut)):
        alone = [name for name, stays in keep.items() if np.count_nonzero(stays) == 1]
        if twins := _at_two(cut_apply, params, inputs, units, groups, keep, alone):
            small, difference = twins, None
        elif alone:
            remedy = f"leave at least two units of {', '.join(alone)}, or {remedy}"
    if difference:
        raise ValueError(
            f"apply: must do the same on the cut parameters, but {difference}; {remedy}"
        )

    @jax.jit
    def silenced(params: PyTree, *inputs: PyTree) -> list[Any]:
        leaves = jax.tree.leaves((params, *inputs))
        return run_silenced(units.program, units.walk, small, cut, leaves)

    wanted = silenced(params, *inputs)
    given = jax.tree.leaves(jax.jit(cut_apply)(small_params, *inputs))
    return max(map(relative_difference, given, wanted), default=0.0)


def _at_two(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    units: Units,
    groups: UnitGroups,
    keep: Keep,
    alone: Sequence[str],
) -> Program | None:
    """Return the program with two units where one is left, in as few groups as it takes."""
    paths = named_leaves(params).paths
    found, several = None, list(alone)
    for spared in ("", *alone):
        names = [name for name in several if name != spared]
        more = {**keep, **{name: _one_more(keep[name]) for name in names}}
        try:
            small = retrace(apply, shrink(abstract(params), groups, more), *inputs)
        except Exception:  # whatever the code raises
            continue
        cut = Cut(_removed(units, groups, more, paths))
        if not mismatch(units.program, units.walk, small, cut):
            found, several = small, names
    return found


def _one_more(stays: Any) -> np.ndarray:
    flags = np.array(stays)
    flags[np.argmin(flags)] = True
    return flags


def _check_shapes(params: PyTree, groups: UnitGroups) -> None:
    named = named_leaves(params)
    shapes = {p: tuple(leaf.shape) for p, leaf in zip(named.paths, named.leaves, strict=True)}
    for path in {**groups.shapes, **shapes}:
        wanted, got = groups.shapes.get(path), shapes.get(path)
        if wanted is None:
            raise ValueError(
                f"{path}: must be among the parameters that groups were found for "
                f"({', '.join(list(groups.shapes)[:3])}, ...), and is not; find the groups again."
            )
        if wanted != got:
            raise ValueError(
                f"{path}: must have the shape that groups were found for, {wanted}, "
                f"{'and is missing' if got is None else f'got {got}'}; find the groups again."
            )


def _removed(units: Units, groups: UnitGroups, keep: Keep, paths: list[str]) -> np.ndarray:
    """Return by node whether it goes."""
    out = np.zeros(units.solution.components, bool)
    flags = [_check_keep(groups, name, chosen) for name, chosen in keep.items()]
    members = members_of(units, [groups[name] for name in keep], paths)
    for chosen, components in zip(flags, members, strict=True):
        out[components[~chosen].ravel()] = True
    return out[units.solution.component]
