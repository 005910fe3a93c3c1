"""Rules that rewrite equations that jax2onnx or ONNX Runtime does not support.

A rule gets an equation, its operands and the shape of its first result. It returns that result, or
None where the equation needs no change. Rules apply in the bodies of loops and branches as well.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.onnx._node import node
from jaxcompress.onnx._pooling import POOLS
from jaxcompress.products.contraction import Contraction, contraction, convolution
from jaxcompress.trace.program import Equation
from jaxcompress.trees import is_traced

Rule = Callable[[Equation, list[Any], Sequence[Any]], Any]


def _dot(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return a product that sums over nothing, or whose operands are not floats of one dtype."""
    x, y = operands
    dtype = np.dtype(equation.params["preferred_element_type"] or jnp.result_type(x, y))
    axes = contraction(equation)
    summed = axes.summed[0]
    if summed and x.dtype == y.dtype == dtype and jnp.issubdtype(dtype, jnp.inexact):
        return None
    # ONNX Runtime multiplies no integers below 32 bits.
    inner = dtype if jnp.issubdtype(dtype, jnp.inexact) else np.dtype(np.int32)
    x, y = _as(x, inner), _as(y, inner)
    write = _einsum if summed else _outer
    return _back(write(x, y, axes, shape), dtype)


def _outer(x: Any, y: Any, axes: Contraction, shape: Sequence[Any]) -> Any:
    """Return `x[*batch, *left, 1...] * y[*batch, 1..., *right]`."""
    batch_x, batch_y = axes.batch
    left, right = axes.free(0, x.ndim), axes.free(1, y.ndim)
    first, rank = len(batch_x) + len(left), len(shape)
    x = _unsqueezed(jax.lax.transpose(x, (*batch_x, *left)), range(first, rank))
    y = _unsqueezed(jax.lax.transpose(y, (*batch_y, *right)), range(len(batch_y), first))
    return node("Mul", x, y, shape=shape, dtype=x.dtype)


def _unsqueezed(x: Any, axes: Sequence[int]) -> Any:
    """Return `x` with more axes of size 1; JAX itself would use a broadcast."""
    if not axes:
        return x
    sizes = list(x.shape)
    for axis in axes:
        sizes.insert(axis, 1)
    return node("Unsqueeze", x, shape=sizes, dtype=x.dtype, counts={1: axes})


def _einsum(x: Any, y: Any, axes: Contraction, shape: Sequence[Any]) -> Any:
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names_x = [next(letters) for _ in range(x.ndim)]
    names_y = [next(letters) for _ in range(y.ndim)]
    for pairs in (axes.summed, axes.batch):
        for mine, other in zip(*pairs, strict=True):
            names_y[other] = names_x[mine]
    out = axes.result(names_x, names_y)
    equation = f"{''.join(names_x)},{''.join(names_y)}->{''.join(out)}"
    return node("Einsum", x, y, shape=shape, dtype=x.dtype, equation=equation)


