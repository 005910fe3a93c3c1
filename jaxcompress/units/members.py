"""The units of groups among the components that walking a function found."""

from collections.abc import Sequence

import numpy as np

from jaxcompress.units.groups import UnitGroup, places
from jaxcompress.units.patterns import read_groups
from jaxcompress.units.walk import Units


def members_of(units: Units, groups: Sequence[UnitGroup], paths: Sequence[str]) -> list[np.ndarray]:
    """Return for each group the components of each unit that belong to no other unit.

    Args:
        units: from walking a function.
        groups: from `unit_groups`, of this function or of one much like it.
        paths: of its parameters.

    Returns:
        `[units, n]` components a group. There are several if components can only be
        removed together, such as the halves of a split, and none if the function has no such units.
    """
    found, _ = read_groups(units, paths)
    known = {places(group.slices): group.components[:, None] for group in found}
    slot = {
        (paths[leaf], axis): ids for (leaf, axis), ids in zip(units.slots, units.axes, strict=True)
    }
    result = []
    for group in groups:
        exact = known.get(places(group.slices))
        result.append(_from_slices(units, group, slot) if exact is None else exact)
    return result


def _from_slices(
    units: Units, group: UnitGroup, slot: dict[tuple[str, int], np.ndarray]
) -> np.ndarray:
    columns = [np.zeros((group.size, 0), int)]
    for part in group.slices:
        for layer in slot.get((part.path, part.axis), ()):
            if part.indices.max() >= len(layer):
                continue
            ids = layer[part.indices]
            members = units.solution.component[np.maximum(ids, 0)]
            unit = np.broadcast_to(np.arange(group.size)[:, None], members.shape)
            owned = np.unique(np.stack([members.ravel(), unit.ravel()]), axis=1)
            if (ids >= 0).all() and owned.shape[1] == len(np.unique(owned[0])):
                columns.append(members)
    return np.concatenate(columns, axis=1)
