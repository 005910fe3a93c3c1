"""Running a program equation by equation, with replacements for some equations."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcompress.kinds import native
from jaxcompress.trace.loops import BODY, TEST, chosen, entering, leaving
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind
from jaxcompress.trees import PyTree

Key = tuple[int, ...]
"""The place of an equation: its number; in bodies, after the numbers of the loop and of the body.

`(3,)` is an equation of the function itself, `(3, 0, 5)` one of the first body of its equation 3.
"""


class Outcome(NamedTuple):
    """The replacement of an equation.

    Attributes:
        results: of the equation.
        seen: what was recorded, any arrays.
    """

    results: list[Any]
    seen: PyTree = None


Visit = Callable[[Key, Equation, list[Any]], Outcome | None]
"""From an equation and its operands to its replacement; None to compute it."""

Seen = dict[Key, PyTree]


def run(
    program: Program, inputs: Sequence[Any], visit: Visit, *, at: Key = ()
) -> tuple[list[Any], Seen]:
    """Run a program, visiting every equation, those of loops and branches too.

    Args:
        program: what to run.
        inputs: arrays, one for each input.
        visit: called before each equation that has no body.
        at: the place of the program itself.

    Returns:
        The results of the program, and the recorded arrays by equation; those of the body of a scan
        are stacked over its turns. Arrays recorded in `while` loops and in branches are lost.
    """
    known: dict[int, Any] = dict(zip(program.inputs, map(native, inputs), strict=True))

    def read(operand: Operand) -> Any:
        return operand.value if isinstance(operand, Constant) else known[operand]

    seen: Seen = {}
    for number, equation in enumerate(program.equations):
        key, operands = (*at, number), list(map(read, equation.operands))
        if equation.bodies:

            def body(which: int, given: Sequence[Any], key: Key = key) -> tuple[list[Any], Seen]:
                inner = program.equations[key[-1]].bodies[which]
                results, inside = run(inner, given, visit, at=(*key, which))
                return list(map(jnp.asarray, results)), inside

            results, inside = run_bodies(equation, body, operands)
            seen |= inside
        else:
            outcome = visit(key, equation, operands) or Outcome(bind(equation, operands))
            results = outcome.results
            if outcome.seen is not None:
                seen[key] = outcome.seen
        known.update(zip(equation.results, results, strict=True))
    return list(map(read, program.outputs)), seen


Body = Callable[[int, Sequence[Any]], tuple[list[Any], Any]]
"""`body(which, inputs) -> (results, seen)` runs a body of a loop or a branch on arrays."""


def run_bodies(
    equation: Equation, body: Body, operands: Sequence[Any], length: int | None = None
) -> tuple[list[Any], Any]:
    """Run a loop or branches whose bodies are run by a function.

    Args:
        equation: a scan, a while loop or a condition.
        body: runs one of its bodies.
        operands: of the equation.
        length: turns of a scan, if other than its own.

    Returns:
        The results, and what was recorded: of a scan stacked over its turns, of others nothing.
    """
    return _BODIES[equation.name](equation, body, operands, length)


def _scan(
    equation: Equation, body: Body, operands: Sequence[Any], length: int | None
) -> tuple[list[Any], Any]:
    length = equation.params["length"] if length is None else length
    given = entering(equation, 0, operands)

    def step(carry: list[Any], slices: list[Any]) -> tuple[list[Any], Any]:
        results, seen = body(0, [*given.constants, *carry, *slices])
        carry, stacked = leaving(equation, results)
        return carry, (stacked, seen)

    carry, (stacked, seen) = jax.lax.scan(
        step,
        list(map(jnp.asarray, given.carried)),
        jax.tree.map(lambda part: jnp.asarray(part)[:length], given.sliced),
        length=length,
        reverse=equation.params["reverse"],
    )
    return [*carry, *stacked], seen


def _while(
    equation: Equation, body: Body, operands: Sequence[Any], length: int | None
) -> tuple[list[Any], Any]:
    del length
    for_test, for_body = (entering(equation, which, operands) for which in (TEST, BODY))

    def test(state: list[Any]) -> Any:
        return body(TEST, [*for_test.constants, *state])[0][0]

    def step(state: list[Any]) -> list[Any]:
        goes_on, after = test(state), body(BODY, [*for_body.constants, *state])[0]
        if not goes_on.ndim:
            return after
        # Under `vmap` the loops of the lanes end at different turns.
        return [
            jnp.where(jnp.expand_dims(goes_on, tuple(range(goes_on.ndim, old.ndim))), new, old)
            for new, old in zip(after, state, strict=True)
        ]

    state = list(map(jnp.asarray, for_body.carried))
    return jax.lax.while_loop(lambda state: test(state).any(), step, state), {}


def _cond(
    equation: Equation, body: Body, operands: Sequence[Any], length: int | None
) -> tuple[list[Any], Any]:
    del length
    index, given = chosen(operands), entering(equation, 0, operands)
    branches = [lambda *given, k=k: body(k, given)[0] for k in range(len(equation.bodies))]
    return jax.lax.switch(jnp.asarray(index, jnp.int32), branches, *given.constants), {}


_BODIES: dict[str, Callable[..., tuple[list[Any], Any]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
