"""Products of activations with integer weights, a few of which are converted at a time."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcompress.leaves import Quantized
from jaxcompress.products.contraction import contraction
from jaxcompress.trace.program import Equation
from jaxcompress.trees import Array


def weight_only(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return `x @ (scale * integers)` as `scale * (x @ integers)`, without a float weight.

    Args:
        equation: a `dot_general`.
        operands: one of them is `Quantized`.
        place: of that operand.

    Returns:
        The result. None with a zero point; with scales along the axis that is summed over; with no
        such axis, several, or one in the middle; or with batch axes. None too if the device is not
        a CPU: nothing was measured on others.
    """
    leaf: Quantized = operands[place]
    summed, batch = contraction(equation)[:2]
    axes, ends = summed[place], (0, len(leaf.shape) - 1)
    if len(axes) != 1 or axes[0] not in ends or batch[0] or not _scaled(leaf, axes[0]):
        return None
    if jax.default_backend() != "cpu" or not leaf.values.size:
        return None
    (axis,) = axes
    free = tuple(size for k, size in enumerate(leaf.shape) if k != axis)
    x = jnp.moveaxis(operands[1 - place], summed[1 - place][0], -1)
    inputs = x.shape[-1]
    side = 0 if axis == 0 else 1
    result = _product(
        x.reshape(-1, inputs),
        leaf.values.reshape((inputs, -1) if side == 0 else (-1, inputs)),
        side,
        equation.params["precision"],
    )
    ones = tuple(1 if k == axis else size for k, size in enumerate(leaf.shape))
    result = result * jnp.broadcast_to(leaf.scale, ones).reshape(-1)
    result = result.reshape(*x.shape[:-1], *free)
    if place == 0:
        rank = result.ndim
        result = jnp.moveaxis(result, range(rank - len(free), rank), range(len(free)))
    dtype = equation.params["preferred_element_type"] or jnp.promote_types(x.dtype, leaf.dtype)
    return [result.astype(dtype)]


def _scaled(leaf: Quantized, summed: int) -> bool:
    """Return whether a leaf has one scale, or one for each output channel, and nothing else."""
    whole = all(m in (1, n) for m, n in zip(leaf.scale.shape, leaf.shape, strict=True))
    return leaf.zero_point is None and whole and leaf.scale.shape[summed] == 1


def _product(x: jax.Array, integers: Array, side: int, precision: Any) -> jax.Array:
    """Return `x @ integers`; the integers are `[in, out]` or, if `side` is 1, `[out, in]`."""
    rows = x.shape[0]
    if isinstance(rows, int) and rows <= FEW[side]:  # any number of rows is a symbol
        few = (_by_entries, _by_dots)[side]
        return few(x.astype(jnp.promote_types(x.dtype, jnp.float32)), jnp.asarray(integers))
    return _by_outputs(x, integers, side, precision)


def _by_entries(x: jax.Array, integers: jax.Array) -> jax.Array:
    """Return `x @ integers`, a few inputs at a time; their products are summed entry by entry."""
    inputs, outputs = integers.shape
    rest = inputs % INPUTS

    def summed(result: jax.Array, part: jax.Array, rows: jax.Array) -> jax.Array:
        for k in range(len(rows)):
            result = result + part[:, k : k + 1] * rows[k].astype(x.dtype)
        return result

    def turn(number: Any, result: jax.Array) -> jax.Array:
        start = rest + number * INPUTS
        part = lax.dynamic_slice_in_dim(x, start, INPUTS, 1)
        return summed(result, part, lax.dynamic_slice_in_dim(integers, start, INPUTS))

    first = summed(jnp.zeros((len(x), outputs), x.dtype), x[:, :rest], integers[:rest])
    return lax.fori_loop(0, inputs // INPUTS, turn, first) if inputs >= INPUTS else first


def _by_dots(x: jax.Array, integers: jax.Array) -> jax.Array:
    """Return `x @ integers.T` of at most one sample: XLA converts inside sums along rows."""
    turns = -(-x.shape[1] // ROW)
    size, rest = divmod(x.shape[1], turns)

    def summed(result: jax.Array, part: jax.Array, rows: jax.Array) -> jax.Array:
        return result + part @ rows.astype(x.dtype).T

    def turn(number: Any, result: jax.Array) -> jax.Array:
        start = rest + number * size
        part = lax.dynamic_slice_in_dim(x, start, size, 1)
        return summed(result, part, lax.dynamic_slice_in_dim(integers, start, size, 1))

    first = summed(jnp.zeros((len(x), len(integers)), x.dtype), x[:, :rest], integers[:, :rest])
    return lax.fori_loop(0, turns, turn, first)


def _by_outputs(x: jax.Array, integers: Array, side: int, precision: Any) -> jax.Array:
    """Return `x @ integers`, some outputs at a time, whose integers are converted."""
    outputs = integers.shape[1 - side]
    size = min(OUTPUTS, outputs)
    dtype = jnp.promote_types(x.dtype, jnp.float32)

    def turn(number: Any, result: jax.Array) -> jax.Array:
        start = jnp.minimum(number * size, outputs - size)  # the last block overlaps the one before
        block = lax.dynamic_slice_in_dim(integers, start, size, 1 - side)
        block = lax.optimization_barrier(block.astype(x.dtype))  # else they are converted often
        part = lax.dot_general(
            x,
            block,
            (((1,), (side,)), ((), ())),
            precision=precision,
            preferred_element_type=dtype,
        )
        return lax.dynamic_update_slice_in_dim(result, part, start, 1)

    return lax.fori_loop(0, -(-outputs // size), turn, jnp.zeros((x.shape[0], outputs), dtype))


INPUTS, OUTPUTS = 16, 128
"""Inputs summed, or outputs computed, at a time. 8 or 64 inputs, 64 or 512 outputs take longer."""

ROW = 2048
"""Entries summed at a time along rows: for 4096 and more XLA makes a float copy."""

# Measured with 1024x4096 on one core. For more samples `_by_outputs` is faster. Converting the
# whole weight at once is slower than `_by_outputs` for every number of samples up to 1024.
FEW = (2, 1)
"""The most samples for which another way is faster, by the axis of the inputs."""
