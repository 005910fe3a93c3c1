"""Training for rate: weights on learned grids, and the bits that a coder would take for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.bounds import check_positive
from jaxcompress.checks import check_concrete, check_floats, check_unique
from jaxcompress.kinds import FLOATS, native
from jaxcompress.leaves import Quantized, is_compressed
from jaxcompress.placement import beside
from jaxcompress.quantization._density import LevelDensity, level_bits, start_density, width_bits
from jaxcompress.quantization._learned import Learned, learn, learned_qparams
from jaxcompress.quantization.grids import MOST_BITS, QParams, make_grid
from jaxcompress.trees import PyTree, Scope, in_scope, is_traced, kernels, named_leaves, widened

_GRID = make_grid(MOST_BITS)
_FINEST = 2.0**-100  # step of a tensor of zeros

Rated = dict[str, Any]
"""`{"params": ..., "steps": {path: Learned}, "densities": {path: LevelDensity}}`."""


def rate_aware(
    apply: Callable[..., PyTree], *, step_size: float = 0.5, scope: Scope = kernels
) -> "RateAware":
    """Return a function with rounded weights, to be trained for accuracy and for few bits.

    Each tensor in the scope has a grid whose step is learned, and a learned density of its levels:
    a mixture of logistics, with widths of its own for each row and column. `bits` is the length of
    an ideal code under these densities, differentiable in weights, steps and densities. As a
    penalty it teaches the weights what a coder wants: many zeros, few large levels, in the same
    rows and columns. Gradients pass straight through the rounding.

        loss(apply(rated, x)) + price * bits(rated)

    `add_penalty(rate.bits, strength=price)` adds the second term by its gradient, and
    `limit_penalty` finds the price for a number of bits. Zeros remain zeros: `hold_mask({"params":
    mask})` in the chain of `"params"` keeps a network pruned. Densities are not stored: layout
    `entropy` counts anew how often levels occur.

    Gathered to the host: in `init` one leaf in the scope at a time, 4 bytes for each weight of
    float32, and in `quantize` too; in `apply` and `bits` nothing.

    Args:
        apply: any function `apply(params, *inputs)` of JAX.
        step_size: of the grids at the start, in root mean squares of the weights that are not 0;
            larger where the largest weight would be beyond level 127.
        scope: which weights are rounded.

    Returns:
        An object that makes the tree to train (`init`), applies the function to it (`apply`),
        prices it (`bits`), and stores it (`quantize`).

    Raises:
        ValueError: a step size that is not above 0; of `init`, an empty scope, weights that are
            not finite, two leaves of one path.
        TypeError: a step size that is not a number; of `init`, weights that are no floats, a call
            under `jit`.

    Example:
        >>> rate = rate_aware(lambda params, x: x @ params["w"])
        >>> rated = rate.init({"w": jnp.array([[3.0, 0.1], [-0.2, -3.0]])})
        >>> rate.quantize(rated)["w"].values.tolist()
        [[3, 0], [0, -3]]
        >>> slope = jax.grad(rate.bits)(rated)["params"]["w"]
        >>> [round(float(each), 2) for each in (slope[0, 0], slope[1, 1])]  # fewer bits towards 0
        [0.66, -0.66]

    Source: Oktay et al. 2020, arXiv:1906.06624; Ballé et al. 2018, arXiv:1802.01436; rounding,
    Bengio et al. 2013, arXiv:1308.3432.
    """
    step_size = check_positive("step_size", step_size, "0.5 is usual, 0.1 is fine")
    return RateAware(function=apply, step_size=step_size, scope=scope)


@dataclass(frozen=True, kw_only=True, eq=False)
class RateAware:
    """A function with rounded weights and the price of their levels; `rate_aware` makes it.

    Attributes:
        function: `function(params, *inputs)`.
        step_size: at the start, in root mean squares.
        scope: which weights are rounded.
    """

    function: Callable[..., PyTree]
    step_size: float
    scope: Scope

    def init(self, params: PyTree) -> Rated:
        """Return the tree to train: params, steps and densities of the weights in the scope."""
        check_concrete("rate_aware.init", params)
        named = named_leaves(params)
        check_unique(named.paths)
        steps: dict[str, Learned] = {}
        densities: dict[str, LevelDensity] = {}
        picked = in_scope(named, self.scope, kinds=FLOATS)
        for path, leaf, pick in zip(named.paths, named.leaves, picked, strict=True):
            if pick:
                values = check_floats(path, leaf).astype(np.float64)
                scale = np.full((1,) * values.ndim, _step(values, self.step_size))
                grids = learn(QParams(scale), _GRID), start_density(np.rint(values / scale))
                laid = jax.tree.map(lambda part, leaf=leaf: beside(part, leaf), grids)
                steps[path], densities[path] = laid
        return {"params": jax.tree.map(native, params), "steps": steps, "densities": densities}

    def apply(self, rated: Rated, *inputs: PyTree) -> PyTree:
        """Return the result of the function with rounded weights; differentiable."""

        def rounded(leaf: Any, path: str) -> Any:
            levels = _passed(_levels(rated, path, leaf))
            return _scale(rated, path, leaf.dtype) * levels.astype(leaf.dtype)

        return self.function(_map(rated, rounded), *inputs)

    def bits(self, rated: Rated) -> jax.Array:
        """Return the bits that an ideal code takes for all weights in the scope, with its tables.

        Levels are rounded, so that this is what is stored; gradients pass straight through.
        """
        total = jnp.zeros((), jnp.float32)
        for path, leaf in _chosen(rated):
            levels, density = _passed(_levels(rated, path, leaf)), rated["densities"][path]
            total += jnp.sum(level_bits(levels, density)) + width_bits(density)
        return total

    def quantize(self, rated: Rated, *, dead_zone: float = 0.0) -> PyTree:
        """Return the params with `Quantized` leaves, the weights that `apply` computes with.

        Args:
            rated: the trained tree.
            dead_zone: by how much magnitudes are lowered before they are rounded, in steps: more
                weights become 0, and the file smaller.

        Raises:
            ValueError: a dead zone that is not a number of at least 0; weights that are not finite.
        """
        if not 0 <= dead_zone < np.inf:
            raise ValueError(
                f"dead_zone: must be a number of steps of at least 0, got {dead_zone}; 0 rounds to "
                "the nearest."
            )
        if not is_traced(rated["params"]):
            for path, leaf in _chosen(rated):
                check_floats(path, leaf)

        def convert(leaf: Any, path: str) -> Quantized:
            levels, scale = _levels(rated, path, leaf), _scale(rated, path, leaf.dtype)
            size = jnp.maximum(jnp.abs(levels) - dead_zone, 0)
            values = _rounded(jnp.where(jnp.abs(levels) > 0, jnp.sign(levels) * size, 0))
            return Quantized(values=values.astype(jnp.int8), scale=scale, bits=_GRID.bits)

        return _map(rated, convert)


def free_numbers(quantized: PyTree) -> PyTree:
    """Return the numbers that are free while levels are frozen: scales, and leaves without a grid.

    Args:
        quantized: tree with `Quantized` leaves, as `rate.quantize` gives it; leaves of other types
            become arrays.

    Returns:
        The tree with the scale of each `Quantized` leaf in its place: a tree for any optimizer.

    Example:
        >>> leaf = Quantized(values=np.array([[2, -1]], np.int8), scale=np.ones((1, 1)), bits=8)
        >>> free = free_numbers({"w": leaf, "bias": np.zeros(2)})
        >>> free["w"].shape, with_numbers({"w": leaf, "bias": free["bias"]}, free)["w"].bits
        ((1, 1), 8)
    """

    def free(leaf: Any) -> Any:
        if isinstance(leaf, Quantized):
            return leaf.scale
        return leaf.dense() if is_compressed(leaf) else leaf

    return jax.tree.map(free, quantized, is_leaf=is_compressed)


def with_numbers(quantized: PyTree, free: PyTree) -> PyTree:
    """Return the tree with other free numbers, levels unchanged; differentiable after `dense`.

    Args:
        quantized: tree with `Quantized` leaves.
        free: as `free_numbers` gives it, and an optimizer changes it.

    Example:
        >>> leaf = Quantized(values=np.array([[2, -1]], np.int8), scale=np.ones((1, 1)), bits=8)
        >>> with_numbers({"w": leaf}, {"w": np.full((1, 1), 0.5)})["w"].dense().tolist()
        [[1.0, -0.5]]
    """
    return jax.tree.map(
        lambda leaf, number: replace(leaf, scale=number) if isinstance(leaf, Quantized) else number,
        quantized,
        free,
        is_leaf=is_compressed,
    )


def _step(values: np.ndarray, step_size: float) -> float:
    """Return the step at the start, so large that the largest weight is on the grid."""
    nonzero = values[values != 0]
    usual = np.sqrt(np.mean(np.square(nonzero))) if nonzero.size else 1.0
    return max(step_size * usual, np.abs(values).max(initial=0) / _GRID.highest, _FINEST)


def _scale(rated: Rated, path: str, dtype: Any) -> Any:
    return learned_qparams(rated["steps"][path], _GRID, dtype).scale


def _levels(rated: Rated, path: str, leaf: Any) -> Any:
    return widened(leaf) / widened(_scale(rated, path, leaf.dtype))


def _rounded(levels: Any) -> Any:
    return jnp.clip(jnp.round(levels), _GRID.lowest, _GRID.highest)


def _passed(levels: Any) -> Any:
    """Return rounded levels, whose gradient is that of the levels, clipped to the grid."""
    clipped = jnp.clip(levels, _GRID.lowest, _GRID.highest)
    return jax.lax.stop_gradient(_rounded(levels)) + (clipped - jax.lax.stop_gradient(clipped))


def _chosen(rated: Rated) -> list[tuple[str, Any]]:
    named = named_leaves(rated["params"])
    pairs = zip(named.paths, named.leaves, strict=True)
    return [(path, leaf) for path, leaf in pairs if path in rated["steps"]]


def _map(rated: Rated, function: Callable[[Any, str], Any]) -> PyTree:
    """Return the params with the weights that have grids replaced."""
    named = named_leaves(rated["params"])
    return named.rebuild(
        [
            function(leaf, path) if path in rated["steps"] else leaf
            for path, leaf in zip(named.paths, named.leaves, strict=True)
        ]
    )
