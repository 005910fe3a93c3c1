"""Products in integers: nodes with the grids of their operands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.leaves import Quantized
from jaxcompress.leaves.quantized import spread
from jaxcompress.onnx._linear import Linear
from jaxcompress.onnx._node import node
from jaxcompress.products.find import Product, moved
from jaxcompress.quantization.grids import Grid, QParams, make_grid, qparams_for, to_integers

ACTIVATIONS = make_grid(8, symmetric=False)

_MOST_BIAS = 2.0**30

_SEVEN_BITS = 64
"""The largest magnitude with which two products with uint8 have a sum in 16 bits."""


class Floats:
    """Writes products in floats."""

    def write(self, linear: Linear, value: int, *, rounded: bool) -> Any:
        """Return the result of a product."""
        del value, rounded
        return _product(linear, linear.weight * _wide(linear, linear.gain), linear.bias)

    def enter(self, product: Product, place: int, operand: Any) -> Any:
        """Return the operand."""
        del product, place
        return operand


class Integers:
    """Writes products in integers where the ranges of their inputs are known.

    Args:
        qparams: scale and zero point of each input of a product, by name.
        bits: of weights. With 8 the file is for CPUs with VNNI, with fewer for any: integers of
            leaves that need 8 are then unsigned, which x86 sums exactly, with slower kernels.
        leaves: parameters, by number; integers of `Quantized` ones are used unchanged.
        result_qparams: scale and zero point of results that are known, by number of the value.

    Attributes:
        reasons: by product written, why it is in floats; empty if it is in integers.
    """

    def __init__(
        self,
        qparams: Mapping[str, QParams],
        bits: int,
        leaves: Sequence[Any],
        result_qparams: Mapping[int, QParams],
    ) -> None:
        self._qparams, self._grid, self._leaves = qparams, make_grid(bits), leaves
        self._result_qparams = result_qparams
        self.reasons: dict[str, str] = {}

    def write(self, linear: Linear, value: int, *, rounded: bool) -> Any:
        """Return the result of a product."""
        product = linear.product
        weight = _integers(linear, self._leaves, self._grid)
        if not self._is_known(product) or weight is None:
            if weight is None:
                self.reasons[product.name] = "its weight has more scales than one for each channel"
            return Floats().write(linear, value, rounded=rounded)
        (place,) = product.activations
        entering, anywhere = self._qparams[product.operand_name(place)], self._grid.bits < 8
        result = _integer_product(linear, entering, *weight, anywhere=anywhere)
        # ONNX Runtime runs a convolution in integers only if its result is rounded.
        qparams = None if rounded or linear.op != "Conv" else self._result_qparams.get(value)
        return result if qparams is None else on_grid(result, qparams)

    def enter(self, product: Product, place: int, operand: Any) -> Any:
        """Return the operand, rounded if the ranges of both operands are known."""
        if not self._is_known(product):
            return operand
        if not product.summed(0):
            self.reasons[product.name] = "it sums over nothing: a multiplication"
            return operand
        if len(product.activations) == 1:
            self.reasons[product.name] = "no product of integers of ONNX is like it"
            return operand
        return on_grid(operand, self._qparams[product.operand_name(place)])

    def _is_known(self, product: Product) -> bool:
        known = all(name in self._qparams for name in product.entering)
        self.reasons[product.name] = "" if known else "the ranges do not say what enters it"
        return known


def on_grid(x: Any, qparams: QParams) -> Any:
    """Return nodes that round `x` to the grid of activations and back.

    The integers are unsigned, those of the grid plus 128: kernels for x86 need them so.
    """
    scale, zero = np.float32(qparams.scale), np.uint8(int(qparams.zero_point) - ACTIVATIONS.lowest)
    values = node("QuantizeLinear", x, scale, zero, shape=x.shape, dtype=np.uint8)
    return node("DequantizeLinear", values, scale, zero, shape=x.shape)


def _from_grid(values: np.ndarray, scale: np.ndarray, axis: int, zero_point: int = 0) -> Any:
    zero = np.full(scale.shape, zero_point, values.dtype)
    scale = scale.astype(np.float32)
    return node("DequantizeLinear", values, scale, zero, shape=values.shape, axis=axis)


def _integers(
    linear: Linear, leaves: Sequence[Any], grid: Grid
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the integers of a weight and a scale for each channel; None if there are none."""
    others = tuple(axis for axis in range(linear.weight.ndim) if axis != linear.channel_axis)
    for source in linear.product.weights.values():
        leaf = leaves[source.leaf]
        if source.moves is not None and isinstance(leaf, Quantized):
            scales = np.broadcast_to(spread(np.asarray(leaf.scale), leaf.shape), leaf.shape)
            values, scales = (
                linear.to_weight(moved(part, source.moves))
                for part in (np.asarray(leaf.values), scales)
            )
            scale = scales.max(others)
            symmetric = leaf.zero_point is None and (scales == _wide(linear, scale)).all()
            return (values, scale) if symmetric else None
    low, high = linear.weight.min(others, keepdims=True), linear.weight.max(others, keepdims=True)
    qparams = qparams_for(low, high, grid)
    return np.asarray(to_integers(linear.weight, qparams, grid)), np.ravel(qparams.scale)


def _integer_product(
    linear: Linear, entering: QParams, values: np.ndarray, scale: np.ndarray, *, anywhere: bool
) -> Any:
    # A negative gain flips the integers. In a channel of zeros the bias sets the step size.
    values = values * _wide(linear, np.sign(linear.gain).astype(np.int8))
    others = tuple(axis for axis in range(values.ndim) if axis != linear.channel_axis)
    # In double precision: the step size of a dead channel may be too small for single precision.
    scale = np.abs(linear.gain.astype(np.float64)) * scale * values.any(others)
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    step_size = float(entering.scale) * scale
    bias = linear.bias
    if bias is not None and not _is_batched(linear):
        # A bias beyond 32 bits makes the step size of its channel coarser.
        coarser = np.maximum(np.abs(bias) / step_size / _MOST_BIAS, 1)
        values = np.round(values / _wide(linear, coarser)).astype(np.int8)
        scale, step_size = scale * coarser, step_size * coarser
        bias = _from_grid(np.round(bias / step_size).astype(np.int32), step_size, 0)
    zero_point = 0
    if anywhere and np.abs(values.astype(np.int16)).max(initial=0) > _SEVEN_BITS:
        zero_point, values = 128, (values.astype(np.int16) + 128).astype(np.uint8)
    kernel = _from_grid(values, scale, linear.channel_axis, zero_point)
    return _product(linear, kernel, bias, on_grid(linear.x, entering))


def _product(linear: Linear, kernel: Any, bias: Any, x: Any = None) -> Any:
    """Write a product, given the values for its weight, its bias and its input."""
    operands = [linear.x if x is None else x, kernel]
    if _is_batched(linear):
        result = node("MatMul", *operands, shape=linear.shape)
        return result if bias is None else node("Add", result, bias, shape=linear.shape)
    op = "Gemm" if linear.op == "MatMul" else linear.op
    operands += [] if bias is None else [bias]
    return node(op, *operands, shape=linear.shape, **linear.attributes)


def _is_batched(linear: Linear) -> bool:
    return linear.op == "MatMul" and linear.x.ndim > 2


def _wide(linear: Linear, vector: np.ndarray) -> np.ndarray:
    """Return `[channels]` in a shape that broadcasts to the weight's."""
    shape = [1] * linear.weight.ndim
    shape[linear.channel_axis] = -1
    return vector.reshape(shape)
