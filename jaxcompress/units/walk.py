"""Walking a program: which entries of which values are removed together."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from jaxcompress.trace.loops import BODY, TEST, entering
from jaxcompress.trace.primitives import kind_of
from jaxcompress.trace.program import Constant, Operand, Program
from jaxcompress.units._rules import SHAPES, Call, Rule, Value, freezing
from jaxcompress.units._rules_indexing import PARTS
from jaxcompress.units._rules_products import PRODUCTS
from jaxcompress.units._usage import Used, partly_used, used_inputs
from jaxcompress.units.dependencies import Axis, Hint, Ledger, Solution, trim, uniform

MOST_WALKS = 8
"""Most walks that may part nodes; each parts at least one node, two walks are typical."""

_MOST_TURNS = 8

RULES: dict[str, Rule] = {**SHAPES, **PARTS, **PRODUCTS}
"""All rules by kind of primitive, except those of loops and branches."""


class Walk(NamedTuple):
    """The ids of all values of a program.

    Attributes:
        values: by number of the value, the ids of each axis.
        bodies: of loops and branches, by number of the equation.
    """

    values: list[Value]
    bodies: "dict[int, list[Walk]]"


class Units(NamedTuple):
    """What walking a function found.

    Attributes:
        program: the function.
        walk: ids of all values.
        slots: `(leaf, axis)` of each axis of each parameter.
        axes: ids of each slot.
        solution: which ids are removed together, which are frozen and why.
        others: program and walk of each further example.
    """

    program: Program
    walk: Walk
    slots: list[tuple[int, int]]
    axes: list[Axis]
    solution: Solution
    others: list[tuple[Program, Walk]] = []


def find_units(
    program: Program,
    whole: Sequence[bool],
    *,
    part: bool = True,
    others: Sequence[Program] = (),
) -> Units:
    """Walk a program whose first inputs are parameters.

    Args:
        program: what to walk.
        whole: for each parameter whether it is frozen.
        part: whether an axis may have two kinds of units, `[heads * width]` heads and places in
            them; otherwise the units of an axis that is split are those of its first part.
        others: the same function with other inputs. Entries that are removed together in one of
            them always are; entries that are frozen in one of them always are.
    """
    slots = [
        (leaf, axis)
        for leaf, frozen in enumerate(whole)
        if not frozen
        for axis in range(len(program.shapes[program.inputs[leaf]]))
    ]
    sizes = [program.shapes[program.inputs[leaf]][axis] for leaf, axis in slots]
    ends = np.cumsum([0, *sizes])
    labels = np.arange(ends[-1])[None]
    usages = [used_inputs(one) for one in (program, *others)]
    walks = 0
    while True:
        walks += 1
        ledger = Ledger()
        labels = _renumber(ledger, labels)
        if not part or walks == MOST_WALKS:
            ledger.whole[:] = False
        axes = [
            trim(labels[:, start : start + size]) if size > 1 else uniform(size)
            for start, size in zip(ends, sizes, strict=False)
        ]
        known = dict(zip(slots, axes, strict=True))
        walk, *more = [_walk_all(ledger, one, known) for one in (program, *others)]
        if not ledger.hints:
            solution = _with_unused(ledger.solve(), usages, slots, axes)
            return Units(program, walk, slots, axes, solution, list(zip(others, more, strict=True)))
        labels = _part(labels, ledger.hints)


NOT_USED = "not used by this example: pass others= of other sizes"
"""Why entries of an axis are kept if results depend on a part of it."""

NOT_BY_ALL = "not used by every example"
"""The same if there are several examples."""


def _with_unused(
    solution: Solution,
    usages: Sequence[Sequence[Used]],
    slots: list[tuple[int, int]],
    axes: list[Axis],
) -> Solution:
    """Freeze entries on which no result depends.

    Parameters that no example uses are frozen unless their units have used entries elsewhere; of
    an axis that is used in part, the units of unused entries are frozen.
    """
    alive = np.zeros(solution.components, bool)
    here, unread, beside = alive.copy(), alive.copy(), alive.copy()
    for (leaf, k), axis in zip(slots, axes, strict=True):
        units = np.where(axis >= 0, solution.component[axis], -1)
        here[units[units >= 0]] = True
        masks = [mine[k] for used in usages if (mine := used[leaf]) is not None]
        if masks:
            alive[units[units >= 0]] = True
            for frozen, mine in zip((unread, beside), partly_used(units, masks), strict=True):
                frozen[mine] = True
    why = NOT_USED if len(usages) == 1 else NOT_BY_ALL
    reasons = {"unused": here & ~alive, why: unread, f"beside what is {why}": beside & ~unread}
    more = [(why, np.flatnonzero(mask)) for why, mask in reasons.items() if mask.any()]
    return solution._replace(frozen=[*solution.frozen, *more])


def _renumber(ledger: Ledger, labels: np.ndarray) -> np.ndarray:
    """Return `[layers, entries]` nodes, new ones for each label."""
    used = labels >= 0
    names, nodes, times = np.unique(labels[used], return_inverse=True, return_counts=True)
    ledger.fresh(len(names))
    result = np.full(labels.shape, ledger.code("merged axes"))
    result[used] = nodes
    # Only a node that is one entry, and that entry's only one, can be parted.
    single = used.sum(axis=0) == 1
    ledger.whole = times == 1
    ledger.whole[result[:, ~single][used[:, ~single]]] = False
    return result


def _part(nodes: np.ndarray, hints: Sequence[Hint]) -> np.ndarray:
    """Return labels in which each hint replaces its nodes by one for each layer."""
    layers = max(len(nodes), *(len(hint.labels) for hint in hints))
    result = np.full((layers, nodes.shape[1]), -1)
    result[: len(nodes)] = np.maximum(nodes, -1)
    count = int(nodes.max()) + 1
    place = np.zeros(count, int)
    used = nodes >= 0
    place[nodes[used]] = np.broadcast_to(np.arange(nodes.shape[1]), nodes.shape)[used]
    for hint in hints:
        entries = place[hint.nodes]
        result[:, entries] = -1
        for layer, labels in enumerate(hint.labels):
            result[layer, entries] = count + labels
            count += int(labels.max()) + 1
    return result


def _walk_all(ledger: Ledger, program: Program, axes: dict[tuple[int, int], Axis]) -> Walk:
    inputs: list[Value] = []
    for number, value in enumerate(program.inputs):
        shape = program.shapes[value]
        inputs.append(
            [axes.get((number, k), ledger.fixed(size, "an input")) for k, size in enumerate(shape)]
        )
    walk = _walk(ledger, program, inputs)
    for output in program.outputs:
        if not isinstance(output, Constant):
            for axis in walk.values[output]:
                ledger.freeze(axis, "an output")
    return walk


def _walk(ledger: Ledger, program: Program, inputs: Sequence[Value]) -> Walk:
    values: list[Value] = [[] for _ in program.shapes]
    bodies: dict[int, list[Walk]] = {}
    for number, value in zip(program.inputs, inputs, strict=True):
        values[number] = value
    for number, equation in enumerate(program.equations):
        operands = [_axes(ledger, operand, values) for operand in equation.operands]
        call = Call(ledger, equation, operands, [program.shapes[r] for r in equation.results])
        if equation.name in LOOPS:
            results, bodies[number] = LOOPS[equation.name](call)
        elif (rule := RULES.get(kind_of(equation.name))) is not None:
            results = rule(call)
        else:
            results = freezing(call, f"no rule for {equation.name}")
        for result, value in zip(equation.results, results, strict=True):
            values[result] = value
    return Walk(values, bodies)


def _axes(ledger: Ledger, operand: Operand, values: list[Value]) -> Value:
    if isinstance(operand, Constant):
        return [
            ledger.fixed(size, "a constant") if size > 1 else uniform(size)
            for size in operand.shape
        ]
    return values[operand]


def outputs(program: Program, walk: Walk, ledger: Ledger) -> list[Value]:
    """Return the ids of what a program returns."""
    return [_axes(ledger, output, walk.values) for output in program.outputs]


def _scan(call: Call) -> tuple[list[Value], list[Walk]]:
    """Tie carried values; freeze the scanned axis."""
    ledger, (body,) = call.ledger, call.equation.bodies
    constants, carry, stacked = entering(call.equation, 0, call.operands)
    for value in stacked:
        ledger.freeze(value[0], "scan")
    slices = [value[1:] for value in stacked]
    walk, carry, results = _until_steady(
        ledger, body, carry, lambda state: [*constants, *state, *slices]
    )
    length = call.equation.params["length"]
    return [*carry, *([ledger.fixed(length, "scan"), *v] for v in results)], [walk]


def _while(call: Call) -> tuple[list[Value], list[Walk]]:
    """Tie carried values."""
    test, body = call.equation.bodies
    for_test, for_body = (entering(call.equation, k, call.operands) for k in (TEST, BODY))
    walk, carry, _ = _until_steady(
        call.ledger, body, for_body.carried, lambda state: [*for_body.constants, *state]
    )
    return carry, [_walk(call.ledger, test, [*for_test.constants, *carry]), walk]


def _until_steady(
    ledger: Ledger,
    body: Program,
    carry: list[Value],
    inputs: Callable[[list[Value]], list[Value]],
) -> tuple[Walk, list[Value], list[Value]]:
    """Walk a body until its carried values come out with the ids with which they came in."""
    turns = 0
    while True:
        turns += 1
        walk = _walk(ledger, body, inputs(carry))
        results = outputs(body, walk, ledger)
        behind, stacked = results[: len(carry)], results[len(carry) :]
        after = [list(map(ledger.tie, *pair)) for pair in zip(carry, behind, strict=True)]
        if turns == _MOST_TURNS:
            for axis in chain(*after):
                ledger.freeze(axis, "loop")
        if turns == _MOST_TURNS or all(map(np.array_equal, chain(*carry), chain(*after))):
            return walk, carry, stacked
        carry = after


def _cond(call: Call) -> tuple[list[Value], list[Walk]]:
    """Tie the results of all branches."""
    ledger = call.ledger
    operands = entering(call.equation, 0, call.operands).constants
    walks = [_walk(ledger, body, operands) for body in call.equation.bodies]
    first, *others = [
        outputs(body, walk, ledger) for body, walk in zip(call.equation.bodies, walks, strict=True)
    ]
    for results in others:
        first = [
            [ledger.tie(a, b) for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(first, results, strict=True)
        ]
    return first, walks


LOOPS: dict[str, Callable[[Call], tuple[list[Value], list[Walk]]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
"""Rules of loops and branches, which also give the walks of their bodies."""
