"""One rule for each kind of primitive: from ids of its operands' axes to ids of its results'."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

from jaxcompress.trace.program import Equation
from jaxcompress.units.dependencies import (
    UNIFORM,
    Axis,
    Ledger,
    merge,
    split,
    uniform,
)

Value = list[Axis]
"""The ids of each axis of a value."""


class Call(NamedTuple):
    """The input of a rule.

    Attributes:
        ledger: records ties and frozen nodes.
        equation: the primitive with its static parameters.
        operands: ids of each axis of each operand.
        shapes: of the results.
    """

    ledger: Ledger
    equation: Equation
    operands: list[Value]
    shapes: list[tuple[int, ...]]

    def fixed(self, size: int) -> Axis:
        """Return an axis that this primitive fixes."""
        return self.ledger.fixed(size, self.equation.name)

    def fix(self, axis: Axis, size: int | None = None) -> Axis:
        """Freeze all units of `axis`; return the resulting axis of `size`."""
        self.ledger.freeze(axis, self.equation.name)
        return self.fixed(axis.shape[1] if size is None else size)


Rule = Callable[[Call], list[Value]]


def elementwise(call: Call) -> list[Value]:
    """Tie axes of the same place; scalars and axes of one entry follow the others."""
    (shape,) = call.shapes
    result = []
    for k, size in enumerate(shape):
        axes = [value[k] for value in call.operands if len(value) == len(shape)]
        full = [axis for axis in axes if axis.shape[1] == size]
        for axis in axes:
            if axis.shape[1] != size:
                call.ledger.freeze(axis, "a single entry")
        result.append(reduce(call.ledger.tie, full) if full else uniform(size))
    return [result]


def bitcast(call: Call) -> list[Value]:
    """Pass the axes on, unless an axis of bits is added or dropped."""
    if len(call.operands[0]) == len(call.shapes[0]):
        return passing(call)
    return freezing(call, call.equation.name)


def passing(call: Call) -> list[Value]:
    """Pass each operand on."""
    return list(call.operands)


def freezing(call: Call, reason: str) -> list[Value]:
    """Freeze all axes of the operands and results."""
    for value in call.operands:
        for axis in value:
            call.ledger.freeze(axis, reason)
    return [[call.ledger.fixed(size, reason) for size in shape] for shape in call.shapes]


def transpose(call: Call) -> list[Value]:
    """Permute the axes."""
    return [[call.operands[0][k] for k in call.equation.params["permutation"]]]


def broadcast_in_dim(call: Call) -> list[Value]:
    """Place the axes; new or stretched axes follow any cut."""
    (shape,) = call.shapes
    result = [uniform(size) for size in shape]
    places = call.equation.params["broadcast_dimensions"]
    for axis, place in zip(call.operands[0], places, strict=True):
        if axis.shape[1] == shape[place]:
            result[place] = axis
        else:
            call.ledger.freeze(axis, "a single entry")
    return [result]


def squeeze(call: Call) -> list[Value]:
    """Drop axes of one entry and freeze them."""
    gone = {d % len(call.operands[0]) for d in call.equation.params["dimensions"]}
    for k in gone:
        call.ledger.freeze(call.operands[0][k], "a single entry")
    return [[axis for k, axis in enumerate(call.operands[0]) if k not in gone]]


def stack(call: Call) -> list[Value]:
    """Tie axes of the same place; the new axis, one entry for each operand, is fixed."""
    place = call.equation.params["axis"]
    (tied,) = elementwise(call._replace(shapes=[tuple(axis.shape[1] for axis in call.operands[0])]))
    return [[*tied[:place], call.fixed(len(call.operands)), *tied[place:]]]


def unstack(call: Call) -> list[Value]:
    """Split an axis into its entries and freeze it."""
    place = call.equation.params["axis"]
    call.fix(call.operands[0][place])
    rest = [axis for k, axis in enumerate(call.operands[0]) if k != place]
    return [rest for _ in call.shapes]


def reshape(call: Call) -> list[Value]:
    """Merge and split axes, block by block of equally many entries."""
    (shape,) = call.shapes
    if 0 in shape:
        return freezing(call, "reshape")
    old = []
    for axis in call.operands[0]:
        if axis.shape[1] > 1:
            old.append(axis)
        else:
            call.ledger.freeze(axis, "a single entry")
    places = [k for k, size in enumerate(shape) if size > 1]
    result = [uniform(size) for size in shape]
    while places:
        axes, new = [old.pop(0)], [places.pop(0)]
        have, want = axes[0].shape[1], shape[new[0]]
        while have != want:
            if have < want:
                axes.append(old.pop(0))
                have *= axes[-1].shape[1]
            else:
                new.append(places.pop(0))
                want *= shape[new[-1]]
        flat = axes[0] if len(axes) == 1 else merge(call.ledger, axes)
        parts = [flat] if len(new) == 1 else split(call.ledger, flat, [shape[k] for k in new])
        for place, part in zip(new, parts, strict=True):
            result[place] = part
    return [result]


def tile(call: Call) -> list[Value]:
    """Repeat whole axes."""
    reps = call.equation.params["reps"]
    return [
        [
            axis if times == 1 else merge(call.ledger, [uniform(times), axis])
            for times, axis in zip(reps, call.operands[0], strict=True)
        ]
    ]


def reduction(call: Call) -> list[Value]:
    """Drop the reduced axes; a reduction over units means that cutting changes the function."""
    axes = {a % max(len(call.operands[0]), 1) for a in call.equation.params["axes"]}
    for k in axes:
        call.ledger.mark_reduced(call.operands[0][k])
    return [[axis for k, axis in enumerate(call.operands[0]) if k not in axes]]


def arg_reduction(call: Call) -> list[Value]:
    """Drop the reduced axes and freeze them: results count their entries."""
    for k in call.equation.params["axes"]:
        call.fix(call.operands[0][k])
    return reduction(call)


def cumulative(call: Call) -> list[Value]:
    """Freeze the axis that is accumulated along."""
    axis = call.equation.params["axis"]
    return [[call.fix(a) if k == axis else a for k, a in enumerate(call.operands[0])]]


def cumsum(call: Call) -> list[Value]:
    """Pass all axes on: a removed entry adds nothing to those behind it.

    A value that is constant along the axis counts entries afterwards, and is frozen.
    """
    axis = call.operands[0][call.equation.params["axis"]]
    if (axis == UNIFORM).any():
        return cumulative(call)
    call.ledger.mark_reduced(axis)
    return passing(call)


def windows(call: Call) -> list[Value]:
    """Freeze the axes along which a window is wider than one entry or moves by more than one."""
    params = call.equation.params
    value, (shape, *_) = call.operands[0], call.shapes
    plain = [
        (width, stride, tuple(pad), base) == (1, 1, (0, 0), 1)
        for width, stride, pad, base in zip(
            params["window_dimensions"],
            params["window_strides"],
            params["padding"],
            params.get("base_dilation", (1,) * len(value)),
            strict=True,
        )
    ]
    arrays = call.operands[: max(len(call.operands) // 2, 1)]
    return [
        [a if keep else call.fix(a, n) for a, n, keep in zip(array, shape, plain, strict=True)]
        for array in arrays
    ]


def sort(call: Call) -> list[Value]:
    """Freeze the axis that is sorted along; tie the other axes of operands sorted together."""
    own = call.equation.params["dimension"]
    tied = [reduce(call.ledger.tie, axes) for axes in zip(*call.operands, strict=True)]
    return _without_rule(call, [tied] * len(call.shapes), {own})


def fft(call: Call) -> list[Value]:
    """Freeze the axes that are transformed."""
    rank = len(call.shapes[0])
    own = set(range(rank - len(call.equation.params["fft_lengths"]), rank))
    return _without_rule(call, call.operands[:1], own)


def top_k(call: Call) -> list[Value]:
    """Freeze the axis that is searched."""
    rank = len(call.shapes[0])
    own = {call.equation.params.get("axis", -1) % rank}
    return _without_rule(call, [call.operands[0]] * len(call.shapes), own)


def _without_rule(call: Call, values: Sequence[Value], own: set[int]) -> list[Value]:
    """Freeze the axes that the primitive works along, which have no rule; pass the others on."""
    reason = f"no rule for {call.equation.name}"
    for axis in (value[k] for value in values for k in own):
        call.ledger.freeze(axis, reason)
    return [
        [call.ledger.fixed(n, reason) if k in own else value[k] for k, n in enumerate(shape)]
        for value, shape in zip(values, call.shapes, strict=True)
    ]


def iota(call: Call) -> list[Value]:
    """Fix the axis that is counted along."""
    counted = call.equation.params["dimension"]
    return [[call.fixed(n) if k == counted else uniform(n) for k, n in enumerate(call.shapes[0])]]


SHAPES: dict[str, Rule] = {
    "arg_reduction": arg_reduction,
    "bitcast": bitcast,
    "broadcast": broadcast_in_dim,
    "cumsum": cumsum,
    "cumulative": cumulative,
    "elementwise": elementwise,
    "fft": fft,
    "iota": iota,
    "passing": passing,
    "reduction": reduction,
    "reshape": reshape,
    "sort": sort,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "top_k": top_k,
    "transpose": transpose,
    "unstack": unstack,
    "window": windows,
}
"""By kind, rules of elementwise primitives and of those that rearrange or reduce axes."""
