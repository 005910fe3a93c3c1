"""Axes of products and look-ups, as JAX traced them, beside axes written by hand."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcompress.products.contraction import (
    Contraction,
    Convolution,
    Lookup,
    contraction,
    convolution,
    convolve,
    lookup,
    summed_axes,
    take_rows,
)
from jaxcompress.trace.program import trace


def traced(name, apply, *shapes):
    """Return the only equation of a primitive, and the ranks of its operands and its result."""
    program = trace(lambda params, *xs: apply(*xs), (), *(np.ones(shape, "f") for shape in shapes))
    (equation,) = [e for e in program.equations if e.name == name]
    ranks = [len(program.shape(operand)) for operand in equation.operands]
    return equation, ranks, program.shapes[equation.results[0]]


def dot(sums, batch=((), ())):
    return lambda x, y: lax.dot_general(x, y, (sums, batch))


# Shapes; sums; batches; axes in the result of the left operand; of the right one; the result.
DOTS = {
    "plain": (
        dot(((1,), (0,))),
        [(2, 3), (3, 4)],
        Contraction(((1,), (0,)), ((), ())),
        ({0: 0}, {1: 1}),
        (2, 4),
    ),
    "transposed": (
        dot(((0,), (1,))),
        [(3, 2), (4, 3)],
        Contraction(((0,), (1,)), ((), ())),
        ({1: 0}, {0: 1}),
        (2, 4),
    ),
    "batched in the middle": (
        dot(((0,), (2,)), ((2,), (0,))),
        [(3, 2, 5), (5, 4, 3)],
        Contraction(((0,), (2,)), ((2,), (0,))),
        ({2: 0, 1: 1}, {0: 0, 1: 2}),
        (5, 2, 4),
    ),
    "two batches, crossed, and two sums": (
        dot(((1, 3), (4, 1)), ((4, 0), (2, 3))),
        [(2, 3, 6, 4, 5), (7, 4, 5, 2, 3)],
        Contraction(((1, 3), (4, 1)), ((4, 0), (2, 3))),
        ({4: 0, 0: 1, 2: 2}, {2: 0, 3: 1, 0: 3}),
        (5, 2, 6, 7),
    ),
    "outer": (
        dot(((), ())),
        [(2,), (3, 4)],
        Contraction(((), ()), ((), ())),
        ({0: 0}, {0: 1, 1: 2}),
        (2, 3, 4),
    ),
}


@pytest.mark.parametrize("name", DOTS)
def test_products_of_matrices(name):
    apply, shapes, wanted, (left, right), result = DOTS[name]
    equation, ranks, shape = traced("dot_general", apply, *shapes)
    axes = contraction(equation)
    assert axes == wanted
    assert summed_axes(equation) == wanted.summed
    assert shape == result
    assert axes.carried(0, ranks) == left
    assert axes.carried(1, ranks) == right
    assert axes.result(*shapes) == list(result)  # sizes of the result, from those of operands


def test_free_axes_are_in_order():
    axes = Contraction(((1,), (0,)), ((3,), (2,)))
    assert axes.free(0, 5) == [0, 2, 4]
    assert axes.free(1, 4) == [1, 3]


def ragged(sums, batch, rows, groups):
    numbers = lax.RaggedDotDimensionNumbers((sums, batch), rows, groups)
    sizes = jnp.asarray([1, 2], jnp.int32)
    return lambda x, y: lax.ragged_dot_general(x, y, sizes, numbers)


def test_ragged_products():
    """Rows in two groups, each with a matrix of its own: `[3, 4] x [2, 4, 5]`."""
    equation, ranks, shape = traced(
        "ragged_dot_general", ragged(((1,), (1,)), ((), ()), [0], [0]), (3, 4), (2, 4, 5)
    )
    axes = contraction(equation)
    assert axes == Contraction(((1,), (1,)), ((), ()), ragged=(0,), groups=(0,), stacked=False)
    assert summed_axes(equation) == ((1,), (1,))
    assert axes.carried(0, ranks) == {0: 0}
    assert axes.carried(1, ranks) == {2: 1}
    assert axes.result(("rows", "sum"), ("groups", "sum", "outputs")) == ["rows", "outputs"]
    assert shape == (3, 5)


def test_ragged_sums_are_stacked():
    """A sum over the rows of each group, as of gradients: `[3, 4] x [3, 5]` is `[2, 4, 5]`."""
    equation, ranks, shape = traced(
        "ragged_dot_general", ragged(((0,), (0,)), ((), ()), [0], []), (3, 4), (3, 5)
    )
    axes = contraction(equation)
    assert axes == Contraction(((0,), (0,)), ((), ()), ragged=(0,), groups=(), stacked=True)
    assert axes.carried(0, ranks[:2]) == {1: 1}
    assert axes.carried(1, ranks[:2]) == {1: 2}
    assert axes.result(("sum", "left"), ("sum", "right")) == ["left", "right"]
    assert shape == (2, 4, 5)


def conv(layout, **options):
    def apply(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (1,) * (x.ndim - 2), "SAME", dimension_numbers=layout, **options
        )

    return apply


NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")

CONVOLUTIONS = {
    "channels last": (
        conv(NHWC),
        [(2, 5, 6, 3), (1, 3, 3, 4)],
        Convolution((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
        (2, 5, 6, 4),
    ),
    "channels first": (
        conv(NCHW),
        [(2, 3, 5, 6), (4, 3, 1, 3)],
        Convolution((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3)),
        (2, 4, 5, 6),
    ),
    "space turned round": (
        conv(("HNWC", "IWOH", "CWNH")),
        [(5, 2, 6, 3), (3, 1, 4, 3)],
        # Space is in the order of its names in the kernel: W before H.
        Convolution((1, 3, 2, 0), (2, 0, 1, 3), (2, 0, 1, 3)),
        (4, 6, 2, 5),
    ),
    "grouped": (
        conv(NHWC, feature_group_count=2),
        [(1, 4, 4, 6), (2, 2, 3, 4)],
        Convolution((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2), groups=2),
        (1, 4, 4, 4),
    ),
    "depthwise": (
        conv(NCHW, feature_group_count=3),
        [(1, 3, 4, 4), (6, 1, 2, 2)],
        Convolution((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3), groups=3),
        (1, 6, 4, 4),
    ),
    "groups of samples": (
        conv(NHWC, batch_group_count=2),
        [(4, 3, 3, 2), (1, 1, 2, 6)],
        Convolution((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2), batch_groups=2),
        (2, 3, 3, 6),
    ),
    "transposed": (
        lambda x, kernel: lax.conv_transpose(
            x, kernel, (2,), "SAME", dimension_numbers=("NHC", "HIO", "NHC"), transpose_kernel=True
        ),
        [(1, 4, 5), (3, 2, 5)],
        # JAX itself swaps the channels of the kernel first: here it is `[3, 5, 2]`.
        Convolution((0, 2, 1), (2, 1, 0), (0, 2, 1)),
        (1, 8, 2),
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    apply, shapes, wanted, result = CONVOLUTIONS[name]
    equation, _, shape = traced("conv_general_dilated", apply, *shapes)
    assert convolution(equation) == wanted
    assert shape == result


def test_names_of_the_axes_of_a_convolution():
    axes = Convolution(image=(1, 3, 2, 0), kernel=(2, 0, 1, 3), result=(2, 0, 3, 1))
    assert axes.batch == (1, 2)
    assert axes.channels_in == (3, 0)
    assert axes.channels_out == (2, 0)
    assert axes.space == ((2, 0), (1, 3), (3, 1))
    assert axes.summed == ((3,), (0, 1, 3))
    equation, _, _ = traced("conv_general_dilated", conv(NHWC), (1, 4, 4, 2), (3, 3, 2, 5))
    assert summed_axes(equation) == ((3,), (2, 0, 1))


def test_convolving_with_axes_is_what_they_were_read_from():
    """A kernel `[in, space, out]` of two channels, on a signal `[space, samples, in]`."""
    x = np.arange(6.0, dtype="f").reshape(3, 1, 2)  # samples (0, 1), (2, 3), (4, 5)
    kernel = np.array([[[1], [10]], [[100], [1000]]], "f")
    axes = Convolution((1, 2, 0), (2, 0, 1), (0, 2, 1))

    def apply(x, kernel):
        return convolve(x, kernel, axes, window_strides=(1,), padding=[(0, 0)])

    # 0 + 100 * 1 + 10 * 2 + 1000 * 3, and 2 + 100 * 3 + 10 * 4 + 1000 * 5.
    np.testing.assert_array_equal(apply(x, kernel), [[[3120], [5342]]])
    program = trace(lambda params, *xs: apply(*xs), (), x, kernel)
    assert convolution(program.equations[0]) == axes


def test_convolving_in_groups():
    x, kernel = np.array([[[1, 2, 3, 4]]], "f"), np.array([[[1, 10], [1, 10]]], "f")
    axes = Convolution((0, 2, 1), (2, 1, 0), (0, 2, 1), groups=2)
    result = convolve(x, kernel, axes, window_strides=(1,), padding=[(0, 0)])
    np.testing.assert_array_equal(result, [[[3, 70]]])  # 1 + 2, and 10 * 3 + 10 * 4


ROWS = np.array([[0], [2]], np.int32)


def looked_up(numbers, sizes, rows=ROWS):
    return lambda table: lax.gather(table, jnp.asarray(rows), numbers, sizes)


def written(numbers, rows=ROWS, write=lax.scatter):
    return lambda table, updates: write(table, jnp.asarray(rows), updates, numbers)


GATHERS = {
    "rows": (
        looked_up(lax.GatherDimensionNumbers((1,), (0,), (0,)), (1, 4)),
        [(3, 4)],
        Lookup((0,), (0,), ((), ()), ((1,), (1,))),
        (2, 4),
    ),
    "columns, first in the result": (
        looked_up(lax.GatherDimensionNumbers((0,), (1,), (1,)), (3, 1)),
        [(3, 4)],
        Lookup((1,), (1,), ((), ()), ((0,), (0,))),
        (3, 2),
    ),
    "blocks at places along two axes": (
        looked_up(
            lax.GatherDimensionNumbers((0, 2), (1,), (2, 0)), (2, 1, 3), [[0, 1], [1, 0], [0, 0]]
        ),
        [(3, 4, 5)],
        Lookup((2, 0), (1,), ((), ()), ((0, 2), (0, 2))),
        (2, 3, 3),
    ),
    "each from its own table": (
        looked_up(
            lax.GatherDimensionNumbers(
                (1,), (1,), (1,), operand_batching_dims=(0,), start_indices_batching_dims=(0,)
            ),
            (1, 1, 4),
        ),
        [(2, 3, 4)],
        Lookup((1,), (1,), ((0,), (0,)), ((2,), (1,))),
        (2, 4),
    ),
}


@pytest.mark.parametrize("name", GATHERS)
def test_gathers(name):
    apply, shapes, wanted, result = GATHERS[name]
    equation, _, shape = traced("gather", apply, *shapes)
    assert lookup(equation) == wanted
    assert shape == result


SCATTERS = {
    "scatter": (
        written(lax.ScatterDimensionNumbers((1,), (0,), (0,))),
        [(3, 4), (2, 4)],
        Lookup((0,), (0,), ((), ()), ((1,), (1,))),
    ),
    "scatter-add": (
        written(lax.ScatterDimensionNumbers((0,), (1,), (1,)), write=lax.scatter_add),
        [(3, 4), (3, 2)],
        Lookup((1,), (1,), ((), ()), ((0,), (0,))),
    ),
    "scatter-mul": (
        written(
            lax.ScatterDimensionNumbers(
                (1,), (1,), (1,), operand_batching_dims=(0,), scatter_indices_batching_dims=(0,)
            ),
            write=lax.scatter_mul,
        ),
        [(2, 3, 4), (2, 4)],
        Lookup((1,), (1,), ((0,), (0,)), ((2,), (1,))),
    ),
}


@pytest.mark.parametrize("name", SCATTERS)
def test_scatters(name):
    apply, shapes, wanted = SCATTERS[name]
    equation, _, _ = traced(name, apply, *shapes)
    assert lookup(equation) == wanted


def test_rows_are_taken_along_any_axis():
    table = np.arange(12).reshape(2, 3, 2)
    indices = np.array([[2], [0]])
    rows = take_rows(jnp.asarray(table), indices, 1, lax.GatherScatterMode.CLIP)
    np.testing.assert_array_equal(rows, [[[4, 5], [10, 11]], [[0, 1], [6, 7]]])


def test_no_other_file_reads_dimension_numbers():
    root = Path(__file__).parents[2] / "jaxcompress"
    names = ("dimension_numbers", "DimensionNumbers", '"feature_group_count', '"batch_group_count')
    files = [p for p in root.rglob("*.py") if any(name in p.read_text() for name in names)]
    assert files == [root / "products" / "contraction.py"]
