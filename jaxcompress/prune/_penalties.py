"""Penalties that drive whole units towards zero while training."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.prune._unit_slices import by_unit, scored_slices
from jaxcompress.trees import PyTree, Scope, weights, widened
from jaxcompress.units.groups import UnitGroup


def group_lasso(
    params: PyTree, groups: Iterable[UnitGroup], *, scope: Scope = weights
) -> jax.Array:
    """Return the group lasso: the sum over all units of `sqrt(m) * ||w||_2`.

    `w` are the `m` weights of a unit. Unlike that of the squared norm, the slope does not vanish as
    a unit gets small, so that units that matter little become zero as a whole. At a unit of zeros
    the slope is taken to be 0.

    Args:
        params: the parameters that the groups were found for; may be traced.
        groups: from `unit_groups`, or some of them.
        scope: which leaves count; a group with no leaf in the scope counts with all its weights.

    Returns:
        A scalar; to be weighted and added to a loss, or given to `add_penalty`.

    Raises:
        ValueError: a leaf is missing, or has fewer entries than the group.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.prune import unit_groups
        >>> params = {"in": jnp.array([[3.0, 0.0]]), "out": jnp.array([[4.0], [0.0]])}
        >>> groups = unit_groups(lambda p, x: x @ p["in"] @ p["out"], params, np.ones((1, 1)))
        >>> print(f"{group_lasso(params, groups):.4f}")  # sqrt(2) * (5 + 0)
        7.0711

    Source: Yuan and Lin 2006, "Model selection and estimation in regression with grouped
    variables"; for units of networks Wen et al. 2016, arXiv:1608.03665.
    """
    total = jnp.zeros(())
    for group, chosen in scored_slices(params, list(groups), scope=scope):
        square, count = jnp.zeros(group.size), np.zeros(group.size)
        for number, (part, leaf) in enumerate(chosen):
            wide = widened(jnp.asarray(leaf))
            before = chosen[:number]
            square = square + _squares(by_unit(wide, part, before, jnp)).sum(axis=1)
            count += by_unit(np.ones(leaf.shape, bool), part, before, np).sum(axis=1)
        total = total + (np.sqrt(count) * _roots(square)).sum()
    return total


def _squares(values: jax.Array) -> jax.Array:
    """Return `|w|^2`."""
    return (
        jnp.square(values.real) + jnp.square(values.imag)
        if jnp.iscomplexobj(values)
        else (jnp.square(values))
    )


def _roots(square: jax.Array) -> jax.Array:
    # Not where(square > 0, sqrt(square), 0), whose gradient at 0 is 0 * inf.
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
