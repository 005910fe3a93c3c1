"""The entries that belong to units: one array a slice, a row a unit."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.checks import check_finite
from jaxcompress.kinds import NUMBERS, WEIGHTS, check_kind, check_values, kind_of
from jaxcompress.placement import on_host
from jaxcompress.trees import PyTree, Scope, check_scope, named_leaves, weights
from jaxcompress.units.groups import Slice, UnitGroup


def unit_slices(
    tree: PyTree, groups: Sequence[UnitGroup], *, scope: Scope = weights
) -> dict[str, list[np.ndarray]]:
    """Return by name of the group the entries of its units, one `[units, m]` array a slice.

    Where several slices lie in one leaf, as in a recurrent kernel, entries of an earlier slice are
    zeros in the later ones: each weight of a unit counts once.

    Args:
        tree: the parameters, or a tree with their leaves at the same paths, such as gradients.
        groups: the groups to read.
        scope: which leaves count; a group with no leaf in the scope gives all its weights, a group
            without weights all its numbers.

    Raises:
        ValueError: a leaf is missing, not finite, or has fewer entries than the group.
        TypeError: the scope chooses random keys.

    Example:
        >>> from jaxcompress.prune import Slice
        >>> part = Slice("kernel", 1, np.array([[0], [1]]))
        >>> group = UnitGroup(
        ...     name="layer", size=2, slices=(part,), changes_function=False, parameters=2)
        >>> unit_slices({"kernel": np.array([[1.0, 2.0], [3.0, 4.0]])}, [group])["layer"]
        [array([[1., 3.],
               [2., 4.]])]
    """
    result, checked = {}, set()
    for group, chosen in scored_slices(tree, groups, scope=scope):
        result[group.name] = []
        for number, (part, leaf) in enumerate(chosen):
            array = on_host(leaf)
            if part.path not in checked:
                check_finite(part.path, array)
                checked.add(part.path)
            result[group.name].append(by_unit(array, part, chosen[:number], np))
    return result


def scored_slices(
    tree: PyTree, groups: Sequence[UnitGroup], *, scope: Scope
) -> Iterator[tuple[UnitGroup, list[tuple[Slice, Any]]]]:
    """Return for each group its slices in the scope with their leaves, as `unit_slices` does.

    Raises:
        ValueError: a leaf is missing, or has fewer entries than the group.
    """
    check_scope(scope)
    named = named_leaves(tree)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    for group in groups:
        for part in group.slices:
            _check_leaf(group, part, leaves)
        pairs = [(part, leaves[part.path]) for part in group.slices]
        chosen = [(part, leaf) for part, leaf in pairs if scope(part.path, leaf)]
        for part, leaf in chosen:
            check_kind(part.path, leaf, NUMBERS)
            check_values(part.path, leaf)
        for kinds in (WEIGHTS, NUMBERS):
            chosen = chosen or [pair for pair in pairs if kind_of(pair[1]) in kinds.members]
        yield group, chosen


def _check_leaf(group: UnitGroup, part: Slice, leaves: Mapping[str, Any]) -> None:
    if part.path not in leaves:
        raise ValueError(
            f"{part.path}: the tree must have this leaf of group {group.name}, got "
            f"{', '.join(list(leaves)[:5])}; pass the tree whose groups these are."
        )
    shape, least = tuple(leaves[part.path].shape), int(part.indices.max()) + 1
    if part.axis >= len(shape) or shape[part.axis] < least:
        raise ValueError(
            f"{part.path}: axis {part.axis} must have at least the {least} entries of group "
            f"{group.name}, got shape {shape}; find the groups of a cut tree again."
        )


def by_unit(leaf: Any, part: Slice, before: Sequence[tuple[Slice, Any]], xp: Any) -> Any:
    """Return `[units, m]`: the entries of each unit, zeros for those of an earlier slice.

    Args:
        leaf: the array.
        part: where the units lie in it.
        before: earlier slices with their leaves.
        xp: `numpy`, or `jax.numpy` for traced arrays.
    """
    units = len(part.indices)
    rows = xp.moveaxis(leaf, part.axis, 0)[part.indices]
    for other, _ in before:
        if other.path == part.path:
            taken = np.zeros((units, leaf.shape[other.axis]), bool)
            np.put_along_axis(taken, other.indices, values=True, axis=1)
            place = 2 + other.axis - (other.axis > part.axis)
            shape = [units, *[1] * (rows.ndim - 1)]
            shape[place] = taken.shape[1]
            rows = xp.where(taken.reshape(shape), 0, rows)
    return rows.reshape(units, -1)
