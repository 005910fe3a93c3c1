"""Rules of products: of matrices, in groups of rows too, and convolutions."""

from itertools import chain

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.units._rules import Call, Rule, Value, freezing
from jaxcompress.units.dependencies import merge, split


def _matrices(call: Call) -> list[Value]:
    """Tie contracted axes and batch axes; the result has batch, left and right axes.

    Axes that data decide are frozen: in a ragged product, the rows of groups and the groups.
    """
    axes = contraction(call.equation)
    left, right, *sizes = call.operands
    for axis in (*(left[k] for k in axes.ragged), *(right[k] for k in axes.groups)):
        call.ledger.freeze(axis, call.equation.name)
    for axis in chain(*sizes):
        call.ledger.freeze(axis, call.equation.name)
    for a, b in zip(*axes.summed, strict=True):
        call.ledger.tie(left[a], right[b])
    tied = list(left)
    for a, b in zip(*axes.batch, strict=True):
        tied[a] = call.ledger.tie(left[a], right[b])
    groups = [call.fixed(call.shapes[0][0])] if axes.stacked else []
    return [[*groups, *axes.result(tied, right)]]


def _convolution(call: Call) -> list[Value]:
    """Tie input features to the kernel's; pass its output features on, freeze windows.

    With `g` feature groups the input has the features `(g, i)` and the kernel the outputs `(g, o)`:
    a whole group may be removed, or the same place in every group.
    """
    axes = convolution(call.equation)
    if axes.batch_groups != 1:
        return freezing(call, "grouped batches")
    image, kernel = call.operands
    groups = axes.groups
    source, met = (value[k] for value, k in zip((image, kernel), axes.channels_in, strict=True))
    target = kernel[axes.channels_out[0]]
    if groups == 1:
        call.ledger.tie(source, met)
    else:
        group, place = split(call.ledger, source, (groups, source.shape[1] // groups))
        own_group, output = split(call.ledger, target, (groups, target.shape[1] // groups))
        call.ledger.tie(place, met)
        target = merge(call.ledger, [call.ledger.tie(group, own_group), output])
    (shape,) = call.shapes
    result = [call.fixed(size) for size in shape]
    result[axes.batch[1]] = image[axes.batch[0]]
    result[axes.channels_out[1]] = target
    places, windows, _ = axes.space
    for k in places:
        call.fix(image[k])
    for k in windows:
        call.ledger.freeze(kernel[k], "window")
    return [result]


PRODUCTS: dict[str, Rule] = {"convolution": _convolution, "matrices": _matrices}
"""By kind, rules of products."""
