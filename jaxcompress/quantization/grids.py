"""Grids of integers, and rounding to them: the arithmetic of this folder."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress.bounds import is_integer
from jaxcompress.trees import Array

MOST_BITS = 8
"""The most bits of a grid."""


class Grid(NamedTuple):
    """The integers to which numbers are rounded.

    Attributes:
        bits: of each integer.
        lowest: smallest integer.
        highest: largest integer.
        symmetric: whether 0.0 is always the integer 0; else a zero point says which integer it is.
    """

    bits: int
    lowest: int
    highest: int
    symmetric: bool


def make_grid(bits: int, *, symmetric: bool = True) -> Grid:
    """Return the grid of a number of bits.

    Symmetric: `-(2^(bits-1) - 1)` to `2^(bits-1) - 1`, so [-127, 127] of 8 bits; 2 bits are
    ternary, 1 bit is binary, -1 and 1 (and 0, for weights that are exactly zero). Affine:
    `-2^(bits-1)` to `2^(bits-1) - 1`, with a zero point.

    Raises:
        TypeError: `bits` is not an integer.
        ValueError: it is not in 1 to 8, or 1 and affine.

    Example:
        >>> make_grid(8), make_grid(4, symmetric=False)[:3]
        (Grid(bits=8, lowest=-127, highest=127, symmetric=True), (4, -8, 7))
    """
    if not is_integer(bits):
        raise TypeError(f"bits: must be an integer from 1 to {MOST_BITS}, got {bits!r}.")
    fewest = 1 if symmetric else 2
    if not fewest <= bits <= MOST_BITS:
        kind = "symmetric" if symmetric else "affine"
        raise ValueError(
            f"bits: must be {fewest} to {MOST_BITS} for a {kind} grid, got {bits}; use half for 16."
        )
    half = 1 << (int(bits) - 1)
    if symmetric:
        return Grid(int(bits), -max(half - 1, 1), max(half - 1, 1), symmetric)
    return Grid(int(bits), -half, half - 1, symmetric)


class QParams(NamedTuple):
    """Scale and zero point of a grid: `number = scale * (integer - zero_point)`.

    Attributes:
        scale: finite numbers above 0.
        zero_point: integers of the same shape, in the range of the grid; None if symmetric.
    """

    scale: Any
    zero_point: Any = None


def qparams_for(low: Array, high: Array, grid: Grid) -> QParams:
    """Return the scale and zero point of the finest grids that cover ranges.

    Symmetric: `scale = max(|low|, |high|) / highest`. Affine: the range is widened to hold 0, then
    `scale = (high - low) / (2^bits - 1)` and `zero_point = round(lowest - low / scale)`, so that
    0.0 is exactly an integer. Where the range is the point 0 the scale is 1.

    Args:
        low: smallest numbers, of any shape.
        high: largest numbers, of the same shape.
        grid: the integers.
    """
    xp = np if isinstance(low, np.ndarray) and isinstance(high, np.ndarray) else jnp
    low, high = xp.minimum(low, 0), xp.maximum(high, 0)
    width = xp.maximum(-low, high) if grid.symmetric else high - low
    scale = width / (grid.highest if grid.symmetric else grid.highest - grid.lowest)
    # A scale that is too small to divide by counts as 0.
    scale = xp.where(scale >= xp.finfo(scale.dtype).tiny, scale, xp.ones_like(scale))
    if grid.symmetric:
        return QParams(scale)
    zero_point = xp.clip(xp.round(grid.lowest - low / scale), grid.lowest, grid.highest)
    return QParams(scale, zero_point.astype(np.int8))


def to_integers(values: Array, qparams: QParams, grid: Grid) -> Array:
    """Return `clip(round(values / scale) + zero_point, lowest, highest)` as int8.

    Halves are rounded to the even integer. On a binary grid the result is the sign, 0 for exact
    zeros.

    Args:
        values: numbers.
        qparams: scale and zero point, of a shape that broadcasts to theirs.
        grid: the integers.
    """
    xp = np if isinstance(values, np.ndarray) and isinstance(qparams.scale, np.ndarray) else jnp
    if grid.bits == 1:
        return xp.sign(values).astype(np.int8)
    rounded = xp.round(values / qparams.scale)
    if qparams.zero_point is not None:
        rounded = rounded + qparams.zero_point.astype(rounded.dtype)
    return xp.clip(rounded, grid.lowest, grid.highest).astype(np.int8)


def from_integers(integers: Array, qparams: QParams) -> Array:
    """Return `scale * (integers - zero_point)` in the dtype of the scale."""
    shifted = integers.astype(np.int16)
    if qparams.zero_point is not None:
        shifted = shifted - qparams.zero_point.astype(np.int16)
    return shifted.astype(qparams.scale.dtype) * qparams.scale


def on_grid(values: Array, qparams: QParams, grid: Grid) -> Array:
    """Return `values` rounded to the grid, as numbers: simulated quantization."""
    return from_integers(to_integers(values, qparams, grid), qparams)
