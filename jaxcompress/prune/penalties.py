"""Penalties that drive whole units towards zero while training."""

import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcompress.prune.groups import UnitGroup
from jaxcompress.prune.unit_scores import scored_slices
from jaxcompress.trees import PyTree, Scope, kernels


def group_lasso(
    params: PyTree, groups: Iterable[UnitGroup], *, scope: Scope = kernels
) -> jax.Array:
    """Return the group lasso: the sum over all units of `sqrt(m) * ||w||_2`.

    `w` are the `m` weights that go with a unit. Unlike the square of the norm, its slope does not
    vanish as a unit gets small, so that units that matter little go to zero as a whole. At a unit
    of zeros the slope is taken to be 0.

    Args:
        params: the parameters that the groups were found for; may be traced.
        groups: from `unit_groups`, or some of them.
        scope: which leaves; a group without any in it gives all its floating-point leaves.

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
    for group, chosen in scored_slices(list(groups), params, scope=scope):
        square, count = jnp.zeros(group.size), 0
        for part, leaf in chosen:
            sums = _squares(leaf, part.axis)
            square = square + sums[part.indices].sum(axis=1)
            count += part.indices.shape[1] * math.prod(leaf.shape) // leaf.shape[part.axis]
        total = total + math.sqrt(count) * _roots(square).sum()
    return total


def _squares(leaf: Any, axis: int) -> jax.Array:
    """Return the sum of squares at each index of an axis."""
    wide = jnp.asarray(leaf).astype(jnp.promote_types(leaf.dtype, jnp.float32))
    return jnp.sum(jnp.square(wide), axis=[k for k in range(wide.ndim) if k != axis])


def _roots(square: jax.Array) -> jax.Array:
    # Not where(square > 0, sqrt(square), 0), whose gradient at 0 is 0 * inf.
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
