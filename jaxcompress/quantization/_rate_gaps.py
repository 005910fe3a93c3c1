"""Bits of levels beside the fewest that any code needs for as much error of the outputs."""

from typing import NamedTuple

import numpy as np

from jaxcompress.checks import check_fits
from jaxcompress.leaves import Quantized, dense, is_compressed
from jaxcompress.placement import on_host
from jaxcompress.products.moments import Layer, Moments
from jaxcompress.trees import PyTree, named_leaves

_HALVINGS = 200


class RateGap(NamedTuple):
    """Bits of a tensor's levels, and the limit for weights of a Gaussian.

    Attributes:
        weights: how many it has.
        bits: a weight, the entropy of its levels: `-sum(p log2 p)`.
        bound: bits a weight that Gaussian weights of these variances need at this error.
        relative_error: of the outputs of the layer, `sum(e^T G e) / sum(w^T G w)`.
    """

    weights: int
    bits: float
    bound: float
    relative_error: float

    @property
    def gap(self) -> float:
        """Bits a weight above the bound; below 0 where weights are not Gaussian, such as pruned."""
        return self.bits - self.bound


def rate_gaps(params: PyTree, quantized: PyTree, moments: Moments) -> dict[str, RateGap]:
    """Return how many bits each tensor's levels take above the limit of rate-distortion theory.

    For weights that are Gaussian of variance `v_c` in output channel `c`, and inputs of second
    moments with eigenvalues `l_i`, no code of squared error `D` of the outputs takes fewer bits
    than reverse water-filling, `sum over i, c of max(0, log2(v_c l_i / t) / 2)` with `t` such that
    `sum min(t, v_c l_i) = D`. `v_c` is the mean square of the channel's weights.

    Args:
        params: the weights before rounding.
        quantized: the same tree with `Quantized` leaves.
        moments: of the inputs, from `input_moments`.

    Returns:
        By path, for the `Quantized` leaves that have moments.

    Raises:
        ValueError: trees that do not match.

    Example:
        >>> leaf = Quantized(values=np.array([[1], [0]], np.int8), scale=np.ones((1, 1)), bits=8)
        >>> moments = Moments({"w": [Layer(np.array([[[0], [1]]]), np.eye(2)[None])]}, {})
        >>> found = rate_gaps({"w": np.array([[0.75], [0.25]])}, {"w": leaf}, moments)["w"]
        >>> found.bits, round(found.bound, 3), found.relative_error
        (1.0, 1.161, 0.2)

    Source: Cover and Thomas 2006, Elements of Information Theory, section 10.3.3.
    """
    named = named_leaves(dense(params))
    check_fits("quantized", dense(quantized), "params", dense(params))
    leaves = named_leaves(quantized, is_leaf=is_compressed).leaves
    return {
        path: _gap(np.asarray(on_host(weight), np.float64).ravel(), leaf, moments.layers[path])
        for path, weight, leaf in zip(named.paths, named.leaves, leaves, strict=True)
        if isinstance(leaf, Quantized) and path in moments.layers
    }


def _gap(weight: np.ndarray, leaf: Quantized, layers: list[Layer]) -> RateGap:
    counts = np.unique(on_host(leaf.values), return_counts=True)[1]
    p = counts / counts.sum()
    error = np.asarray(on_host(dense(leaf)), np.float64).ravel() - weight
    squares = total = 0.0
    components: list[np.ndarray] = []
    for layer in layers:
        for entries, gram in zip(layer.entries, layer.gram, strict=True):
            off, whole = error[entries], weight[entries]
            squares += float(np.sum(off * (gram @ off)))
            total += float(np.sum(whole * (gram @ whole)))
            inputs = np.maximum(np.linalg.eigvalsh(gram), 0)
            components.append(np.outer(inputs, np.mean(np.square(whole), axis=0)).ravel())
    bound = water_filling(np.concatenate(components), squares) / weight.size
    relative = squares / total if total else float(squares > 0)
    return RateGap(weight.size, float(-np.sum(p * np.log2(p))) + 0.0, bound, relative)


def water_filling(variances: np.ndarray, distortion: float) -> float:
    """Return the bits of independent Gaussians at a sum of squared errors; infinite at 0.

    Example:
        >>> water_filling(np.array([4.0, 1.0]), 0.5), water_filling(np.array([4.0, 0.1]), 1.1)
        (3.0, 1.0)
    """
    used = variances[variances > 0]
    if distortion >= used.sum():
        return 0.0
    if distortion <= 0:
        return float("inf")
    low, high = 0.0, float(used.max())
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        if not low < level < high:
            break
        low, high = (level, high) if np.minimum(used, level).sum() < distortion else (low, level)
    return float(np.sum(np.maximum(np.log2(used / high), 0)) / 2)
