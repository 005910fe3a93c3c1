"""Rules of primitives that put arrays together and take parts of them."""

from collections.abc import Sequence

import numpy as np

from jaxcompress.products.contraction import lookup
from jaxcompress.units._rules import Call, Rule, Value
from jaxcompress.units.dependencies import UNIFORM, Axis, Ledger, has_units, trim


def concatenate(call: Call) -> list[Value]:
    """Join ids along the axis, tie the other axes."""
    axis = call.equation.params["dimension"]
    first, *others = call.operands
    result = list(first)
    for value in others:
        result = [
            a if k == axis else call.ledger.tie(a, b)
            for k, (a, b) in enumerate(zip(result, value, strict=True))
        ]
    result[axis] = join(call.ledger, [value[axis] for value in call.operands])
    return [result]


def join(ledger: Ledger, axes: Sequence[Axis]) -> Axis:
    """Return axes end to end, each padded to the number of layers of the deepest.

    Two axes that are constant, ones and zeros, are not constant when joined: they are frozen.
    """
    deepest = max(map(len, axes))
    filler = ledger.code("concatenate")
    if sum(bool((axis == UNIFORM).any()) for axis in axes) > 1:
        axes = [np.where(axis == UNIFORM, filler, axis) for axis in axes]
    return np.concatenate(
        [np.pad(a, ((0, deepest - len(a)), (0, 0)), constant_values=filler) for a in axes], axis=1
    )


def split_rule(call: Call) -> list[Value]:
    """Cut the ids along the axis."""
    axis, sizes = call.equation.params["axis"], call.equation.params["sizes"]
    ends = np.cumsum([int(size) for size in sizes])
    return [
        [trim(a[:, end - size : end]) if k == axis else a for k, a in enumerate(call.operands[0])]
        for size, end in zip(map(int, sizes), ends, strict=True)
    ]


def slicing(call: Call) -> list[Value]:
    """Take the same entries of the ids."""
    params = call.equation.params
    strides = params["strides"] or (1,) * len(call.operands[0])
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return [
        [
            a if (start, stop, stride) == (0, a.shape[1], 1) else trim(a[:, start:stop:stride])
            for a, (start, stop, stride) in zip(call.operands[0], bounds, strict=True)
        ]
    ]


def reverse(call: Call) -> list[Value]:
    """Reverse the ids."""
    turned = call.equation.params["dimensions"]
    return [[a[:, ::-1] if k in turned else a for k, a in enumerate(call.operands[0])]]


def pad(call: Call) -> list[Value]:
    """Put entries that follow any cut around the ids; freeze axes that are padded in between."""
    result = []
    for axis, (low, high, between) in zip(
        call.operands[0], call.equation.params["padding_config"], strict=True
    ):
        if (low, high, between) == (0, 0, 0):
            result.append(axis)
        elif not has_units(axis) or min(low, high) < 0 or between:
            result.append(
                call.fix(axis, axis.shape[1] + low + high + between * (axis.shape[1] - 1))
            )
        else:
            result.append(np.pad(axis, ((0, 0), (low, high)), constant_values=UNIFORM))
    return [result]


def dynamic_slice(call: Call) -> list[Value]:
    """Pass whole axes on, freeze axes of which a part is taken."""
    (shape,) = call.shapes
    return [
        [
            a if a.shape[1] == size else call.fix(a, size)
            for a, size in zip(call.operands[0], shape, strict=True)
        ]
    ]


def dynamic_update_slice(call: Call) -> list[Value]:
    """Tie whole axes, freeze axes of which a part is replaced."""
    whole, part = call.operands[:2]
    result = []
    for a, b in zip(whole, part, strict=True):
        if a.shape == b.shape or a.shape[1] == b.shape[1]:
            result.append(call.ledger.tie(a, b))
        else:
            call.fix(b)
            result.append(call.fix(a))
    return [result]


def gather(call: Call) -> list[Value]:
    """Pass on the axes taken whole and those of the indices; freeze the axis looked up."""
    table, indices = call.operands
    axes, sizes = lookup(call.equation), call.equation.params["slice_sizes"]
    places, taken = dict(zip(*axes.windows, strict=True)), {}
    for k, axis in enumerate(table):
        if k not in places:
            call.fix(axis)
        elif sizes[k] == axis.shape[1] and k not in axes.looked_up:
            taken[places[k]] = axis
        else:
            taken[places[k]] = call.fix(axis, sizes[k])
    for k in axes.batch[1]:
        call.fix(indices[k])
    rest = iter(indices[:-1])
    return [[taken[k] if k in taken else next(rest) for k in range(len(call.shapes[0]))]]


def scatter(call: Call) -> list[Value]:
    """Tie the axes that are replaced whole; freeze the others."""
    target, indices, updates = call.operands
    axes = lookup(call.equation)
    places = dict(zip(*axes.windows, strict=True))
    result = []
    for k, axis in enumerate(target):
        part = updates[places[k]] if k in places else None
        whole = part is not None and part.shape[1] == axis.shape[1]
        if part is not None and whole and k not in axes.looked_up:
            result.append(call.ledger.tie(axis, part))
        else:
            result.append(call.fix(axis))
            call.fix(axis if part is None else part)
    rest = [a for k, a in enumerate(updates) if k not in axes.windows[1]]
    for axis in (*indices, *rest):
        call.fix(axis)
    return [result]


PARTS: dict[str, Rule] = {
    "concatenate": concatenate,
    "dynamic_slice": dynamic_slice,
    "dynamic_update": dynamic_update_slice,
    "gather": gather,
    "pad": pad,
    "reverse": reverse,
    "scatter": scatter,
    "slice": slicing,
    "split": split_rule,
}
"""By kind, rules of primitives that put arrays together and take parts of them."""
