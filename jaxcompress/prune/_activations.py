"""How much a unit matters, from what it does on data."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_together
from jaxcompress.compiled import jit_for_inference
from jaxcompress.placement import fetched
from jaxcompress.prune._unit_scores import UnitScore, UnitScores
from jaxcompress.trees import PyTree, named_leaves, widened
from jaxcompress.units.dependencies import Axis
from jaxcompress.units.find import trace_units
from jaxcompress.units.groups import UnitGroup
from jaxcompress.units.members import members_of
from jaxcompress.units.observe import run_observed
from jaxcompress.units.walk import Units

Statistic = Callable[[jax.Array], jax.Array]
"""From `[entries, samples]` activations, in float32 or wider, to a number for each entry."""


def mean_magnitude(activations: jax.Array) -> jax.Array:
    """Return the mean of `|a|` over the samples, `[entries]`.

    Example:
        >>> mean_magnitude(jnp.array([[1.0, -3.0], [0.0, 1.0]])).tolist()
        [2.0, 0.5]

    Source: Molchanov et al. 2017 compare it, arXiv:1611.06440.
    """
    return jnp.mean(jnp.abs(activations), axis=1)


def nonzero_fraction(activations: jax.Array) -> jax.Array:
    """Return the fraction of the samples that are not zero, `[entries]`: 1 - APoZ.

    Example:
        >>> nonzero_fraction(jnp.array([[1.0, -3.0], [0.0, 1.0]])).tolist()
        [1.0, 0.5]

    Source: Hu et al. 2016 (network trimming), arXiv:1607.03250.
    """
    return jnp.mean(activations != 0, axis=1)


def activation_score(
    apply: Callable[..., PyTree], *inputs: PyTree, statistic: Statistic = mean_magnitude
) -> UnitScore:
    """Return a score of units by their outputs on data.

    The activations of a unit are its entries in the inputs of the next layers: in operands of
    products (`dot_general`, convolutions) that are summed over units and depend on the inputs.
    The statistic is taken over all other axes, then averaged over the positions that a unit has
    along the axis (those of a flattened image), over the iterations of a scan, and over all
    products that read the unit. Products inside `while` loops and branches do not count.

    Args:
        apply: the function that the groups were found for.
        *inputs: of the function, one batch of training data; a larger one gives a better estimate.
        statistic: `mean_magnitude`, `nonzero_fraction`, or any function like these.

    Returns:
        A score for `choose_units`, which raises ValueError where no product reads a unit or the
        groups are not those of the function.

    Example:
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": np.array([[1.0, -1.0, 3.0]]), "out": np.ones((3, 1))}
        >>> apply = lambda p, x: jax.nn.relu(x @ p["in"]) @ p["out"]
        >>> x = np.array([[1.0], [2.0]])
        >>> groups = unit_groups(apply, params, x)
        >>> activation_score(apply, x)(params, groups.groups)["in"].tolist()
        [1.5, 0.0, 4.5]
    """

    def unit_score(params: PyTree, groups: Sequence[UnitGroup]) -> UnitScores:
        groups = list(groups)
        check_together("inputs", inputs, params)
        units, members = _traced(apply, params, inputs, groups)
        look = _Look(units, groups, members, statistic)
        paths = named_leaves(params).paths

        def observed(*given: Any) -> Any:
            flat = jax.tree.leaves(given)
            return run_observed(units.program, units.walk, paths, flat, look)

        readings = fetched(jit_for_inference(observed)(params, *inputs))
        return {group.name: _averaged(group, readings) for group in groups}

    return unit_score


def _traced(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    groups: Sequence[UnitGroup],
) -> tuple[Units, list[np.ndarray]]:
    """Return the traced function and the components of each group, `[units, n]`."""
    paths, missing = named_leaves(params).paths, ""
    for part in (True, False):
        units = trace_units(apply, params, inputs, part=part)
        members = members_of(units, groups, paths)
        absent = [g.name for g, found in zip(groups, members, strict=True) if not found.size]
        if not absent:
            return units, members
        missing = missing or absent[0]
    raise ValueError(
        f"{missing}: must be a group of this function, got one that it does not have; use the "
        "groups that unit_groups gives for it and these parameters."
    )


class Reading(NamedTuple):
    """What one product reads of one group, `[units]` each.

    Attributes:
        value: of each unit, 0 where it is not read.
        weight: 1 where it is read, else 0.
    """

    value: Any
    weight: Any


class _Look:
    """Takes the statistic of all units along an axis."""

    def __init__(
        self,
        units: Units,
        groups: Sequence[UnitGroup],
        members: Sequence[np.ndarray],
        statistic: Statistic,
    ) -> None:
        self.component, self.groups, self.statistic = units.solution.component, groups, statistic
        # The last entry is for nodes without a component.
        self.owner = np.full(units.solution.components + 1, -1)
        self.unit = np.zeros(units.solution.components + 1, int)
        for number, components in enumerate(members):
            self.owner[components] = number
            self.unit[components] = np.arange(len(components))[:, None]

    def __call__(self, value: Any, axis: int, ids: Axis) -> dict[str, Reading]:
        component = np.where(ids >= 0, self.component[np.maximum(ids, 0)], -1)
        owner = self.owner[component]
        if (owner < 0).all():
            return {}
        rows = jnp.moveaxis(jnp.asarray(value), axis, 0).reshape(ids.shape[1], -1)
        rows = widened(rows)
        entries = self.statistic(rows)
        if entries.shape != (ids.shape[1],):
            raise ValueError(
                f"statistic: must give one number for each of the {ids.shape[1]} entries, got "
                f"shape {entries.shape}; average over the second axis."
            )
        result = {}
        for number in np.unique(owner[owner >= 0]):
            layer, index = np.nonzero(owner == number)
            group, unit = self.groups[number], self.unit[component[layer, index]]
            times = np.bincount(unit, minlength=group.size)
            sums = jnp.zeros(group.size, entries.dtype).at[unit].add(entries[index])
            result[group.name] = Reading(
                sums / np.maximum(times, 1).astype(entries.dtype), jnp.asarray(times > 0, "f")
            )
        return result


def _averaged(group: UnitGroup, readings: Sequence[dict[str, Reading]]) -> np.ndarray:
    mine = [reading[group.name] for reading in readings if group.name in reading]
    value = np.sum([np.asarray(r.value, np.float64) for r in mine], axis=0) + np.zeros(group.size)
    weight = np.sum([r.weight for r in mine], axis=0) + np.zeros(group.size)
    if not weight.all():
        raise ValueError(
            f"{group.name}: each unit must be read by a product outside of branches and while "
            f"loops, got none for unit {int(np.argmin(weight))}; give fractions by name without "
            "this group, or score by weights, as l1_score does."
        )
    return value / weight
