"""Operands of products as matrices: the inputs of one output channel in one column."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.trace.program import Equation


class Arrangement(NamedTuple):
    """A kind of product as a product of matrices, one for each of its groups.

    Attributes:
        weights: `weights(equation, place, array) -> [groups, n, channels]`, of the operand at that
            place; entries are only moved.
        inputs: `inputs(equation, place, array, kernel) -> [groups, n, samples]` of the operand at
            the place of the inputs; `kernel` is the shape of the other operand.
        why_not: from the equation and the place of its weights to the reason if there are no such
            matrices, else None.
    """

    weights: Callable[[Equation, int, np.ndarray], np.ndarray]
    inputs: Callable[[Equation, int, Any, tuple[int, ...]], Any]
    why_not: Callable[[Equation, int], str | None]


def _dot_weights(equation: Equation, place: int, array: Any) -> Any:
    axes = contraction(equation)
    summed, batch = axes.summed[place], axes.batch[place]
    groups = np.prod([array.shape[axis] for axis in batch], dtype=int)
    n = np.prod([array.shape[axis] for axis in summed], dtype=int)
    arranged = array.transpose(*batch, *summed, *axes.free(place, array.ndim))
    return arranged.reshape(groups, n, -1)


def _convolution_weights(equation: Equation, place: int, array: np.ndarray) -> np.ndarray:
    del place
    axes = convolution(equation)
    moved = array.transpose(axes.kernel)
    return moved.reshape(axes.groups, len(moved) // axes.groups, -1).transpose(0, 2, 1)


def _patches(equation: Equation, place: int, array: Any, kernel: tuple[int, ...]) -> Any:
    del place
    params, axes = equation.params, convolution(equation)
    images = jnp.transpose(array, axes.image)
    edges = [(0, 0, 0), (0, 0, 0)] + [
        (low, high, dilation - 1)
        for (low, high), dilation in zip(params["padding"], params["lhs_dilation"], strict=True)
    ]
    images = lax.pad(images, jnp.zeros((), images.dtype), edges)
    windows = [kernel[axis] for axis in axes.space[1]]
    slices = [_strided(images, offset, windows, params) for offset in np.ndindex(*windows)]
    patches = jnp.stack(slices, axis=2)
    count, channels, window = patches.shape[:3]
    split = patches.reshape(count, axes.groups, channels // axes.groups * window, -1)
    return jnp.moveaxis(split, 0, 2).reshape(axes.groups, split.shape[2], -1)


def _strided(images: Any, offset: Sequence[int], windows: Sequence[int], params: Any) -> Any:
    """Return the inputs of one entry of the kernel, for each place of the window."""
    start, limit = [0, 0], list(images.shape[:2])
    for axis, (place, window) in enumerate(zip(offset, windows, strict=True)):
        dilation = params["rhs_dilation"][axis]
        start.append(place * dilation)
        limit.append(images.shape[axis + 2] - (window - 1 - place) * dilation)
    return lax.slice(images, start, limit, (1, 1, *params["window_strides"]))


def _why_no_patches(equation: Equation, place: int) -> str | None:
    if place != 1:
        return "it is the image of a convolution, not its kernel"
    if convolution(equation).batch_groups != 1:
        return "its convolution has groups of the batch"
    return None


ARRANGEMENTS: dict[str, Arrangement] = {
    "dot_general": Arrangement(
        _dot_weights,
        lambda equation, place, array, kernel: _dot_weights(equation, place, array),
        lambda equation, place: None,
    ),
    "ragged_dot_general": Arrangement(
        _dot_weights,
        lambda equation, place, array, kernel: _dot_weights(equation, place, array),
        lambda equation, place: "data decide which of its groups meets an input",
    ),
    "conv_general_dilated": Arrangement(_convolution_weights, _patches, _why_no_patches),
}