def _clamp(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return `min(max(x, low), high)` with bounds of any shape that broadcasts."""
    del equation
    low, x, high = operands
    dtype = np.dtype(x.dtype)
    inner = _for_arithmetic(dtype)
    above = node("Max", _as(x, inner), _as(low, inner), shape=shape, dtype=inner)
    return _back(node("Min", above, _as(high, inner), shape=shape, dtype=inner), dtype)


def _rem(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return the remainder with the sign of the dividend."""
    del equation
    dtype = np.dtype(operands[0].dtype)
    inner = _for_arithmetic(dtype)
    x, y = (_as(operand, inner) for operand in operands)
    return _back(node("Mod", x, y, shape=shape, dtype=inner, fmod=1), dtype)


def _relu(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return a maximum with zeros as a ReLU."""
    del equation
    for x, other in (operands, operands[::-1]):
        whole = x.dtype == np.float32 and tuple(x.shape) == tuple(shape)
        # Of numpy: while JAX traces, its own arrays are not constants for `jnp`.
        if whole and not is_traced(other) and not np.any(np.asarray(other)):
            return node("Relu", x, shape=shape)
    return None


def _windows(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    return POOLS[equation.name](operands[0], equation.params, shape)


def _pad(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return padding; padding between entries uses an axis of its own."""
    x, value = operands
    config = equation.params["padding_config"]
    for axis, (_, _, between) in enumerate(config):
        if between and x.shape[axis]:
            size = x.shape[axis] * (between + 1)
            x = _unsqueezed(x, (axis + 1,))
            ends = [(0, 0)] * x.ndim
            ends[axis + 1] = (0, between)
            apart = _padded(
                x, value, ends, (*x.shape[: axis + 1], between + 1, *x.shape[axis + 2 :])
            )
            sizes = (*x.shape[:axis], size, *x.shape[axis + 2 :])
            x = jax.lax.reshape(apart, sizes)
            x = jax.lax.slice_in_dim(x, 0, size - between, axis=axis)
    return _padded(x, value, [(low, high) for low, high, _ in config], shape)


def _padded(x: Any, value: Any, ends: Sequence[tuple[int, int]], shape: Sequence[Any]) -> Any:
    dtype = np.dtype(x.dtype)
    inner = _for_arithmetic(dtype)
    pads = [low for low, _ in ends] + [high for _, high in ends]
    counts = {1: pads}
    padded = node("Pad", _as(x, inner), _as(value, inner), shape=shape, dtype=inner, counts=counts)
    return _back(padded, dtype)


def _concatenate(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return arrays concatenated without empty ones: a size of 0 means something else in ONNX."""
    del shape
    axis = equation.params["dimension"]
    full = [operand for operand in operands if operand.shape[axis] != 0]
    return None if len(full) == len(operands) else jax.lax.concatenate(full, axis)


def _at_most(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return `x <= y` with -0 below 0 and NaN above everything."""
    del equation, shape
    x, y = map(jnp.asarray, operands)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x <= y
    return (x < y) | ((x == y) & ((x != 0) | (1 / x <= 1 / y))) | (y != y)


def _below(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    return ~_at_most(equation, operands[::-1], shape)


def _cumulative_product(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return cumulative products: over the last 2, 4, 8, ... entries, until all are included."""
    (x,), (axis, reverse) = operands, (equation.params["axis"], equation.params["reverse"])
    reach = 1
    while reach < shape[axis]:
        ends = [(0, 0)] * x.ndim
        ends[axis] = (-reach, reach) if reverse else (reach, -reach)
        x = x * _padded(x, np.ones((), x.dtype), ends, shape)
        reach *= 2
    return x


def _convolution(equation: Equation, operands: list[Any], shape: Sequence[Any]) -> Any:
    """Return a convolution with negative padding: its input is cut first."""
    del shape
    x, kernel = operands
    params = equation.params
    pads = params["padding"]
    dilated = any(size != 1 for size in params["lhs_dilation"])
    if dilated or all(pad >= 0 for pair in pads for pad in pair):
        return None
    starts, ends = [0] * x.ndim, list(x.shape)
    for axis, (low, high) in zip(convolution(equation).space[0], pads, strict=True):
        starts[axis] -= min(low, 0)
        ends[axis] += min(high, 0)
    rest = [(max(low, 0), max(high, 0)) for low, high in pads]
    cut = jax.lax.slice(x, starts, ends)
    return equation.primitive.bind(cut, kernel, **{**params, "padding": tuple(rest)})


def _for_arithmetic(dtype: np.dtype) -> np.dtype:
    """Return a dtype in which ONNX Runtime compares and divides: integers of 32 bits at least."""
    narrow = not jnp.issubdtype(dtype, jnp.inexact) and dtype.itemsize < 4
    return np.dtype(np.int32) if narrow else dtype


def _as(x: Any, dtype: np.dtype) -> Any:
    if is_traced(x):
        return x if x.dtype == dtype else jax.lax.convert_element_type(x, dtype)
    return np.asarray(x).astype(dtype)


def _back(x: Any, dtype: np.dtype) -> Any:
    """Return a result in its own dtype again; as a boolean, whether it is not 0."""
    return jax.lax.ne(x, np.zeros((), x.dtype)) if dtype == np.bool_ else _as(x, dtype)


RULES: dict[str, Rule] = {
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "clamp": _clamp,
    "rem": _rem,
    "max": _relu,
    "pad": _pad,
    "concatenate": _concatenate,
    "le_to": _at_most,
    "lt_to": _below,
    "cumprod": _cumulative_product,
    **dict.fromkeys(POOLS, _windows),
}
