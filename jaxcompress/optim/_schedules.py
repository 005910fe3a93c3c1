"""Schedules of sparsity over training steps, in the form of optax schedules."""

import jax
import jax.numpy as jnp
import optax

from jaxcompress.bounds import check_sparsity


def cubic_sparsity(
    sparsity: float, *, begin: int, end: int, initial: float = 0.0
) -> optax.Schedule:
    """Return the schedule that prunes fast at first and slowly at the end.

    `s(t) = sparsity + (initial - sparsity) * (1 - (t - begin) / (end - begin))^3`, held at
    `initial` before step `begin` and at `sparsity` from step `end`. Both are fractions of the
    weights of the dense net: prunings do not compound.

    Args:
        sparsity: from step `end` on, in [0, 1).
        begin: step of the first pruning.
        end: step of the last pruning, after `begin`.
        initial: sparsity up to step `begin`, in [0, sparsity].

    Raises:
        ValueError: a sparsity outside [0, 1), `initial` above `sparsity`, or not
            `0 <= begin < end`.

    Example:
        >>> schedule = cubic_sparsity(0.8, begin=0, end=100)
        >>> [round(float(schedule(step)), 3) for step in (0, 50, 100, 200)]
        [0.0, 0.7, 0.8, 0.8]

    Source: Zhu and Gupta 2017, arXiv:1710.01878.
    """
    check_sparsity("sparsity", sparsity)
    check_sparsity("initial", initial)
    if initial > sparsity:
        raise ValueError(
            f"initial: sparsity must not be above the final one, got {initial} above {sparsity}; "
            "weights that were removed do not come back."
        )
    if not 0 <= begin < end:
        raise ValueError(
            f"begin, end: must satisfy 0 <= begin < end, got {begin} and {end}; count them in "
            "optimizer steps."
        )

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        progress = jnp.clip((jnp.asarray(count) - begin) / (end - begin), 0, 1)
        return sparsity + (initial - sparsity) * (1 - progress) ** 3

    return schedule
