"""Which entries of its inputs the results of a program depend on, axis by axis.

The walk goes backwards from the results. It keeps one mask for each axis of a value: an entry is
used if any number with its index is used. All operands of a primitive without a rule are used.
"""

from collections.abc import Callable, Sequence

import numpy as np

from jaxcompress.trace.loops import (
    BODY,
    TEST,
    Entering,
    as_operands,
    chosen,
    entering,
    leaving,
)
from jaxcompress.trace.primitives import kind_of
from jaxcompress.trace.program import Constant, Equation, Operand, Program
from jaxcompress.units._known import Known
from jaxcompress.units._usage_parts import PARTS
from jaxcompress.units._usage_rules import (
    NUMBERS,
    Look,
    Rule,
    Used,
    all_operands,
    either,
    everything,
)

RULES: dict[str, Rule] = {**NUMBERS, **PARTS}
"""All rules except those of loops and branches; without a rule all operands are used."""


def used_inputs(program: Program) -> list[Used]:
    """Return what the results of a program use of its inputs."""
    return _used(program, [everything(program.shape(output)) for output in program.outputs])


def _used(program: Program, results: Sequence[Used]) -> list[Used]:
    found: dict[int, Used] = {}

    def use(operand: Operand, used: Used) -> None:
        empty = used is None or any(mask.size and not mask.any() for mask in used)
        if not isinstance(operand, Constant) and not empty:
            found[operand] = either(found.get(operand), used)

    for output, used in zip(program.outputs, results, strict=True):
        use(output, used)
    known = Known(program)
    for equation in reversed(program.equations):
        behind = [found.get(result) for result in equation.results]
        if all(used is None for used in behind):
            continue
        before: Sequence[Used]
        if equation.name in _LOOPS:
            before = _LOOPS[equation.name](program, equation, behind)
        else:
            rule = RULES.get(kind_of(equation.name), all_operands)
            before = rule(Look(program, known, equation, behind))
        for operand, used in zip(equation.operands, before, strict=True):
            use(operand, used)
    return [found.get(value) for value in program.inputs]


def _scan(program: Program, equation: Equation, results: list[Used]) -> list[Used]:
    """Return what the body uses in any iteration; of the scanned axis all entries."""
    (body,), given = equation.bodies, entering(equation, 0, equation.operands)
    carry, stacked = leaving(equation, results)
    slices = [None if used is None else used[1:] for used in stacked]
    before = _until_steady(carry, lambda carry: given.like(_used(body, [*carry, *slices])))
    turns = everything((equation.params["length"],))
    along = [None if used is None else [*turns, *used] for used in before.sliced]
    return as_operands(before._replace(sliced=along))


def _while(program: Program, equation: Equation, results: list[Used]) -> list[Used]:
    """Return what the test and the body use in any iteration."""
    test, body = equation.bodies
    for_test, for_body = (entering(equation, which, equation.operands) for which in (TEST, BODY))
    tested = for_test.like(used_inputs(test))
    carry = [either(*pair) for pair in zip(results, tested.carried, strict=True)]
    before = _until_steady(carry, lambda carry: for_body.like(_used(body, carry)))
    return as_operands(tested, before)


def _until_steady(
    carry: list[Used], turn: Callable[[list[Used]], Entering[Used]]
) -> Entering[Used]:
    """Return what one iteration uses once no iteration uses more of the carried values."""
    while True:
        before = turn(carry)
        after = [either(*pair) for pair in zip(carry, before.carried, strict=True)]
        if list(map(_count, after)) == list(map(_count, carry)):
            return before._replace(carried=after)
        carry = after


def _count(used: Used) -> tuple[int, ...] | None:
    """Return a count that grows when more is used."""
    return None if used is None else tuple(int(mask.sum()) for mask in used)


def _cond(program: Program, equation: Equation, results: list[Used]) -> list[Used]:
    """Return what any branch uses, and the number of the branch."""
    first, *others = [_used(body, results) for body in equation.bodies]
    for found in others:
        first = [either(*pair) for pair in zip(first, found, strict=True)]
    return [everything(program.shape(chosen(equation.operands))), *first]


_LOOPS: dict[str, Callable[[Program, Equation, list[Used]], list[Used]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}


def partly_used(ids: np.ndarray, masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return which units are kept because examples use a part of an axis of a parameter.

    If there are several examples and all use the same part, its units may be removed. Otherwise
    each entry that some example does not use is kept. So is a unit of several entries that are all
    used: with another example it may have more entries among the unused ones. A unit with used and
    unused entries, such as a place in heads of which some are unused, may be removed from all.

    Args:
        ids: `[layers, n]` units of the axis, negative where there are none.
        masks: `[n]` booleans for each example that uses the parameter, what it uses.

    Returns:
        Units of entries that are kept, and further units that are kept because of them.
    """
    first, *others = masks
    unread = ~np.all(masks, axis=0)
    if not unread.any() or (others and all(np.array_equal(first, mask) for mask in others)):
        return np.zeros(0, int), np.zeros(0, int)
    size = int(ids.max(initial=-1)) + 2
    ids = np.where(ids >= 0, ids, size - 1)  # the last is for entries without a unit
    read, idle = (
        np.bincount(ids[:, entries].ravel(), minlength=size) for entries in (~unread, unread)
    )
    dead = (idle > 0) & (read == 0)
    dead[-1] = False
    orphans = unread & ~dead[ids].any(axis=0)
    dead[np.unique(ids[:, orphans])] = True
    dead[-1] = False
    beside = (read > 1) & (idle == 0)
    beside[-1] = False
    return np.flatnonzero(dead), np.flatnonzero(beside)
