"""Proving that cutting units out has changed nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.kinds import native
from jaxcompress.prune._shrink import Keep, check_keep, shrink
from jaxcompress.trace.program import Program, abstract, first_line, retrace
from jaxcompress.trees import PyTree, named_leaves, shapes_of
from jaxcompress.units.cut import Cut, mismatch, other_results
from jaxcompress.units.find import trace_units
from jaxcompress.units.groups import UnitGroups
from jaxcompress.units.members import members_of
from jaxcompress.units.silence import relative_difference, run_silenced
from jaxcompress.units.trials import Rebuild
from jaxcompress.units.walk import Units


def check_shrink(
    apply: Callable[..., PyTree],
    params: PyTree,
    groups: UnitGroups,
    keep: Keep,
    *inputs: PyTree,
    small_apply: Callable[..., PyTree] | None = None,
    rebuild: Rebuild | None = None,
) -> float:
    """Return the largest relative difference between the cut function and the silenced one.

    `max |small - silenced| / max |silenced|` of each result; the largest is returned, so that a
    large result does not hide a small one. Silenced means that the full function runs with zeros in
    place of the removed units in every value between its primitives, biases and the offsets of
    norms included.

    Where a norm averages over the units themselves, its statistics are those of the kept units,
    as in the cut function; numbers that follow from sizes, such as the `n` of a mean, are taken
    from the cut function. Some code is traced differently for one unit than for several, such as
    the products of attention for one head: it is compared with its trace for two units, with the
    numbers of two.

    Args:
        apply: the function that `groups` were found for.
        params: its full parameters.
        groups: from `unit_groups`.
        keep: by name of the group `[units]` booleans.
        *inputs: of the function; their values matter, random ones are better than zeros.
        small_apply: the function rebuilt for the new sizes, where `apply` does not follow them.
        rebuild: what rebuilds it, as in `unit_groups`: `rebuild(sizes)` gets the new shape of
            every leaf by path and returns the `apply` for them.

    Returns:
        About 1e-6 for float32 if the cut is right; a deep untrained net may lose digits; float64
        parameters under `jax_enable_x64` keep them. Infinity if a result has no finite number, or
        one that is finite on one side only.

    Raises:
        ValueError: the function does not run on the cut parameters, or does something else there;
            a `keep` that removes no unit, since there is no cut to prove then; parameters of other
            paths or shapes than those that `groups` were found for.
        TypeError: inputs or results that are not arrays.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.eye(4), "out": np.ones((4, 2))}
        >>> apply = lambda p, x: np.tanh(1) * (x @ p["in"]) @ p["out"]
        >>> groups = unit_groups(apply, params, np.ones((1, 4)))
        >>> keep = {"in": np.array([True, False, False, True])}
        >>> check_shrink(apply, params, groups, keep, np.ones((1, 4))) < 1e-6
        True
    """
    if small_apply and rebuild:
        raise ValueError(
            "small_apply, rebuild: both give the code for the new sizes, got both; pass one."
        )
    params, inputs = jax.tree.map(native, (params, inputs))
    groups.check_shapes(shapes_of(params))
    units = trace_units(apply, params, inputs, part=groups.parted)
    cut = Cut(_removed(units, groups, keep, named_leaves(params).paths))
    if all(np.all(kept) for kept in keep.values()):
        raise ValueError(
            "keep: must remove a unit, as there is no cut to prove otherwise, got "
            f"{'all True' if keep else 'no group'}; remove a larger fraction, or do not check."
        )
    small_params = shrink(params, groups, keep)
    remedy = (
        "small_apply or rebuild must give the same code at the new sizes."
        if small_apply or rebuild
        else "find the groups again, or pass rebuild or small_apply, the code for the new sizes."
    )

    def build(small: PyTree) -> Callable[..., PyTree]:
        return rebuild(shapes_of(small)) if rebuild else small_apply or apply

    try:
        cut_apply = build(small_params)
        small = retrace(cut_apply, small_params, *inputs)
    except Exception as error:
        raise ValueError(
            f"apply: must run on the cut parameters, got {first_line(error).rstrip('.')}; {remedy}"
        ) from error
    difference = other_results(units.program, small)
    if not difference and (difference := mismatch(units.program, units.walk, small, cut)):
        alone = [name for name, kept in keep.items() if np.count_nonzero(kept) == 1]
        if twins := _at_two(build, params, inputs, units, groups, keep, alone):
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
    build: Callable[[PyTree], Callable[..., PyTree]],
    params: PyTree,
    inputs: Sequence[PyTree],
    units: Units,
    groups: UnitGroups,
    keep: Keep,
    alone: Sequence[str],
) -> Program | None:
    """Return the program with two units in place of one, in as few groups as needed."""
    paths = named_leaves(params).paths
    found, several = None, list(alone)
    for spared in ("", *alone):
        names = [name for name in several if name != spared]
        more = {**keep, **{name: _one_more(keep[name]) for name in names}}
        try:
            small_params = shrink(abstract(params), groups, more)
            small = retrace(build(small_params), small_params, *inputs)
        except Exception:  # whatever the code raises
            continue
        cut = Cut(_removed(units, groups, more, paths))
        if not mismatch(units.program, units.walk, small, cut):
            found, several = small, names
    return found


def _one_more(kept: Any) -> np.ndarray:
    flags = np.array(kept)
    flags[np.argmin(flags)] = True
    return flags


def _removed(units: Units, groups: UnitGroups, keep: Keep, paths: list[str]) -> np.ndarray:
    """Return for each node whether it is removed."""
    out = np.zeros(units.solution.components, bool)
    flags = [check_keep(groups, name, chosen) for name, chosen in keep.items()]
    members = members_of(units, [groups[name] for name in keep], paths)
    for chosen, components in zip(flags, members, strict=True):
        out[components[~chosen].ravel()] = True
    return out[units.solution.component]
