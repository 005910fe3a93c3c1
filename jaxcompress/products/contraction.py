"""The axes of products and of look-ups: the only reader of JAX's dimension numbers.

`contraction` reads products of matrices, `convolution` convolutions, `lookup` primitives that read
windows of a table or write them. `convolve` and `take_rows` write dimension numbers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
from jax import lax

from jaxcompress.trace.program import Equation

T = TypeVar("T")

Axes = tuple[int, ...]

Pair = tuple[Axes, Axes]
"""Axes of two arrays, usually of the left and of the right operand."""


class Contraction(NamedTuple):
    """The axes of a `dot_general` or a `ragged_dot_general`.

    The result has the axes of the batch, then the axes of the left and of the right operand that
    are neither summed nor of groups. A ragged sum has an axis of groups before all others.

    Attributes:
        summed: axes that are summed over, pair by pair.
        batch: axes that are in both operands and in the result, pair by pair.
        ragged: axis of the left operand whose entries belong to groups; the data decide to which.
        groups: axis of the right operand with one entry, a matrix of weights, for each group.
        stacked: whether each group has a sum of its own.
    """

    summed: Pair
    batch: Pair
    ragged: Axes = ()
    groups: Axes = ()
    stacked: bool = False

    def free(self, side: int, rank: int) -> list[int]:
        """Return the other axes of an operand, in the order of the result."""
        used = {*self.summed[side], *self.batch[side], *(self.groups if side else ())}
        return [axis for axis in range(rank) if axis not in used]

    def carried(self, side: int, ranks: Sequence[int]) -> dict[int, int]:
        """Return the axes of an operand that the result has, with their places in the result.

        Args:
            side: 0 for the left operand, 1 for the right one.
            ranks: of both.
        """
        batch, free = self.batch[side], self.free(side, ranks[side])
        first = self.stacked + len(batch)
        after = first + (len(self.free(0, ranks[0])) if side else 0)
        return {
            **{axis: self.stacked + k for k, axis in enumerate(batch)},
            **{axis: after + k for k, axis in enumerate(free)},
        }

    def result(self, left: Sequence[T], right: Sequence[T]) -> list[T]:
        """Return an item for each axis of the result, given an item for each axis of the operands.

        Axes of the batch get the items of the left operand; an axis of groups gets none.
        """
        of_left = (*self.batch[0], *self.free(0, len(left)))
        return [left[k] for k in of_left] + [right[k] for k in self.free(1, len(right))]


class Convolution(NamedTuple):
    """The axes of a `conv_general_dilated`, in one order for each array.

    Attributes:
        image: of the left operand: samples, input channels, space.
        kernel: of the right operand: output channels, input channels, windows.
        result: samples, output channels, space.
        groups: of channels, each of which has kernels of its own.
        batch_groups: of samples, each of which has kernels of its own.
    """

    image: Axes
    kernel: Axes
    result: Axes
    groups: int = 1
    batch_groups: int = 1

    @property
    def batch(self) -> tuple[int, int]:
        """Axis of the samples of the image and of the result."""
        return self.image[0], self.result[0]

    @property
    def channels_in(self) -> tuple[int, int]:
        """Axis of the input channels of the image and of the kernel, there those of one group."""
        return self.image[1], self.kernel[1]

    @property
    def channels_out(self) -> tuple[int, int]:
        """Axis of the output channels of the kernel and of the result."""
        return self.kernel[0], self.result[1]

    @property
    def space(self) -> tuple[Axes, Axes, Axes]:
        """Axes of space of the image, windows of the kernel, and axes of space of the result."""
        return self.image[2:], self.kernel[2:], self.result[2:]

    @property
    def summed(self) -> Pair:
        """Axes that are summed over; windows count for the kernel."""
        return self.image[1:2], self.kernel[1:]


class Lookup(NamedTuple):
    """The axes of a `gather` from a table, or of a scatter into one.

    The last axis of the indices gives the start of a window of the table. The axes before it are
    axes of the array of windows, in the same order: the result of a `gather`, or the updates of a
    scatter.

    Attributes:
        looked_up: axes of the table along which indices give the start of windows, in the order of
            the indices.
        single: axes of the table along which windows have one entry and no axis.
        batch: axes of the table and of the indices that run together; windows do not have them.
        windows: axes of the table that windows have, with their places in the array of windows.
    """

    looked_up: Axes
    single: Axes
    batch: Pair
    windows: Pair


def contraction(equation: Equation) -> Contraction:
    """Return the axes of a product of matrices."""
    if equation.name == "dot_general":
        numbers, ragged, groups = equation.params["dimension_numbers"], (), ()
    else:
        whole = equation.params["ragged_dot_dimension_numbers"]
        numbers = whole.dot_dimension_numbers
        ragged = tuple(whole.lhs_ragged_dimensions)
        groups = tuple(whole.rhs_group_dimensions)
    (left, right), (left_batch, right_batch) = numbers
    return Contraction(
        (tuple(left), tuple(right)),
        (tuple(left_batch), tuple(right_batch)),
        ragged,
        groups,
        bool(set(ragged) & set(left)),
    )


def convolution(equation: Equation) -> Convolution:
    """Return the axes of a convolution."""
    image, kernel, result = map(tuple, equation.params["dimension_numbers"])
    return Convolution(
        image,
        kernel,
        result,
        groups=equation.params["feature_group_count"],
        batch_groups=equation.params["batch_group_count"],
    )


def summed_axes(equation: Equation) -> Pair:
    """Return the axes that a product of any kind sums over, of its left and right operand.

    Windows count for the kernel.
    """
    read = convolution if equation.name == "conv_general_dilated" else contraction
    return read(equation).summed


def lookup(equation: Equation) -> Lookup:
    """Return the axes of a `gather` or of a scatter of any kind."""
    numbers = equation.params["dimension_numbers"]
    if equation.name == "gather":
        single, places = numbers.collapsed_slice_dims, numbers.offset_dims
        looked_up, indices = numbers.start_index_map, numbers.start_indices_batching_dims
    else:
        single, places = numbers.inserted_window_dims, numbers.update_window_dims
        looked_up = numbers.scatter_dims_to_operand_dims
        indices = numbers.scatter_indices_batching_dims
    without = (*single, *numbers.operand_batching_dims)
    whole = [axis for axis in range(len(places) + len(without)) if axis not in without]
    return Lookup(
        tuple(looked_up),
        tuple(single),
        (tuple(numbers.operand_batching_dims), tuple(indices)),
        (tuple(whole), tuple(places)),
    )


def convolve(image: Any, kernel: Any, axes: Convolution, **options: Any) -> jax.Array:
    """Return a convolution of arrays with these axes.

    Args:
        image: the input.
        kernel: the weights.
        axes: of both and of the result, and groups.
        **options: of `conv_general_dilated`: strides, padding, dilation, precision.
    """
    return lax.conv_general_dilated(
        image,
        kernel,
        dimension_numbers=lax.ConvDimensionNumbers(axes.image, axes.kernel, axes.result),
        feature_group_count=axes.groups,
        batch_group_count=axes.batch_groups,
        **options,
    )


def take_rows(table: Any, indices: Any, axis: int, mode: Any) -> jax.Array:
    """Return entries of a table along an axis; its other axes come behind those of the indices.

    Args:
        table: any array.
        indices: `[..., 1]` integers.
        axis: of the table.
        mode: of `lax.gather`, for indices outside of the table.
    """
    first = indices.ndim - 1
    numbers = lax.GatherDimensionNumbers(
        tuple(range(first, first + table.ndim - 1)), (axis,), (axis,)
    )
    sizes = tuple(1 if k == axis else size for k, size in enumerate(table.shape))
    return lax.gather(table, indices, numbers, sizes, mode=mode)
