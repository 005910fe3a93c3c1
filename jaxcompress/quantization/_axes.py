"""The axis along which grids of their own pay most, measured on the weights."""

import math
from typing import Any

import numpy as np

from jaxcompress.placement import on_host
from jaxcompress.quantization._granularity import Granularity, per_channel, per_tensor, place_of

_SCALE_BITS = 16
_CLEARLY = 0.1  # bits of a weight by which another axis must be better than the usual one


def best_axis(tensor: Any, *, usual: int = -1) -> int:
    """Return the axis whose grids leave the least error for their bytes.

    A grid of each of the `m` indices of an axis has a step size of its largest magnitude. The
    squared error of all is about `sum_i n * max_i^2`, and `m` scales take 16 bits each. Error and
    bits are compared as `size / 2 * log2(error) + 16 * m`, since half the error costs a bit a
    weight.

    Args:
        tensor: floating-point weights; NaN and infinity count as zero.
        usual: the axis of outputs by convention: the last one of kernels `[inputs, outputs]` and
            HWIO, the first one of PyTorch's. It is returned unless another is better by 0.1 bits
            a weight.

    Raises:
        ValueError: `usual` is out of range.

    Example:
        >>> outputs = np.array([[1.0], [0.01], [30.0]])
        >>> best_axis(outputs * np.random.default_rng(0).standard_normal((3, 100)))
        0
    """
    return _best(_costs(on_host(tensor)), place_of("tensor", tensor, usual), np.size(tensor))


def per_best_axis(*, usual: int = -1) -> Granularity:
    """One grid for each index of the axis that `best_axis` finds, or one for the tensor.

    One grid is enough where scales would cost more than they save, as in kernels of a few weights
    for each output.

    Args:
        usual: as for `best_axis`.

    Example:
        >>> per_best_axis()("kernel", np.ones((3, 3, 16, 32)))
        (1, 1, 1, 1)
        >>> widths = np.exp(np.arange(32.0) / 4)
        >>> normal = np.random.default_rng(0).standard_normal((3, 3, 16, 32))
        >>> per_best_axis()("kernel", widths * normal)
        (1, 1, 1, 32)
    """

    def shape(path: str, leaf: Any) -> tuple[int, ...]:
        if not leaf.shape:
            return ()
        costs = _costs(on_host(leaf))
        axis = _best(costs, place_of(path, leaf, usual), math.prod(leaf.shape))
        is_one = costs[None] <= costs.get(axis, math.inf)
        return per_tensor(path, leaf) if is_one else per_channel(axis)(path, leaf)

    return shape


def _best(costs: dict[int | None, float], usual: int, size: int) -> int:
    """Return the axis of least cost, the usual one if it costs little more."""
    others = {axis: cost for axis, cost in costs.items() if axis not in (None, usual)}
    if not others:
        return usual
    best = min(others, key=lambda axis: others[axis])
    plain = min(costs[None], costs.get(usual, math.inf))
    return best if others[best] < plain - _CLEARLY * size else usual


def _costs(tensor: np.ndarray) -> dict[int | None, float]:
    """Return bits that stand for error and scales, by axis; None for one grid of all."""
    magnitudes = np.abs(tensor)
    wide = [axis for axis, size in enumerate(tensor.shape) if size > 1]
    largest = {axis: _largest(magnitudes, axis) for axis in wide}
    whole = max((float(found.max(initial=0)) for found in largest.values()), default=0.0)
    costs: dict[int | None, float] = {None: _SCALE_BITS}
    if not whole:
        return costs | dict.fromkeys(wide, math.inf)
    for axis, found in largest.items():
        mean = float(np.mean(np.square(found / whole)))  # of the squared error, that of one grid 1
        costs[axis] = tensor.size / 2 * math.log2(mean) + _SCALE_BITS * found.size
    return costs


def _largest(magnitudes: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(other for other in range(magnitudes.ndim) if other != axis)
    found = np.fmax.reduce(magnitudes, axis=others).astype(np.float64)
    return np.where(np.isfinite(found), found, 0)
