"""Rules of products: of matrices, in groups of rows too, and convolutions."""

from itertools import chain
from typing import Any

from jaxcompress.products.contraction import contraction
from jaxcompress.units._rules import Rule, Step, Value, freezing
from jaxcompress.units.dependencies import merge, split


def dot_general(step: Step) -> list[Value]:
    """Tie contracted axes and batch axes; the result has batch, left and right axes.

    Of a ragged product, what data decide stays: the rows that belong to groups, and the groups.
    """
    axes = contraction(step.equation)
    left, right, *sizes = step.operands
    for axis in (*(left[k] for k in axes.ragged), *(right[k] for k in axes.groups)):
        step.ledger.freeze(axis, step.equation.name)
    for axis in chain(*sizes):
        step.ledger.freeze(axis, step.equation.name)
    for a, b in zip(*axes.summed, strict=True):
        step.ledger.tie(left[a], right[b])
    batch = [step.ledger.tie(left[a], right[b]) for a, b in zip(*axes.batch, strict=True)]
    rest = [left[k] for k in axes.free(0, len(left))] + [right[k] for k in axes.free(1, len(right))]
    groups = [step.fixed(step.shapes[0][0])] if axes.stacked else []
    return [[*groups, *batch, *rest]]


def convolution(step: Step) -> list[Value]:
    """Tie input features to the kernel's; the kernel's output features go on, windows stay.

    With `g` feature groups the input has the features `(g, i)` and the kernel the outputs `(g, o)`:
    a whole group may go, or the same place in every group.
    """
    params = step.equation.params
    if params["batch_group_count"] != 1:
        return freezing(step, "grouped batches")
    numbers: Any = params["dimension_numbers"]
    image, kernel = step.operands
    groups = params["feature_group_count"]
    source, target = image[numbers.lhs_spec[1]], kernel[numbers.rhs_spec[0]]
    if groups == 1:
        step.ledger.tie(source, kernel[numbers.rhs_spec[1]])
    else:
        group, place = split(step.ledger, source, (groups, source.shape[1] // groups))
        own_group, output = split(step.ledger, target, (groups, target.shape[1] // groups))
        step.ledger.tie(place, kernel[numbers.rhs_spec[1]])
        target = merge(step.ledger, [step.ledger.tie(group, own_group), output])
    (shape,) = step.shapes
    result = [step.fixed(size) for size in shape]
    result[numbers.out_spec[0]] = image[numbers.lhs_spec[0]]
    result[numbers.out_spec[1]] = target
    for k in numbers.lhs_spec[2:]:
        step.fix(image[k])
    for k in numbers.rhs_spec[2:]:
        step.ledger.freeze(kernel[k], "window")
    return [result]


PRODUCTS: dict[str, Rule] = {"convolution": convolution, "matrices": dot_general}
"""By kind, rules of products."""
