"""Products in integers: nodes that say on which grids their operands lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.export.linear import Linear
from jaxcompress.export.node import node
from jaxcompress.leaves import Quantized, spread
from jaxcompress.quantization.grids import Grid, Steps, make_grid, steps_for, to_integers
from jaxcompress.trace.products import MOVES, Product

ACTIVATIONS = make_grid(8, symmetric=False)

_MOST_BIAS = 2.0**30


class Floats:
    """Writes products of floats."""

    def write(self, linear: Linear, value: int, *, rounded: bool) -> Any:
        """Return the result of a product."""
        del value, rounded
        return _product(linear, linear.weight * _wide(linear, linear.gain), linear.bias)

    def enter(self, product: Product, place: int, operand: Any) -> Any:
        """Return the operand."""
        del product, place
        return operand


class Integers:
    """Writes products of integers where it is known what enters.

    Args:
        steps: how the grid lies on what enters a product, by name.
        bits: of weights.
        leaves: parameters, by number; integers of `Quantized` ones are taken as they are.
        result_steps: of what a product gives, by number of the value, as far as it is known.
    """

    def __init__(
        self,
        steps: Mapping[str, Steps],
        bits: int,
        leaves: Sequence[Any],
        result_steps: Mapping[int, Steps],
    ) -> None:
        self._steps, self._grid, self._leaves = steps, make_grid(bits), leaves
        self._result_steps = result_steps
        self.quantized: list[str] = []
        self.left_float: dict[str, str] = {}
        self._floats = Floats()

    def write(self, linear: Linear, value: int, *, rounded: bool) -> Any:
        """Return the result of a product."""
        product = linear.product
        (place,) = product.activations
        weight = _integers(linear, self._leaves, self._grid)
        reason = self._why_not(product)
        if weight is None:
            reason = "the grid of its weight is not symmetric with one scale for each channel"
        if reason or weight is None:
            self.left_float[product.name] = reason
            return self._floats.write(linear, value, rounded=rounded)
        self.quantized.append(product.name)
        entering = self._steps[product.operand_name(place)]
        result = _integer_product(linear, entering, *weight)
        # A convolution is one of integers only if it gives integers.
        steps = None if rounded or linear.op != "Conv" else self._result_steps.get(value)
        return result if steps is None else on_grid(result, steps)

    def enter(self, product: Product, place: int, operand: Any) -> Any:
        """Return the operand, rounded if it is known what enters at all places."""
        reason = self._why_not(product)
        if len(product.activations) == 1:
            reason = "ONNX has no product of integers like it"
        if reason:
            self.left_float[product.name] = reason
            return operand
        if product.name not in self.quantized:
            self.quantized.append(product.name)
        return on_grid(operand, self._steps[product.operand_name(place)])

    def _why_not(self, product: Product) -> str:
        known = all(product.operand_name(place) in self._steps for place in product.activations)
        return "" if known else "the ranges do not say what enters it"


def on_grid(x: Any, steps: Steps) -> Any:
    """Return nodes that round `x` to the grid of activations and back.

    The integers are those of the grid plus 128, without a sign: kernels for x86 want them so.
    """
    scale, zero = np.float32(steps.scale), np.uint8(int(steps.zero_point) - ACTIVATIONS.lowest)
    values = node("QuantizeLinear", x, scale, zero, shape=x.shape, dtype=np.uint8)
    return node("DequantizeLinear", values, scale, zero, shape=x.shape)


def _from_grid(values: np.ndarray, scale: np.ndarray, axis: int) -> Any:
    zero = np.zeros(scale.shape, values.dtype)
    return node("DequantizeLinear", values, scale, zero, shape=values.shape, axis=axis)


def _integers(
    linear: Linear, leaves: Sequence[Any], grid: Grid
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the integers of a weight and a scale for each channel; None if there is no such."""
    others = tuple(axis for axis in range(linear.weight.ndim) if axis != linear.channel_axis)
    (source,) = linear.product.weights.values() or (None,)
    leaf = None if source is None or source.moves is None else leaves[source.leaf]
    if not isinstance(leaf, Quantized):
        ends = (end(others, keepdims=True) for end in (linear.weight.min, linear.weight.max))
        steps = steps_for(*ends, grid)
        return to_integers(linear.weight, steps, grid), np.ravel(steps.scale)
    values = np.asarray(leaf.values)
    scales = np.broadcast_to(spread(np.asarray(leaf.scale), leaf.shape), leaf.shape)
    for move in source.moves:
        values, scales = (MOVES[move.name](part, move.params) for part in (values, scales))
    values, scales = linear.to_weight(values), linear.to_weight(scales)
    scale = scales.max(others)
    if leaf.zero_point is not None or (scales != _wide(linear, scale)).any():
        return None
    return values, scale


def _integer_product(
    linear: Linear, entering: Steps, values: np.ndarray, scale: np.ndarray
) -> Any:
    # A negative gain turns the integers; where it is 0 there are none.
    values = values * _wide(linear, np.sign(linear.gain).astype(np.int8))
    scale = np.where(linear.gain == 0, 1, np.abs(linear.gain) * scale).astype(np.float32)
    step = np.float32(entering.scale) * scale
    bias = linear.bias
    if bias is not None and not _is_batched(linear):
        # A bias beyond 32 bits makes the steps of its channel coarser.
        coarser = np.maximum(np.abs(bias) / step / _MOST_BIAS, 1)
        values = np.round(values / _wide(linear, coarser)).astype(np.int8)
        scale, step = (part * coarser.astype(np.float32) for part in (scale, step))
        bias = _from_grid(np.round(bias / step).astype(np.int32), step, 0)
    kernel = _from_grid(values, scale, linear.channel_axis)
    return _product(linear, kernel, bias, on_grid(linear.x, entering))


def _product(linear: Linear, kernel: Any, bias: Any, x: Any = None) -> Any:
    """Write a product with what stands for its weight, its bias and what enters."""
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
