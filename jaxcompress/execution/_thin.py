"""Products with the factors of a weight, one after the other, in place of the whole weight."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxcompress.leaves import LowRank
from jaxcompress.products.contraction import (
    Convolution,
    contraction,
    convolution,
    convolve,
    lookup,
    take_rows,
)
from jaxcompress.trace.program import Equation


def thin_product(equation: Equation, operands: list[Any], place: int) -> list[Any]:
    """Return `einsum(x, *factors)`, in the order that takes the fewest multiplications.

    Args:
        equation: a `dot_general`.
        operands: one of them is `LowRank`.
        place: of that operand.

    Returns:
        The result. The factors are multiplied first where that takes less work.
    """
    leaf, x = operands[place], operands[1 - place]
    axes = contraction(equation)
    tensor, terms = _letters(leaf)
    inputs = list(ascii_uppercase[: x.ndim])
    for pairs in (axes.summed, axes.batch):
        for axis, other in zip(pairs[place], pairs[1 - place], strict=True):
            inputs[other] = tensor[axis]
    result = axes.result(tensor, inputs) if place == 0 else axes.result(inputs, tensor)
    dtype = equation.params["preferred_element_type"] or jnp.promote_types(x.dtype, leaf.dtype)
    product = jnp.einsum(
        f"{','.join([''.join(inputs), *terms])}->{''.join(result)}",
        x,
        *leaf.arrays(),
        precision=equation.params["precision"],
        preferred_element_type=equation.params["preferred_element_type"],
    )
    return [product.astype(dtype)]


def _letters(leaf: LowRank) -> tuple[str, list[str]]:
    """Return letters for the axes of the tensor and of each factor, common axes included."""
    shared = ascii_uppercase[::-1][: len(leaf.stack)]
    return shared + leaf.axes, [shared + term for term in leaf.terms]


def thin_convolution(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return a convolution as several, each with one factor of the kernel.

    A factor has input channels, output channels, and windows along its axes of space; along the
    other axes its kernel has size 1. A factor without output channels works on each channel by
    itself. Strides, padding and dilation of an axis are used with its windows.

    Args:
        equation: a `conv_general_dilated`.
        operands: the second is `LowRank`.
        place: of that operand.

    Returns:
        The result; None where the kernel is the first operand, where channels are in groups, or
        where no sequence of factors leads from the input channels to the output channels.
    """
    leaf: LowRank = operands[place]
    params, axes = equation.params, convolution(equation)
    if place != 1 or leaf.stack or axes.groups * axes.batch_groups > 1:
        return None
    last, first, *space = (leaf.axes[axis] for axis in axes.kernel)
    row = _row(leaf.terms, first, last, set(space))
    if row is None:
        return None
    x, factors = operands[0], leaf.arrays()
    dtype = params["preferred_element_type"] or x.dtype
    for which, comes, goes in row:
        term, factor = leaf.terms[which], factors[which]
        windows = [name for name in space if name in term]
        order = [term.index(name) for name in (goes, comes, *windows) if name]
        sizes = dict(zip(term, factor.shape, strict=True))
        channels = (sizes[goes], sizes[comes]) if goes else (sizes[comes], 1)
        kernel = (
            jnp.asarray(factor)
            .transpose(order)
            .reshape(*channels, *(sizes.get(n, 1) for n in space))
        )
        groups = 1 if goes else sizes[comes]
        x = convolve(
            x,
            kernel.astype(x.dtype),  # of a sum in another precision, from the second factor on
            Convolution(axes.image, tuple(range(kernel.ndim)), axes.image, groups),
            window_strides=_along(windows, space, params["window_strides"], 1),
            padding=_along(windows, space, params["padding"], (0, 0)),
            lhs_dilation=_along(windows, space, params["lhs_dilation"], 1),
            rhs_dilation=_along(windows, space, params["rhs_dilation"], 1),
            precision=params["precision"],
            preferred_element_type=params["preferred_element_type"],
        )
    # All of them ran in the layout of the input.
    order = [axes.image[axes.result.index(axis)] for axis in range(x.ndim)]
    return [x.transpose(order).astype(dtype)]


def _row(
    terms: Sequence[str], channel: str, last: str, space: set[str]
) -> list[tuple[int, str, str | None]] | None:
    """Return the factors in order, each with the axes of its input and output channels."""
    left, row = set(range(len(terms))), []
    while left:
        here = sorted((len(set(terms[k]) - space), k) for k in left if channel in terms[k])
        if not here:
            return None
        which = here[0][1]
        goes = set(terms[which]) - space - {channel}
        if len(goes) > 1 or (goes and len(here) > 1):
            return None
        row.append((which, channel, next(iter(goes), None)))
        channel = next(iter(goes), channel)
        left.remove(which)
    return row if channel == last else None


