"""A learned density of levels: what a coder would pay for weights, differentiable in all of them.

A level is a weight in steps of its grid. Its probability is the mass of the density within half a
step of it. The density of a tensor is a mixture of logistics around 0, the narrowest of which is a
spike at level 0. Rows and columns of a matrix have widths of their own, as the contexts of layout
`entropy` have tables of their own.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.trees import Array

_FEWEST = 512
"""Smaller tensors have one context in layout `entropy`, so rows and columns share their width."""

_STEEPEST = 60.0  # 1 / width, in steps: single precision knows nothing steeper
_RAREST = 1e-12  # the least probability: a level far out takes 40 bits, not infinitely many
_SPIKE = 0.12  # width of the narrowest logistic at the start: 97 % of it is level 0
_SPREAD = (0.3, 0.9)  # widths of the others, in root mean squares of the levels that are not 0


class LevelDensity(NamedTuple):
    """A mixture of logistics around 0, in steps.

    The width of logistic `k` at row `i` and column `j` is `exp(widths[k] + rows[i] + columns[j])`;
    its weight in the mixture is `softmax(logits)[k]`.

    Attributes:
        logits: float32 `[k]`.
        widths: float32 `[k]`.
        rows: float32 `[rows]`, of the matrix whose columns are the last axis of the tensor; None
            for a small tensor.
        columns: float32 `[columns]`, likewise.
    """

    logits: Any
    widths: Any
    rows: Any = None
    columns: Any = None


def start_density(levels: np.ndarray) -> LevelDensity:
    """Return a density that is about that of some levels, the same in rows and columns.

    Example:
        >>> [round(float(w), 2) for w in start_density(np.array([0, 0, 0, 2, -2])).widths]
        [-2.12, -0.51, 0.59]
    """
    nonzero = np.abs(levels[levels != 0].astype(np.float64))
    usual = max(math.sqrt(np.mean(np.square(nonzero))), 1.0) if nonzero.size else 1.0
    kept = min(max(nonzero.size / max(levels.size, 1), 0.02), 0.98)
    weights = np.array([1 - kept, kept / 2, kept / 2])
    widths = np.array([_SPIKE, *(usual * part for part in _SPREAD)])
    numbers = jnp.asarray(np.log(weights), jnp.float32), jnp.asarray(np.log(widths), jnp.float32)
    if levels.size < _FEWEST or levels.ndim < 2:
        return LevelDensity(*numbers)
    columns = levels.shape[-1]
    rows = levels.size // columns
    return LevelDensity(*numbers, jnp.zeros(rows), jnp.zeros(columns))


def level_bits(levels: Array, density: LevelDensity) -> jax.Array:
    """Return the bits that each level takes under a density: `-log2` of its mass.

    `mass(x) = sum_k weight_k * (F_k(x + 1/2) - F_k(x - 1/2))`, with the logistic distribution
    function `F_k(x) = 1 / (1 + exp(-x / width_k))`. Levels between two integers have bits too, so
    that weights have gradients.

    Args:
        levels: of any shape.
        density: of them.

    Returns:
        Float32 bits, of the shape of `levels`.

    Example:
        >>> density = LevelDensity(logits=jnp.zeros(1), widths=jnp.zeros(1))
        >>> [round(float(bits), 2) for bits in level_bits(np.array([0, 1, -1]), density)]
        [2.03, 2.36, 2.36]

    Source: Ballé et al. 2018, arXiv:1802.01436, appendix 6.1; Oktay et al. 2020, arXiv:1906.06624.
    """
    size = jnp.abs(jnp.asarray(levels, jnp.float32))
    steepness: Any = 1.0
    if density.rows is not None:
        steepness = jnp.exp(-density.rows)[:, None] * jnp.exp(-density.columns)
        size = size.reshape(steepness.shape)
    parts = jax.nn.softmax(density.logits)
    mass = sum(
        parts[k] * _mass(size, jnp.exp(-density.widths[k]) * steepness)
        for k in range(parts.shape[0])
    )
    return -jnp.log2(mass + _RAREST).reshape(jnp.shape(levels))


def _mass(size: jax.Array, steepness: jax.Array) -> jax.Array:
    """Return `sinh(t / 2) / (cosh(t / 2) + cosh(t x))`, `F(x + 1/2) - F(x - 1/2)` in one fraction.

    Nothing is subtracted that is nearly equal, however far out `x` is.
    """
    t = jnp.minimum(steepness, _STEEPEST)
    far, half = jnp.exp(-t * size), jnp.exp(t / 2)
    return far * (half - 1 / half) / (1 + far * far + far * (half + 1 / half))


def width_bits(density: LevelDensity) -> jax.Array:
    """Return about how many bits the widths of rows and columns take: the coder stores them too.

    `log2(e) / 2 * sum(width^2)`: of a normal density of deviation 1, beyond what equal widths take.

    Example:
        >>> density = LevelDensity(jnp.zeros(1), jnp.zeros(1), jnp.array([1.0, 0.0]), jnp.zeros(3))
        >>> round(float(width_bits(density)), 3)
        0.721
    """
    if density.rows is None:
        return jnp.zeros(())
    squares = jnp.sum(jnp.square(density.rows)) + jnp.sum(jnp.square(density.columns))
    return squares * (math.log2(math.e) / 2)
