"""Penalties on weights, added to gradients."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcompress.optim._by_leaf import check_params, map_leaves
from jaxcompress.trees import PyTree, is_floating

Penalty = Callable[[PyTree], Any]
"""From parameters to a scalar."""


class AddPenaltyState(NamedTuple):
    """State of `add_penalty`: steps taken."""

    step: jax.Array


def add_penalty(
    penalty: Penalty, *, strength: float | optax.Schedule
) -> optax.GradientTransformation:
    """Add a penalty to the loss, by its gradient; put it before the optimizer in the chain.

    `update = gradient + strength(step) * grad(penalty)(params)`, so that the optimizer gets
    the gradient of `loss + strength(step) * penalty(params)`. A growing strength separates units
    gradually, and lets training make up for the loss.

    Args:
        penalty: from parameters to a scalar, such as `lambda p: group_lasso(p, groups)`.
        strength: at least 0, or an optax schedule: from a step (the first is 0) to the strength.

    Returns:
        A transform for `optax.chain`; its `update` needs `params`. Updates of leaves
        that are not floating-point arrays are not changed.

    Raises:
        ValueError: a strength below 0 or not finite; in `update`, without params.
        TypeError: a strength that is not a number; in `update`, a penalty that is not a scalar.

    Example:
        >>> penalty = add_penalty(lambda p: jnp.sum(abs(p["w"])), strength=0.5)
        >>> tx = optax.chain(penalty, optax.sgd(1.0))
        >>> params = {"w": jnp.array([1.0, -2.0])}
        >>> updates, _ = tx.update({"w": jnp.zeros(2)}, tx.init(params), params)
        >>> optax.apply_updates(params, updates)["w"].tolist()
        [0.5, -1.5]

    Source: growing strengths, Wang et al. 2021, arXiv:2012.09243.
    """
    schedule = strength if callable(strength) else optax.constant_schedule(_checked(strength))

    def init(params: PyTree) -> PyTree:
        del params
        return AddPenaltyState(jnp.zeros([], jnp.int32))

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        check_params("add_penalty", params)
        now = schedule(state.step)

        def add(update: jax.Array, param: jax.Array, slope: jax.Array) -> jax.Array:
            if not is_floating(param):
                return update
            return update + jnp.asarray(now * slope, update.dtype)

        slopes = jax.grad(penalty, allow_int=True)(params)
        step = jnp.asarray(optax.safe_increment(state.step))
        return map_leaves(add, updates, params, slopes), AddPenaltyState(step)

    return optax.GradientTransformation(init, update)


def _checked(strength: Any) -> float:
    if isinstance(strength, bool | str) or not jnp.isscalar(strength):
        raise TypeError(
            f"strength: must be a number or a schedule, got {strength!r}; 1e-4 is a start."
        )
    number = float(strength)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(
            f"strength: must be finite and at least 0, got {strength}; 1e-4 is a start."
        )
    return number
