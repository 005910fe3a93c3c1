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


class Step(NamedTuple):
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


Rule = Callable[[Step], list[Value]]


def elementwise(step: Step) -> list[Value]:
    """Tie axes of the same place; scalars and axes of one entry follow the others."""
    (shape,) = step.shapes
    result = []
    for k, size in enumerate(shape):
        axes = [value[k] for value in step.operands if len(value) == len(shape)]
        full = [axis for axis in axes if axis.shape[1] == size]
        for axis in axes:
            if axis.shape[1] != size:
                step.ledger.freeze(axis, "a single entry")
        result.append(reduce(step.ledger.tie, full) if full else uniform(size))
    return [result]


def bitcast(step: Step) -> list[Value]:
    """Pass the axes on, unless an axis of bits is added or dropped."""
    if len(step.operands[0]) == len(step.shapes[0]):
        return passing(step)
    return freezing(step, step.equation.name)


def passing(step: Step) -> list[Value]:
    """Pass each operand on."""
    return list(step.operands)


def freezing(step: Step, reason: str) -> list[Value]:
    """Freeze all axes of the operands and results."""
    for value in step.operands:
        for axis in value:
            step.ledger.freeze(axis, reason)
    return [[step.ledger.fixed(size, reason) for size in shape] for shape in step.shapes]


def transpose(step: Step) -> list[Value]:
    """Permute the axes."""
    return [[step.operands[0][k] for k in step.equation.params["permutation"]]]


def broadcast_in_dim(step: Step) -> list[Value]:
    """Place the axes; new or stretched axes follow any cut."""
    (shape,) = step.shapes
    result = [uniform(size) for size in shape]
    places = step.equation.params["broadcast_dimensions"]
    for axis, place in zip(step.operands[0], places, strict=True):
        if axis.shape[1] == shape[place]:
            result[place] = axis
        else:
            step.ledger.freeze(axis, "a single entry")
    return [result]


def squeeze(step: Step) -> list[Value]:
    """Drop axes of one entry and freeze them."""
    gone = {d % len(step.operands[0]) for d in step.equation.params["dimensions"]}
    for k in gone:
        step.ledger.freeze(step.operands[0][k], "a single entry")
    return [[axis for k, axis in enumerate(step.operands[0]) if k not in gone]]


def stack(step: Step) -> list[Value]:
    """Tie axes of the same place; the new axis, one entry for each operand, is fixed."""
    place = step.equation.params["axis"]
    (tied,) = elementwise(step._replace(shapes=[tuple(axis.shape[1] for axis in step.operands[0])]))
    return [[*tied[:place], step.fixed(len(step.operands)), *tied[place:]]]


def unstack(step: Step) -> list[Value]:
    """Split an axis into its entries and freeze it."""
    place = step.equation.params["axis"]
    step.fix(step.operands[0][place])
    rest = [axis for k, axis in enumerate(step.operands[0]) if k != place]
    return [rest for _ in step.shapes]


def reshape(step: Step) -> list[Value]:
    """Merge and split axes, block by block of equally many entries."""
    (shape,) = step.shapes
    if 0 in shape:
        return freezing(step, "reshape")
    old = []
    for axis in step.operands[0]:
        if axis.shape[1] > 1:
            old.append(axis)
        else:
            step.ledger.freeze(axis, "a single entry")
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
        flat = axes[0] if len(axes) == 1 else merge(step.ledger, axes)
        parts = [flat] if len(new) == 1 else split(step.ledger, flat, [shape[k] for k in new])
        for place, part in zip(new, parts, strict=True):
            result[place] = part
    return [result]


def tile(step: Step) -> list[Value]:
    """Repeat whole axes."""
    reps = step.equation.params["reps"]
    return [
        [
            axis if times == 1 else merge(step.ledger, [uniform(times), axis])
            for times, axis in zip(reps, step.operands[0], strict=True)
        ]
    ]


def reduction(step: Step) -> list[Value]:
    """Drop the reduced axes; a reduction over units means that cutting changes the function."""
    axes = {a % max(len(step.operands[0]), 1) for a in step.equation.params["axes"]}
    for k in axes:
        step.ledger.mark_reduced(step.operands[0][k])
    return [[axis for k, axis in enumerate(step.operands[0]) if k not in axes]]


def arg_reduction(step: Step) -> list[Value]:
    """Drop the reduced axes and freeze them: results count their entries."""
    for k in step.equation.params["axes"]:
        step.fix(step.operands[0][k])
    return reduction(step)


def cumulative(step: Step) -> list[Value]:
    """Freeze the axis that is accumulated along."""
    axis = step.equation.params["axis"]
    return [[step.fix(a) if k == axis else a for k, a in enumerate(step.operands[0])]]


def cumsum(step: Step) -> list[Value]:
    """Pass all axes on: a removed entry adds nothing to those behind it.

    A value that is constant along the axis counts entries afterwards, and is frozen.
    """
    axis = step.operands[0][step.equation.params["axis"]]
    if (axis == UNIFORM).any():
        return cumulative(step)
    step.ledger.mark_reduced(axis)
    return passing(step)


def windows(step: Step) -> list[Value]:
    """Freeze the axes along which a window is wider than one entry or moves by more than one."""
    params = step.equation.params
    value, (shape, *_) = step.operands[0], step.shapes
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
    arrays = step.operands[: max(len(step.operands) // 2, 1)]
    return [
        [a if keep else step.fix(a, n) for a, n, keep in zip(array, shape, plain, strict=True)]
        for array in arrays
    ]


def sort(step: Step) -> list[Value]:
    """Freeze the axis that is sorted along; tie the other axes of operands sorted together."""
    own = step.equation.params["dimension"]
    tied = [reduce(step.ledger.tie, axes) for axes in zip(*step.operands, strict=True)]
    return _without_rule(step, [tied] * len(step.shapes), {own})


def fft(step: Step) -> list[Value]:
    """Freeze the axes that are transformed."""
    rank = len(step.shapes[0])
    own = set(range(rank - len(step.equation.params["fft_lengths"]), rank))
    return _without_rule(step, step.operands[:1], own)


def top_k(step: Step) -> list[Value]:
    """Freeze the axis that is searched."""
    rank = len(step.shapes[0])
    own = {step.equation.params.get("axis", -1) % rank}
    return _without_rule(step, [step.operands[0]] * len(step.shapes), own)


def _without_rule(step: Step, values: Sequence[Value], own: set[int]) -> list[Value]:
    """Freeze the axes that the primitive works along, which have no rule; pass the others on."""
    reason = f"no rule for {step.equation.name}"
    for axis in (value[k] for value in values for k in own):
        step.ledger.freeze(axis, reason)
    return [
        [step.ledger.fixed(n, reason) if k in own else value[k] for k, n in enumerate(shape)]
        for value, shape in zip(values, step.shapes, strict=True)
    ]


def iota(step: Step) -> list[Value]:
    """Fix the axis that is counted along."""
    counted = step.equation.params["dimension"]
    return [[step.fixed(n) if k == counted else uniform(n) for k, n in enumerate(step.shapes[0])]]


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