def _along(windows: Sequence[str], space: Sequence[str], values: Sequence[Any], other: Any) -> Any:
    """Return the values of the axes of space that have windows, and `other` for the others."""
    return [v if name in windows else other for name, v in zip(space, values, strict=True)]


def gathered(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return rows of a table, computed alone: rows of one factor times the other factors.

    Args:
        equation: a `gather`.
        operands: the first is `LowRank`.
        place: of that operand.

    Returns:
        The result; None where the entries are not whole rows along one axis, or where missing rows
        are filled with a number.
    """
    leaf, params, axes = operands[place], equation.params, lookup(equation)
    fills = (
        params["mode"] == lax.GatherScatterMode.FILL_OR_DROP and params["fill_value"] is not None
    )
    whole = tuple(1 if axis in axes.looked_up else size for axis, size in enumerate(leaf.shape))
    if (
        place != 0
        or leaf.stack
        or fills
        or len(axes.looked_up) != 1
        or axes.single != axes.looked_up
        or params["slice_sizes"] != whole
    ):
        return None
    name, indices, factors = leaf.axes[axes.looked_up[0]], operands[1], leaf.arrays()
    which = next(k for k, term in enumerate(leaf.terms) if name in term)
    term, rank = leaf.terms[which], indices.ndim - 1
    factors[which] = take_rows(factors[which], indices, term.index(name), params["mode"])
    batch = ascii_uppercase[:rank]
    terms = [*leaf.terms]
    terms[which] = batch + term.replace(name, "")
    rest, rows = iter(leaf.axes.replace(name, "")), iter(batch)
    result = "".join(
        next(rest if k in axes.windows[1] else rows) for k in range(rank + len(leaf.axes) - 1)
    )
    product = jnp.einsum(  # as precise as `dense`: looking up a table does not round
        f"{','.join(terms)}->{result}",
        *factors,
        precision=lax.Precision.HIGHEST,
        preferred_element_type=jnp.promote_types(leaf.dtype, jnp.float32),
    )
    return [product.astype(leaf.dtype)]


def transposed(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return the leaf of the transposed tensor; None where common axes of all factors move."""
    leaf: LowRank = operands[place]
    shared, order = len(leaf.stack), equation.params["permutation"]
    if tuple(order[:shared]) != tuple(range(shared)):
        return None
    axes = "".join(leaf.axes[axis - shared] for axis in order[shared:])
    return [LowRank(factors=leaf.factors, equation=f"{','.join(leaf.terms)}->{axes}")]


def converted(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return the leaf with factors of another dtype; None where that is an integer dtype."""
    leaf, dtype = operands[place], equation.params["new_dtype"]
    if not jnp.issubdtype(dtype, jnp.floating):
        return None
    factors = tuple(jnp.asarray(factor).astype(dtype) for factor in leaf.arrays())
    return [LowRank(factors=factors, equation=leaf.equation)]


def sliced(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return some layers of a stack as a leaf; None where axes of the layers are cut."""
    leaf, index = operands[place], stacked_layers(equation, operands[place])
    if index is None:
        return None
    return [LowRank(factors=tuple(f[index] for f in leaf.arrays()), equation=leaf.equation)]


def stacked_layers(equation: Equation, leaf: Any) -> tuple[slice, ...] | None:
    """Return which layers of a stack a `slice` takes; None where axes of the layers are cut."""
    params, shared = equation.params, len(leaf.stack)
    steps = params["strides"] or (1,) * len(leaf.shape)
    cuts = list(zip(params["start_indices"], params["limit_indices"], steps, strict=True))
    if not shared or cuts[shared:] != [(0, size, 1) for size in leaf.shape[shared:]]:
        return None
    return tuple(slice(*cut) for cut in cuts[:shared])


def squeezed(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return one layer of a stack of one as a leaf; None where it is an axis of the layer."""
    leaf, axes = operands[place], equation.params["dimensions"]
    if any(axis >= len(leaf.stack) for axis in axes):
        return None
    factors = tuple(factor.squeeze(tuple(axes)) for factor in leaf.arrays())
    return [LowRank(factors=factors, equation=leaf.equation)]
