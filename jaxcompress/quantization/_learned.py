"""Learned grids: rounding with straight-through gradients for numbers and for grids."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.leaves.quantized import spread
from jaxcompress.quantization.grids import Grid, QParams, from_integers, to_integers
from jaxcompress.trees import Array

_SCALE_ERROR = 2.0**-16  # relative, of a scale with the largest float32 exponent


class Learned(NamedTuple):
    """Scale and zero point in a form that an optimizer may change.

    The scale is `2^floor(e) * (1 + e - floor(e))`: `2^e` at whole numbers and a straight line in
    between. It is above 0 for every `e`. A change of `e` by 0.001 changes the scale by about 0.1 %,
    however small it is. There is no logarithm whose rounding error could make the scale differ
    under `jit`.

    Attributes:
        exponent: float32, of the scale.
        below: float32, the fraction of the range that is below 0.0, in [0, 1]: the zero point as a
            fraction of the integers; None if symmetric.
    """

    exponent: Any
    below: Any = None


def learn(qparams: QParams, grid: Grid) -> Learned:
    """Return the values to learn, started from a given scale and zero point."""
    fraction, exponent = np.frexp(np.asarray(qparams.scale, np.float64))
    start = jnp.asarray(exponent - 2 + 2 * fraction, jnp.float32)
    if qparams.zero_point is None:
        return Learned(start)
    place = np.asarray(qparams.zero_point, np.float32) - grid.lowest
    return Learned(start, jnp.asarray(place / (grid.highest - grid.lowest), jnp.float32))


def learned_qparams(learned: Learned, grid: Grid, dtype: Any = jnp.float32) -> QParams:
    """Return scale and zero point as learned, the scale as a dtype can represent it.

    Example:
        >>> from jaxcompress.quantization import make_grid
        >>> grid = make_grid(8, symmetric=False)
        >>> start = learn(QParams(np.float32(0.375), np.int8(-118)), grid)
        >>> start.exponent.item(), [number.item() for number in learned_qparams(start, grid)]
        (-1.5, [0.375, -118])
    """
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    # The scale is composed in single precision, whatever the dtype of the numbers.
    limits = min(jnp.finfo(dtype), jnp.finfo(jnp.float32), key=lambda info: info.maxexp)
    # A factor of 2^9 is reserved for the integers and their distance from the zero point.
    exponent = jnp.clip(learned.exponent, limits.minexp, limits.maxexp - 9)
    whole = jnp.floor(exponent)
    power = jax.lax.bitcast_convert_type((whole.astype(jnp.int32) + 127) << 23, jnp.float32)
    scale = (power * (1 + exponent - whole)).astype(dtype)
    if learned.below is None:
        return QParams(scale)
    return QParams(scale, _zero_point(learned.below, grid))


def rounded(values: Array, learned: Learned, grid: Grid) -> Array:
    """Return `values` on their grid, differentiable by values and grid as if nothing were rounded.

    With `r = value / scale` and `k` the integer that `r` is rounded to, less the zero point:

        d result / d value      = 1 inside of the range, 0 outside
        d result / d scale      = k - r inside, k outside
        d result / d zero point = 0 inside, -scale outside

    The latter two are divided by `sqrt(n * q)` for `n` numbers with the same scale and `q` integers
    above 0 (all but one if affine), so that grids learn as fast as weights do. The ends belong to
    the range: zeros behind a ReLU, and numbers that are outside only because scale and zero point
    are rounded. NaN remains NaN, so that divergence shows.

    Args:
        values: numbers.
        learned: their grid; one, or one for each block of entries, see `Quantized`.
        grid: the integers.

    Source: Esser et al. 2020 (LSQ), arXiv:1902.08153, equations 3 and 5; the zero point, Bhalgat
    et al. 2020 (LSQ+), arXiv:2004.09576.
    """
    if not values.size:
        return values
    scale = learned_qparams(learned, grid, values.dtype).scale
    count = values.size / scale.size
    levels = grid.highest if grid.symmetric else grid.highest - grid.lowest
    scale = spread(scale, values.shape) if scale.ndim else scale
    return _straight(values, scale, learned.below, grid, 1 / math.sqrt(count * levels))


def integers(values: Array, qparams: QParams, grid: Grid) -> Array:
    """Return the integers that numbers are rounded to, found in single precision at least."""
    wide = jax.dtypes.canonicalize_dtype(jnp.promote_types(values.dtype, jnp.float32))
    return to_integers(
        values.astype(wide), qparams._replace(scale=qparams.scale.astype(wide)), grid
    )


def _zero_point(below: Array, grid: Grid) -> Array:
    fraction = jnp.clip(below, 0, 1)
    return jnp.round(grid.lowest + fraction * (grid.highest - grid.lowest)).astype(jnp.int8)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _straight(values: Array, scale: Array, below: Any, grid: Grid, factor: float) -> Array:
    del factor
    qparams = QParams(scale, None if below is None else _zero_point(below, grid))
    on_grid = from_integers(integers(values, qparams, grid), qparams)
    return jnp.where(jnp.isnan(values), values, on_grid)


def _forward(
    values: Array, scale: Array, below: Any, grid: Grid, factor: float
) -> tuple[Array, tuple[Array, Array, Any]]:
    return _straight(values, scale, below, grid, factor), (values, scale, below)


def _backward(
    grid: Grid, factor: float, operands: tuple[Array, Array, Any], slope: Array
) -> tuple[Array, Array, Any]:
    values, scale, below = operands
    zero_point = None if below is None else _zero_point(below, grid)
    zero = 0 if zero_point is None else zero_point.astype(jnp.float32)
    ratio = values.astype(jnp.float32) / scale.astype(jnp.float32)
    shifted = integers(values, QParams(scale, zero_point), grid).astype(jnp.float32) - zero
    inside = _inside(ratio, grid.lowest - zero, grid.highest - zero, grid, values.dtype)
    wide = slope.astype(jnp.float32)
    to_scale = factor * _sum_to(wide * jnp.where(inside, shifted - ratio, shifted), scale.shape)
    to_values = jnp.where(inside, slope, 0)
    if below is None:
        return to_values, to_scale.astype(scale.dtype), None
    clipped = _sum_to(jnp.where(inside, 0, wide * scale.astype(jnp.float32)), below.shape)
    to_below = -factor * (grid.highest - grid.lowest) * clipped
    # At an end of [0, 1] no gradient leads out: `below` would need as many steps to come back.
    leads_out = ((below <= 0) & (to_below > 0)) | ((below >= 1) & (to_below < 0))
    return to_values, to_scale.astype(scale.dtype), jnp.where(leads_out, 0, to_below)


def _inside(ratio: Array, lowest: Any, highest: Any, grid: Grid, dtype: Any) -> Array:
    """Return which numbers a grid holds without clipping them, in multiples of its scale.

    The numbers that a grid was made for belong to it. The largest number of a channel misses the
    last integer by the rounding error of the scale, and by up to half a scale more where the zero
    point is rounded too.
    """
    error = max(float(jnp.finfo(dtype).eps), _SCALE_ERROR)
    moved = 0.0 if grid.symmetric else 0.5
    below = lowest - (moved + error * jnp.abs(lowest))
    above = highest + (moved + error * jnp.abs(highest))
    return (ratio >= below) & (ratio <= above)


_straight.defvjp(_forward, _backward)


def _sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """Return the sum over the axes along which `shape` was broadcast."""
    padded = (1,) * (array.ndim - len(shape)) + shape
    axes = tuple(axis for axis, size in enumerate(padded) if size != array.shape[axis])
    return array.sum(axes, keepdims=True).reshape(shape)
