"""Rules of products: `dot_general` and convolutions."""

from typing import Any

from jaxcompress.trace.ledger import merge, split
from jaxcompress.trace.rules import Rule, Step, Value, freezing


def dot_general(step: Step) -> list[Value]:
    """Tie contracted axes and batch axes; the result has batch, left and right axes."""
    (left_sum, right_sum), (left_batch, right_batch) = step.equation.params["dimension_numbers"]
    left, right = step.operands
    for a, b in zip(left_sum, right_sum, strict=True):
        step.ledger.tie(left[a], right[b])
    batch = [
        step.ledger.tie(left[a], right[b]) for a, b in zip(left_batch, right_batch, strict=True)
    ]
    rest = [a for k, a in enumerate(left) if k not in {*left_sum, *left_batch}]
    rest += [a for k, a in enumerate(right) if k not in {*right_sum, *right_batch}]
    return [[*batch, *rest]]


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


PRODUCTS: dict[str, Rule] = {"dot_general": dot_general, "conv_general_dilated": convolution}
"""Rules of products."""
