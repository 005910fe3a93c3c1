"""Rounding that keeps the outputs of a layer, instead of each weight by itself."""

from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.bounds import is_integer
from jaxcompress.checks import check_finite, check_fits
from jaxcompress.leaves import Clustered, Quantized, dense, is_compressed, uncoded
from jaxcompress.leaves.quantized import spread
from jaxcompress.placement import like, on_host
from jaxcompress.products.moments import Layer, Moments
from jaxcompress.quantization._levels import Channels, Effort, best_levels, places_in
from jaxcompress.quantization.grids import make_grid
from jaxcompress.trees import Array, PyTree, named_leaves, some_of

_AT_A_TIME = 1 << 22  # weights: a table of words has hundreds of times as many rows as columns


def fit_rounding(
    params: PyTree,
    quantized: PyTree,
    moments: Moments,
    *,
    descents: int = 4,
    rate_weight: float = 0.0,
) -> PyTree:
    """Round weights anew so that the outputs of their layers change little.

    For each channel the search minimizes `(scale * q - w)^T G (scale * q - w)` over the integers
    `q` of the grid, where `G` are the second moments of the inputs: the sum of squared errors of
    the channel's output. First the weights are rounded one after the other, those of the largest
    inputs first. Each is rounded so that it compensates for the errors of those before it (Babai's
    nearest plane on the Cholesky factor of `G`, which is what GPTQ computes). Then each weight in
    turn is set to the best integer, given all others; this is repeated `descents` times. Each
    channel keeps the given rounding where its error is smaller. At 4 bits the error is often a
    tenth.

    Grids are not changed, nor are zeros (of pruned weights), leaves without moments and the factors
    of `LowRank` leaves. Every grid of `quantize` is supported: symmetric or affine, a scale for
    each channel or block, other bits for each leaf. So are the codebooks of `Clustered` leaves: in
    place of `scale * q` a weight is one of the shared values, or 0.

    With a rate weight `r` a level costs `r a b` beside its error, where it takes `b = -log2(p)`
    bits, `p` being how often it occurs among weights of the same inputs, and `a` is what a bit a
    weight saves at this step size: `(ln 2 / 6) h s^2` for steps `s`, with `h` the geometric mean of
    what the inputs do not tell of each other. So files are smaller at a little more error: at
    coarse steps and 0.5 by a tenth.

    Args:
        params: the weights before rounding; those that are 0 stay so.
        quantized: from `quantize(params, ...)`, or with shared values.
        moments: from `input_moments`, on training data.
        descents: how often all weights are set anew; each takes as long as the first rounding.
        rate_weight: of bits, for files of layout `entropy`; 0 for the least error.

    Returns:
        `quantized` with other integers and codes.

    Raises:
        ValueError: trees that do not match, moments of other weights, moments of no quantized
            weight, NaN, fewer than 0 descents, a rate weight that is no number of at least 0.

    Example:
        >>> leaf = Quantized(values=np.zeros((2, 1), np.int8), scale=np.ones((1, 1)), bits=4)
        >>> layer = Layer(np.array([[[0], [1]]]), np.array([[[1.0, 0.9], [0.9, 1.0]]]))
        >>> moments = Moments({"kernel": [layer]}, {})
        >>> params = {"kernel": np.array([[0.4], [0.4]])}
        >>> fit_rounding(params, {"kernel": leaf}, moments)["kernel"].values.tolist()
        [[1], [0]]

    Source: Frantar et al. 2022 (GPTQ), arXiv:2210.17323; Chen et al. 2025 (GPTQ is the nearest
    plane), arXiv:2507.18553; Behdin et al. 2023 (QuantEase, the descent), arXiv:2309.01885; the
    price of bits as of Conzelmann et al. 2025, arXiv:2505.18758.
    """
    if not is_integer(descents) or descents < 0:
        raise ValueError(f"descents: must be an integer of at least 0, got {descents}; 4 is usual.")
    if not 0 <= rate_weight < np.inf:
        raise ValueError(f"rate_weight: must be at least 0, got {rate_weight}; 0.5 is usual.")
    effort = Effort(int(descents), float(rate_weight))
    params = dense(params)
    named = named_leaves(uncoded(quantized), is_leaf=is_compressed)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in named.leaves]
    check_fits("params", params, "quantized", named.rebuild(shapes))
    fitting = {
        path: moments.layers[path]
        for path, leaf in zip(named.paths, named.leaves, strict=True)
        if isinstance(leaf, (Quantized, Clustered)) and path in moments.layers
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
            _fitted(path, leaf, weight, fitting[path], effort) if path in fitting else leaf
            for path, leaf, weight in zip(named.paths, named.leaves, weights, strict=True)
        ]
    )


