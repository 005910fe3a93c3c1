"""Changes that make a network smaller: units cut out of a group, blocks dropped."""

from collections.abc import Iterable
from functools import partial

import jax
import numpy as np

from jaxcompress.bounds import check_removed
from jaxcompress.planner._changes import Change, Trial
from jaxcompress.prune import (
    UnitGroup,
    UnitGroups,
    UnitScore,
    choose_units,
    count_blocks,
    drop_blocks,
    l1_score,
    shrink,
)
from jaxcompress.trees import PyTree, named_leaves, plain_bytes, shapes_of


def units(groups: UnitGroups, *, remove: float, score: UnitScore = l1_score) -> Change:
    """Cut a fraction of the units out of one group.

    Args:
        groups: from `unit_groups`, of the same network.
        remove: the fraction, in [0, 1).
        score: as in `choose_units`; the lowest are removed.

    Raises:
        ValueError: a fraction out of range; when tried, groups of another network.
        TypeError: a fraction that is not a number.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[1.0, 3.0]]), "out": np.ones((2, 1))}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> ((what, trial),) = [
        ...     pair for pair in units(groups, remove=0.5).trials(params) if "units" in pair[0]]
        >>> what, trial.build()["in"].tolist(), trial.silence()["in"].tolist()
        ('units of in', [[3.0]], [[0.0, 3.0]])
    """
    fraction = check_removed("remove", remove)

    def trials(params: PyTree) -> Iterable[tuple[str, Trial | str]]:
        groups.check_shapes(shapes_of(params))
        all_groups = dict.fromkeys(groups.names, fraction)
        keep = choose_units(params, groups, remove=all_groups, score=score) if all_groups else {}
        for group in groups:
            kept = keep[group.name]
            yield (
                f"units of {group.name}",
                f"{fraction:g} of {group.size} units are none"
                if kept.all()
                else _without(params, groups, group, kept),
            )
        for axis in groups.frozen:
            yield f"{axis.path}:{axis.axis}", f"units stay: {'; '.join(axis.reasons)}"

    return Change(f"{100 * fraction:g} % fewer units", trials)


def blocks(at: str) -> Change:
    """Drop one block.

    Args:
        at: where the blocks are, as in `drop_blocks`.

    Raises:
        ValueError: when tried, no such place.

    Example:
        >>> params = {"blocks": [np.array([3.0]), np.array([0.5])]}
        >>> for what, trial in blocks("blocks").trials(params):
        ...     print(what, trial.build()["blocks"], trial.full_bytes, trial.size_bytes)
        blocks[0] [array([0.5])] 8 0
        blocks[1] [array([3.])] 8 0
    """

    def trials(params: PyTree) -> Iterable[tuple[str, Trial | str]]:
        depth, shapes = count_blocks(params, at), _shells(params)
        for k in range(depth):
            others = [*range(k), *range(k + 1, depth)]
            if not others:
                yield f"{at}[{k}]", "the only block"
                continue
            saved = _size_bytes(shapes) - _size_bytes(drop_blocks(shapes, at, keep=others))
            yield f"{at}[{k}]", Trial(saved, 0, partial(drop_blocks, params, at, keep=others))

    return Change(f"without a block of {at}", trials)


def _without(params: PyTree, groups: UnitGroups, group: UnitGroup, kept: np.ndarray) -> Trial:
    """Return the cut of one group."""
    keep, shapes = {group.name: kept}, _shells(params)
    named = named_leaves(shapes)
    paths = {part.path for part in group.slices}
    full = sum(
        plain_bytes(leaf)
        for path, leaf in zip(named.paths, named.leaves, strict=True)
        if path in paths
    )
    saved = _size_bytes(shapes) - _size_bytes(shrink(shapes, groups, keep))
    silence = None if group.changes_function else partial(silenced, params, group, kept)
    return Trial(full, full - saved, partial(shrink, params, groups, keep), silence)


def silenced(params: PyTree, group: UnitGroup, kept: np.ndarray) -> PyTree:
    """Return parameters with zeros in place of all that belongs to the removed units.

    What reads a unit has zeros for it then, whatever the unit is. So the function is that of the
    cut, unless something runs over the units themselves.
    """
    named = named_leaves(params)
    leaves = dict(zip(named.paths, named.leaves, strict=True))
    for part in group.slices:
        leaf = np.array(leaves[part.path])
        np.moveaxis(leaf, part.axis, 0)[part.indices[~kept].ravel()] = 0
        leaves[part.path] = leaf
    return named.rebuild(list(leaves.values()))


def _shells(params: PyTree) -> PyTree:
    """Return shapes and dtypes; those of 64 bits stay."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)


def _size_bytes(tree: PyTree) -> int:
    return sum(map(plain_bytes, jax.tree.leaves(tree)))
