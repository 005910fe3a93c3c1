"""Products with constant weights in the layout of ONNX, with their gain and bias."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.products.find import Product
from jaxcompress.rewrite.roles import after


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A product that is not in the graph yet: `op(x, gain * weight) + bias`.

    Attributes:
        product: in the traced function.
        op: "Conv" or "MatMul".
        x: the input, in the layout of ONNX.
        to_weight: from the weight's operand of the product to the layout of ONNX.
        weight: constant, channels along `channel_axis`.
        channel_axis: 0 of a convolution, 1 of a matrix.
        attributes: of the node.
        shape: of the node's result.
        channels: the axes of the product's result that hold the channels.
        to_result: from the node's result to the product's.
        gain: `[channels]`.
        bias: `[channels]`, or None.
    """

    product: Product
    op: str
    x: Any
    to_weight: Callable[[np.ndarray], np.ndarray]
    weight: np.ndarray
    channel_axis: int
    attributes: dict[str, Any]
    shape: tuple[Any, ...]
    channels: tuple[int, ...]
    to_result: Callable[[Any], Any]
    gain: np.ndarray
    bias: np.ndarray | None = None


Canonical = Callable[[Product, Any, np.ndarray, tuple[Any, ...]], Linear | None]
"""From a product, its activation, its weight and the shape of its result."""

Vector = np.ndarray

Affine = Callable[[int, Vector, Vector | None, Vector], tuple[Vector, Vector | None]]


def _convolution(
    product: Product, x: Any, weight: np.ndarray, shape: tuple[Any, ...]
) -> Linear | None:
    """Return a convolution of ONNX; None if ONNX does not have it."""
    params, axes = product.equation.params, convolution(product.equation)
    pads = params["padding"]
    strange = (
        product.activations != (0,)
        or axes.batch_groups != 1
        or any(size != 1 for size in params["lhs_dilation"])
        or any(pad < 0 for pair in pads for pad in pair)
        or len(axes.image) < 3
    )
    if strange:
        return None

    def to_weight(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.transpose(axes.kernel))

    arranged = to_weight(weight)
    return Linear(
        product=product,
        op="Conv",
        x=_transposed(x, axes.image),
        to_weight=to_weight,
        weight=arranged,
        channel_axis=0,
        attributes={
            "strides": tuple(params["window_strides"]),
            "dilations": tuple(params["rhs_dilation"]),
            "group": axes.groups,
            "pads": (*(pair[0] for pair in pads), *(pair[1] for pair in pads)),
        },
        shape=tuple(shape[axis] for axis in axes.result),
        channels=(axes.channels_out[1],),
        to_result=lambda value: _transposed(value, np.argsort(axes.result)),
        gain=np.ones(len(arranged), arranged.dtype),
    )


def _matrix(product: Product, x: Any, weight: np.ndarray, shape: tuple[Any, ...]) -> Linear | None:
    """Return a product of matrices; None for batches of products and for vectors."""
    axes, (place,) = contraction(product.equation), product.activations
    sums, weight_sums = axes.summed[place], axes.summed[1 - place]
    free, weight_free = axes.free(place, x.ndim), axes.free(1 - place, weight.ndim)
    if axes.batch[0] or not free or not sums:
        return None
    inner = int(np.prod([weight.shape[axis] for axis in weight_sums]))
    free_shape = tuple(x.shape[axis] for axis in free)
    columns = tuple(weight.shape[axis] for axis in weight_free)

    def to_weight(array: np.ndarray) -> np.ndarray:
        rows = array.transpose(*weight_sums, *weight_free).reshape(inner, -1)
        return np.ascontiguousarray(rows)

    def to_result(value: Any) -> Any:
        if len(columns) != 1:
            value = jax.lax.reshape(value, (*free_shape, *columns))
        return value if place == 0 else _transposed(value, np.roll(range(value.ndim), len(columns)))

    x = _transposed(x, (*free, *sums))
    if len(sums) > 1:
        x = jax.lax.reshape(x, (*free_shape, inner))
    arranged = to_weight(weight)
    ranks = (x.ndim, weight.ndim) if place == 0 else (weight.ndim, x.ndim)
    return Linear(
        product=product,
        op="MatMul",
        x=x,
        to_weight=to_weight,
        weight=arranged,
        channel_axis=1,
        attributes={},
        shape=(*free_shape, arranged.shape[1]),
        channels=tuple(axes.carried(1 - place, ranks).values()),
        to_result=to_result,
        gain=np.ones(arranged.shape[1], arranged.dtype),
    )


CANONICAL: dict[str, Canonical] = {"conv_general_dilated": _convolution, "dot_general": _matrix}


def _transposed(x: Any, axes: Sequence[int] | np.ndarray) -> Any:
    order = tuple(map(int, axes))
    return x if order == tuple(range(len(order))) else jax.lax.transpose(x, order)


AFFINE: dict[str, Affine] = {name: partial(after, name) for name in ("add", "sub", "mul")}
"""From the place of a product in an equation, its gain and bias and the other operand, to both new.

Divisions stay nodes, because in float32 a weight times `1 / c` is rounded twice.
"""