def _fitted(
    path: str, leaf: Quantized | Clustered, weight: Array, layers: list[Layer], effort: Effort
) -> Quantized | Clustered:
    tensor = np.asarray(on_host(weight), np.float64).ravel()
    check_finite(path, tensor)
    for layer in layers:
        if layer.entries.max(initial=-1) >= tensor.size:
            raise ValueError(
                f"{path}: moments must be those of its layer, got some of {layer.entries.size} "
                f"weights for {tensor.size}; take them of the same tree."
            )
    if isinstance(leaf, Clustered):
        return _on_codebook(leaf, tensor, layers, effort)
    return _on_grids(leaf, tensor, layers, effort)


def _on_codebook(
    leaf: Clustered, tensor: np.ndarray, layers: list[Layer], effort: Effort
) -> Clustered:
    """A level is a shared value, in units of the largest."""
    values = np.concatenate([[0.0], np.asarray(on_host(leaf.codebook), np.float64)])
    unit = np.abs(values).max()
    if not unit:
        return leaf
    values /= unit
    order = np.argsort(values, kind="stable")
    table = values[order]
    codes = on_host(leaf.codes).ravel().astype(np.int64)
    for layer in layers:
        for entries, gram in zip(layer.entries, layer.gram, strict=True):
            limits = np.full(entries.shape, np.inf)
            channels = Channels(
                tensor[entries], np.full(entries.shape, unit), -limits, limits, table=table
            )
            old = values[codes[entries]]
            new = best_levels(channels, old, gram, effort)
            near = order[places_in(table, new)]
            codes[entries] = np.where(new == old, codes[entries], near)
    found = codes.reshape(leaf.shape).astype(leaf.codes.dtype)
    convert = np.asarray if isinstance(leaf.codes, np.ndarray) else jnp.asarray
    return replace(leaf, codes=like(convert(found), leaf.codes))


def _on_grids(
    leaf: Quantized, tensor: np.ndarray, layers: list[Layer], effort: Effort
) -> Quantized:
    """A level is an integer less the zero point: level 0 is 0.0."""
    grid = make_grid(leaf.bits, symmetric=leaf.zero_point is None)

    def flat(blocks: Array) -> np.ndarray:
        whole = spread(np.asarray(on_host(blocks), np.float64), leaf.shape)
        return np.broadcast_to(whole, leaf.shape).ravel()

    scale = flat(leaf.scale)
    zero = np.zeros_like(scale) if leaf.zero_point is None else flat(leaf.zero_point)
    levels = flat(leaf.values) - zero
    for layer in layers:
        for entries, gram in _some_channels(layer):
            low, high = grid.lowest - zero[entries], grid.highest - zero[entries]
            channels = Channels(tensor[entries], scale[entries], low, high, binary=leaf.bits == 1)
            levels[entries] = best_levels(channels, levels[entries], gram, effort)
    values = (levels + zero).astype(np.int8).reshape(leaf.shape)
    convert = np.asarray if isinstance(leaf.values, np.ndarray) else jnp.asarray
    return replace(leaf, values=like(convert(values), leaf.values))


def _some_channels(layer: Layer) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield entries and moments of each group, so many channels at a time as memory should hold."""
    for entries, gram in zip(layer.entries, layer.gram, strict=True):
        step = max(_AT_A_TIME // max(len(entries), 1), 1)
        for start in range(0, entries.shape[1], step):
            yield entries[:, start : start + step], gram
