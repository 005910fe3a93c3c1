"""Pooling in any form, as nodes of ONNX."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.onnx._node import node
from jaxcompress.trace.program import Equation

Shape = Sequence[Any]


def _windows(
    op: str, x: Any, params: Mapping[str, Sequence[Any]], shape: Shape, **attributes: Any
) -> Any:
    """Return the pooling of windows; None if ONNX does not have it."""
    window = params["window_dimensions"]
    moved = [
        axis
        for axis in range(x.ndim)
        if window[axis] > 1 or params["window_strides"][axis] > 1 or any(params["padding"][axis])
    ]
    still = [axis for axis in range(x.ndim) if axis not in moved]
    if len(still) < 2 or x.dtype != np.float32 or any(d != 1 for d in params["base_dilation"]):
        return None
    # Batch and channels come first. ONNX pools over all other axes, some with windows of size 1.
    outer = [still[0], still[-1]]
    spatial = [axis for axis in range(x.ndim) if axis not in outer]
    if not 1 <= len(spatial) <= 3:
        return None
    order = (*outer, *spatial)
    pads = [params["padding"][axis] for axis in spatial]
    result = node(
        op,
        jax.lax.transpose(x, order),
        shape=[shape[axis] for axis in order],
        kernel_shape=tuple(window[axis] for axis in spatial),
        strides=tuple(params["window_strides"][axis] for axis in spatial),
        dilations=tuple(params["window_dilation"][axis] for axis in spatial),
        pads=(*(pair[0] for pair in pads), *(pair[1] for pair in pads)),
        **attributes,
    )
    return jax.lax.transpose(result, tuple(map(int, np.argsort(order))))


def _most(x: Any, params: Mapping[str, Any], shape: Shape) -> Any:
    return _windows("MaxPool", x, params, shape)


def _sums(x: Any, params: Mapping[str, Any], shape: Shape) -> Any:
    result = _windows("AveragePool", x, params, shape, count_include_pad=1)
    return None if result is None else result * float(math.prod(params["window_dimensions"]))


def _least(x: Any, params: Mapping[str, Any], shape: Shape) -> Any:
    result = _windows("MaxPool", -x, params, shape)
    return None if result is None else -result


POOLS: dict[str, Callable[[Any, Mapping[str, Any], Shape], Any]] = {
    "reduce_window_max": _most,
    "reduce_window_min": _least,
    "reduce_window_sum": _sums,
}


def pooled_reshape(x: Any, equation: Equation, blocks: Any, shape: Shape) -> Any:
    """Return the maxima of the blocks of a reshape of `x`, as pooling; None for other maxima.

    Args:
        x: before the reshape, `[n, h, w, c]`.
        equation: the maximum.
        blocks: after the reshape, `[n, h / 2, 2, w / 2, 2, c]`.
        shape: of the maximum.
    """
    axes = equation.params["axes"]
    window, at = [], 0
    for size in x.shape:
        block = 1
        if at + 1 < blocks.ndim and at + 1 in axes and at not in axes:
            if blocks.shape[at] * blocks.shape[at + 1] != size:
                return None
            block, at = blocks.shape[at + 1], at + 1
        elif at >= blocks.ndim or at in axes or blocks.shape[at] != size:
            return None
        window.append(block)
        at += 1
    ones = (1,) * x.ndim
    params = {
        "window_dimensions": window,
        "window_strides": window,
        "padding": [(0, 0)] * x.ndim,
        "base_dilation": ones,
        "window_dilation": ones,
    }
    return _most(x, params, shape) if at == blocks.ndim else None
