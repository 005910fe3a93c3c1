"""Rounding whose errors cancel in each output: without data, on the same grids."""

import math
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from jaxcompress.checks import check_fits
from jaxcompress.leaves import Quantized, dense, is_compressed, uncoded
from jaxcompress.leaves.quantized import spread
from jaxcompress.placement import like, on_host
from jaxcompress.quantization._quantize import rows_of_blocks
from jaxcompress.quantization.grids import Grid, make_grid
from jaxcompress.trees import PyTree, named_leaves, widened

_BLOCK = 1 << 20
_LEAST = 0.25  # of a step: what is nearer to its level is not rounded the other way
_MIDDLE = 0.5 + 2.0**-10
_CHUNK, _ROUNDS = 32, 32


def balance_rounding(params: PyTree, quantized: PyTree, *, axis: int = -1) -> PyTree:
    """Round some weights the other way so that the errors of each output sum to almost zero.

    Inputs of a layer are seldom centred: behind an activation they are positive. If all were equal,
    the error of an output would be their value times the sum of the errors of its weights. Rounding
    to the nearest leaves a sum of about `sqrt(n / 12)` steps of `n` weights. Here the weights that
    are nearest to the middle of two levels are rounded the other way, until the sum is at most
    half a step. The squared error grows by about one part in `n`, by a tenth or two in windows of
    3x3, and by more where errors are far from uniform: by two thirds for weights of one sign of
    which most are zero in 4 bits. On trained convolutions a bound of this price cost more than it
    saved.

    Errors are summed over the window of each pair of input and output of a convolution, then over
    all weights of an output that share a grid; grids along the inputs leave nothing to sum. Errors
    of weights beyond the grid, which are clipped, do not count. No data are needed; with data
    `fit_rounding` does better. Grids do not change, nor do zeros (of pruned weights), binary leaves
    and vectors.

    Args:
        params: the weights before rounding.
        quantized: from `quantize(params, ...)`.
        axis: of the outputs: -1 of kernels in JAX's libraries, 0 of PyTorch. The axis of inputs is
            beside it, all others are the window.

    Returns:
        `quantized` with other integers.

    Raises:
        ValueError: trees that do not match.

    Example:
        >>> from jaxcompress.quantization import quantize
        >>> params = {"kernel": np.array([[0.4], [0.3], [0.4], [7.0]])}
        >>> rounded = quantize(params, 4)
        >>> balanced = balance_rounding(params, rounded)
        >>> [tree["kernel"].values.ravel().tolist() for tree in (rounded, balanced)]
        [[0, 0, 0, 7], [1, 0, 0, 7]]

    Source: Guo et al. 2022 (SQuant), arXiv:2202.07471.
    """
    params = dense(params)
    named = named_leaves(uncoded(quantized), is_leaf=is_compressed)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in named.leaves]
    check_fits("params", params, "quantized", named.rebuild(shapes))
    weights = named_leaves(params).leaves
    return named.rebuild(
        [
            _balanced(on_host(weight), leaf, axis) if isinstance(leaf, Quantized) else leaf
            for leaf, weight in zip(named.leaves, weights, strict=True)
        ]
    )


def _balanced(tensor: np.ndarray, leaf: Quantized, axis: int) -> Quantized:
    if tensor.ndim < 2 or leaf.bits == 1 or not tensor.size:
        return leaf
    axis %= tensor.ndim
    values = np.array(on_host(leaf.values))
    grid = make_grid(leaf.bits, symmetric=leaf.zero_point is None)
    scale = np.asarray(spread(on_host(leaf.scale), tensor.shape))
    zero = leaf.zero_point
    zero = None if zero is None else np.asarray(spread(on_host(zero), tensor.shape))
    outputs = tensor.shape[axis]
    count = max(_BLOCK * outputs // tensor.size, 1)
    for start in range(0, outputs, count):
        part = (*(slice(None),) * axis, slice(start, start + count))

        def here(blocks: np.ndarray, part: tuple[slice, ...] = part) -> np.ndarray:
            return blocks if blocks.shape[axis] == 1 else blocks[part]

        weights = widened(tensor[part])
        errors = weights / here(scale).astype(weights.dtype) - values[part]
        if zero is not None:
            errors += here(zero)
        errors[np.abs(errors) > _MIDDLE] = 0  # clipped: no rounding makes up for that
        for blocks in _groups(errors.shape, np.shape(leaf.scale), axis):
            _balance(errors, values[part], blocks, grid)
    return leaf.with_integers(like(values, leaf.values))


def _groups(shape: Sequence[int], scales: Sequence[int], axis: int) -> Iterator[tuple[int, ...]]:
    """Yield into how many groups, whose errors shall cancel, each axis is cut."""
    inputs = 1 if axis == 0 else axis - 1
    own = [shape[axis] if a == axis else count for a, count in enumerate(scales)]
    window = [shape[inputs] if a == inputs else count for a, count in enumerate(own)]
    if len(shape) > 2 and math.prod(window) < math.prod(shape) and window != own:
        yield tuple(window)
    if math.prod(own) < math.prod(shape):
        yield tuple(own)


def _balance(errors: np.ndarray, values: np.ndarray, blocks: tuple[int, ...], grid: Grid) -> None:
    """Let the errors of each group, in steps, sum to at most half a step, in place.

    Of each chunk of a group the weight nearest to the middle of two levels may be rounded the other
    way, those of the largest errors first; then the next one of each chunk.
    """
    sizes = tuple(-(-n // m) for m, n in zip(blocks, errors.shape, strict=True))
    rows = rows_of_blocks(errors, blocks)
    sums = rows.sum(axis=1)
    wanted = np.rint(np.abs(sums)).astype(np.int64)
    signs = np.where(sums < 0, -1, 1).astype(np.int8)
    rows = rows * signs[:, None]  # not in place: it may be a view of the errors
    chunks = -(-rows.shape[1] // _CHUNK)
    size = -(-rows.shape[1] // chunks)
    chunked = np.pad(rows, [(0, 0), (0, chunks * size - rows.shape[1])])
    chunked = chunked.reshape(-1, chunks, size)
    active = np.flatnonzero(wanted)
    for _ in range(_ROUNDS):
        if not active.size:
            return
        found = chunked[active]
        places = found.argmax(axis=2)
        largest = np.take_along_axis(found, places[..., None], axis=2)[..., 0]
        rank = np.argsort(np.argsort(-largest, axis=1, kind="stable"), axis=1)
        row, chunk = np.nonzero((rank < wanted[active][:, None]) & (largest > _LEAST))
        group, place = active[row], places[row, chunk]
        chunked[group, chunk, place] = 0
        at = _entries(group, chunk * size + place, blocks, sizes)
        after = values[at].astype(np.int16) + signs[group]
        allowed = (after >= grid.lowest) & (after <= grid.highest)
        group, at = group[allowed], tuple(index[allowed] for index in at)
        values[at] = after[allowed]
        errors[at] -= signs[group]
        wanted -= np.bincount(group, minlength=wanted.size)
        active = np.unique(active[row])
        active = active[wanted[active] > 0]


def _entries(
    group: np.ndarray, place: np.ndarray, blocks: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """Return the indices in the tensor of places in groups."""
    found = zip(np.unravel_index(group, blocks), np.unravel_index(place, sizes), strict=True)
    return tuple(block * size + offset for (block, offset), size in zip(found, sizes, strict=True))
