"""A penalty within a limit: its price rises while it is above, and falls while it is below."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcompress.bounds import check_positive, is_integer
from jaxcompress.optim._by_leaf import check_params, map_leaves
from jaxcompress.optim._penalty import Penalty
from jaxcompress.trees import PyTree, is_floating

_INTEGRAL, _PROPORTIONAL = 40.0, 1.0
"""By how much a miss of 1 % for a 100th of the steps changes the price, in percent; and at once."""

_FIRST = 0.02
"""Price of the whole penalty at the start, in units of the loss."""

_ON_THE_WAY = 0.6
"""Part of the steps after which the limit holds."""


class LimitPenaltyState(NamedTuple):
    """State of `limit_penalty`.

    Attributes:
        step: steps taken.
        first: logarithm of the penalty at the first step.
        value: the penalty, when it was computed last.
        price: in units of the loss, of one unit of the penalty.
        log_base: logarithm of the price without its part by the present miss.
        slopes: the gradient of `price * penalty`, when it was computed last.
    """

    step: jax.Array
    first: jax.Array
    value: jax.Array
    price: jax.Array
    log_base: jax.Array
    slopes: PyTree


def limit_penalty(
    penalty: Penalty, *, limit: float, end: int, every: int = 1
) -> optax.GradientTransformation:
    """Add a penalty to the loss at the price that brings it to a limit; before the optimizer.

    `update = gradient + price(step) * grad(penalty)(params)`. Wanted is a penalty that falls
    geometrically from its first value to the limit, in the first 60 % of the steps, and stays
    there. The price rises while the penalty is above the wanted value and falls while it is below:

        miss  = log(penalty) - log(wanted), in [-1, 1]
        base = base * exp(40 * miss / end)
        price = base * exp(miss)

    It begins at `0.02 / penalty`. So the loss decides what to give up, and a size is met without a
    search for its price. A penalty that begins below the limit may rise up to it.

    Args:
        penalty: from parameters to a scalar above 0, such as `rate_aware(apply).bits`.
        limit: of the penalty, above 0.
        end: of the training, in optimizer steps.
        every: so many steps pass until the penalty and its gradient are computed anew. A penalty
            of all weights may take longer than a small batch, and changes slowly.

    Returns:
        A transform for `optax.chain`; its `update` needs `params`. Updates of leaves that are not
        floating-point arrays are not changed.

    Raises:
        ValueError: a limit that is not above 0, `end` or `every` below 1; in `update`, without
            params.
        TypeError: a limit that is not a number, `end` or `every` that are no integers; in
            `update`, a penalty that is not a scalar.

    Example:
        >>> def penalty(p):
        ...     return jnp.sum(jnp.square(p["w"]))
        >>> tx = optax.chain(limit_penalty(penalty, limit=2.0, end=400), optax.sgd(0.1))
        >>> params = {"w": jnp.array([2.0])}  # the loss is (w - 2)^2
        >>> state = tx.init(params)
        >>> step = jax.jit(lambda p, s: tx.update({"w": 2 * (p["w"] - 2)}, s, p))
        >>> for _ in range(400):
        ...     updates, state = step(params, state)
        ...     params = optax.apply_updates(params, updates)
        >>> round(float(penalty(params)), 1)
        2.0

    Source: Platt and Barr 1987 (differential multipliers, NIPS); Stooke et al. 2020 (a
    proportional part), arXiv:2007.03964.
    """
    limit = check_positive("limit", limit, "pass what the penalty may be at the end")
    for name, count in (("end", end), ("every", every)):
        _check_count(name, count)
    target, gain = math.log(limit), _INTEGRAL * every / end

    def init(params: PyTree) -> PyTree:
        first, value, price, log_base = (jnp.zeros([], jnp.float32) for _ in range(4))
        slopes = map_leaves(_no_slope, params)
        return LimitPenaltyState(jnp.zeros([], jnp.int32), first, value, price, log_base, slopes)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        check_params("limit_penalty", params)

        def renewed(state: LimitPenaltyState) -> LimitPenaltyState:
            value, slopes = jax.value_and_grad(penalty, allow_int=True)(params)
            value = value.astype(jnp.float32)
            log = jnp.log(jnp.maximum(value, jnp.finfo(jnp.float32).tiny))  # it may be 0
            begins = state.step == 0
            first = jnp.where(begins, log, state.first)
            fallen = jnp.minimum(state.step / (_ON_THE_WAY * end), 1)
            above = jnp.maximum(first - target, 0)
            miss = jnp.clip(log - (target + above * (1 - fallen)), -1, 1)
            base = jnp.where(begins, math.log(_FIRST) - log, state.log_base) + gain * miss
            price = jnp.exp(base + _PROPORTIONAL * miss)
            priced = map_leaves(lambda p, s: _priced(p, s, price), params, slopes)
            return LimitPenaltyState(state.step, first, value, price, base, priced)

        state = jax.lax.cond(state.step % every == 0, renewed, lambda state: state, state)
        added = map_leaves(_added, updates, params, state.slopes)
        step = jnp.asarray(optax.safe_increment(state.step))
        return added, state._replace(step=step)

    return optax.GradientTransformation(init, update)


def _no_slope(param: Any) -> jax.Array:
    """Return a zero for each number of a leaf, one for all of a leaf that has no gradient."""
    return jnp.zeros_like(param) if is_floating(param) else jnp.zeros([], jnp.float32)


def _priced(param: Any, slope: Any, price: jax.Array) -> jax.Array:
    return (price * slope).astype(param.dtype) if is_floating(param) else _no_slope(param)


def _added(update: Any, param: Any, slope: jax.Array) -> Any:
    return update + slope.astype(update.dtype) if is_floating(param) else update


def _check_count(name: str, count: Any) -> None:
    if not is_integer(count):
        raise TypeError(f"{name}: must be an integer from 1, got {count!r}; count optimizer steps.")
    if count < 1:
        raise ValueError(f"{name}: must be at least 1, got {count}; count optimizer steps.")
