"""Rounding that keeps the outputs of a layer, instead of each weight by itself."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.checks import check_finite, check_fits
from jaxcompress.leaves import Quantized, dense, is_compressed, uncoded
from jaxcompress.leaves.quantized import spread
from jaxcompress.products.moments import Layer, Moments
from jaxcompress.products.recursion import BLOCK, damped, sweep
from jaxcompress.quantization.grids import make_grid
from jaxcompress.trees import Array, PyTree, named_leaves, some_of

_DESCENTS = 4
_BLOCK = BLOCK


def fit_rounding(params: PyTree, quantized: PyTree, moments: Moments) -> PyTree:
    """Round weights anew so that the outputs of their layers change little.

    For each channel the search minimizes `(scale * q - w)^T G (scale * q - w)` over the integers
    `q` of the grid, where `G` are the second moments of the inputs: the sum of squared errors of
    the channel's output. First the weights are rounded one after the other, those of the largest
    inputs first. Each is rounded so that it compensates for the errors of those before it (Babai's
    nearest plane on the Cholesky factor of `G`, which is what GPTQ computes). Then each weight in
    turn is set to the best integer, given all others; this is repeated four times. Each channel
    keeps the given rounding where its error is smaller. At 4 bits the error is often a tenth.

    Grids are not changed, nor are zeros (of pruned weights), leaves without moments and the factors
    of `LowRank` leaves. Every grid of `quantize` is supported: symmetric or affine, a scale for
    each channel or block, other bits for each leaf.

    Args:
        params: the weights before rounding.
        quantized: from `quantize(params, ...)`.
        moments: from `input_moments`, on training data.

    Returns:
        `quantized` with other integers.

    Raises:
        ValueError: trees that do not match, moments of other weights, moments of no quantized
            weight, NaN.

    Example:
        >>> leaf = Quantized(values=np.zeros((2, 1), np.int8), scale=np.ones((1, 1)), bits=4)
        >>> layer = Layer(np.array([[[0], [1]]]), np.array([[[1.0, 0.9], [0.9, 1.0]]]))
        >>> moments = Moments({"kernel": [layer]}, {})
        >>> params = {"kernel": np.array([[0.4], [0.4]])}
        >>> fit_rounding(params, {"kernel": leaf}, moments)["kernel"].values.tolist()
        [[1], [0]]

    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Chen et al. 2025 (GPTQ is the nearest
    plane), arXiv:2507.18553; Behdin et al. 2023 (QuantEase, the descent), arXiv:2309.01885.
    """
    params = dense(params)
    named = named_leaves(uncoded(quantized), is_leaf=is_compressed)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in named.leaves]
    check_fits("params", params, "quantized", named.rebuild(shapes))
    fitting = {
        path: moments.layers[path]
        for path, leaf in zip(named.paths, named.leaves, strict=True)
        if isinstance(leaf, Quantized) and path in moments.layers
    }
    if not fitting and moments.left_out:
        why = [f"{path}: {reason}" for path, reason in moments.left_out.items()]
        raise ValueError(
            f"moments: must be of weights that are quantized, got none ({some_of(why)}); round "
            "these to the nearest, or take moments of the body of the loop alone."
        )
    if not fitting:
        raise ValueError(
            "moments: must be of weights that are quantized, got those of "
            f"{some_of(list(moments.layers)) or 'none'}; take them of the same tree; "
            "factors of products have none."
        )
    weights = named_leaves(params).leaves
    return named.rebuild(
        [
            _fitted(path, leaf, weight, fitting[path]) if path in fitting else leaf
            for path, leaf, weight in zip(named.paths, named.leaves, weights, strict=True)
        ]
    )


def _fitted(path: str, leaf: Quantized, weight: Array, layers: list[Layer]) -> Quantized:
    tensor = np.asarray(weight, np.float64).ravel()
    check_finite(path, tensor)
    grid = make_grid(leaf.bits, symmetric=leaf.zero_point is None)

    def flat(blocks: Array) -> np.ndarray:
        whole = spread(np.asarray(blocks, np.float64), leaf.shape)
        return np.broadcast_to(whole, leaf.shape).ravel()

    scale = flat(leaf.scale)
    zero = np.zeros_like(scale) if leaf.zero_point is None else flat(leaf.zero_point)
    levels = flat(leaf.values) - zero
    for layer in layers:
        if layer.entries.max(initial=-1) >= tensor.size:
            raise ValueError(
                f"{path}: moments must be those of its layer, got some of {layer.entries.size} "
                f"weights for {tensor.size}; take them of the same tree."
            )
        for entries, gram in zip(layer.entries, layer.gram, strict=True):
            low, high = grid.lowest - zero[entries], grid.highest - zero[entries]
            channels = _Channels(tensor[entries], scale[entries], low, high, leaf.bits == 1)
            levels[entries] = _best_levels(channels, levels[entries], gram)
    values = (levels + zero).astype(np.int8).reshape(leaf.shape)
    convert = np.asarray if isinstance(leaf.values, np.ndarray) else jnp.asarray
    return Quantized(
        values=convert(values), scale=leaf.scale, zero_point=leaf.zero_point, bits=leaf.bits
    )


class _Channels(NamedTuple):
    """Weights with the same inputs, all `[n, channels]`, and their grids.

    A level here is the integer less the zero point: level 0 is 0.0.
    """

    weights: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    binary: bool

    def errors(self, levels: np.ndarray) -> np.ndarray:
        return self.scale * levels - self.weights

    def rounded(self, row: int, targets: np.ndarray) -> np.ndarray:
        """Return the levels of a row of weights that are nearest to the targets."""
        if self.binary:
            nearest = np.where(targets < 0, -1, 1)
        else:
            nearest = np.rint(targets / self.scale[row])
        nearest = np.clip(nearest, self.low[row], self.high[row])
        return np.where(self.weights[row] == 0, 0, nearest)


def _best_levels(channels: _Channels, levels: np.ndarray, gram: np.ndarray) -> np.ndarray:
    mean = np.mean(np.diag(gram)) if len(gram) else 0.0
    if mean <= 0:  # inputs that are always zero, or no weights
        return levels
    order = np.argsort(np.diag(gram), kind="stable")
    matrix = damped(gram)[np.ix_(order, order)]
    # Scaled by the coarsest grid of each channel, in single precision: twice as fast.
    coarsest = channels.scale.max(axis=0)
    sorted_ = _Channels(
        weights=(channels.weights / coarsest)[order].astype(np.float32),
        scale=(channels.scale / coarsest)[order].astype(np.float32),
        low=channels.low[order].astype(np.float32),
        high=channels.high[order].astype(np.float32),
        binary=channels.binary,
    )
    factor = np.linalg.cholesky(matrix).T.astype(np.float32)
    matrix = matrix.astype(np.float32)
    gram = gram / mean
    found = _sweep(sorted_, sorted_.low * 0, factor)
    for _ in range(_DESCENTS):
        found = _sweep(sorted_, found, matrix)
    new = np.empty_like(levels)
    new[order] = found
    return np.where(_loss(channels, new, gram) < _loss(channels, levels, gram), new, levels)


def _sweep(channels: _Channels, levels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return levels, each row set in turn, last to first, to the best given all others."""
    levels = levels.copy()

    def choose(row: int, best: np.ndarray) -> np.ndarray:
        levels[row] = channels.rounded(row, channels.weights[row] + best)
        return channels.scale[row] * levels[row] - channels.weights[row]

    sweep(matrix, channels.errors(levels), choose, block=_BLOCK)
    return levels


def _loss(channels: _Channels, levels: np.ndarray, gram: np.ndarray) -> np.ndarray:
    errors = channels.errors(levels)
    return np.einsum("nc,nc->c", errors, gram @ errors)
