"""Equations rewritten for jax2onnx and ONNX Runtime, those in loops and branches included."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.onnx._rules import RULES
from jaxcompress.trace.inputs import shell
from jaxcompress.trace.loops import BODIES, chosen, entering, with_bodies
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind


def lower(equation: Equation, operands: list[Any], shapes: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the results of an equation, rewritten with other primitives where a rule does so.

    Args:
        equation: of a program.
        operands: at least one of them is traced.
        shapes: of the results; sizes may be symbolic.
    """
    if _has_many_branches(equation):
        return _two_by_two(equation, operands)
    if equation.bodies:
        return bind(_with_lowered_bodies(equation), operands)
    if equation.name in RULES:
        arrays = [x if hasattr(x, "shape") else np.asarray(x, jnp.result_type(x)) for x in operands]
        simpler = RULES[equation.name](equation, arrays, *shapes)
        if simpler is not None:
            return [simpler]
    return bind(equation, operands)


def _has_many_branches(equation: Equation) -> bool:
    return equation.name == "cond" and len(equation.bodies) > 2


def _two_by_two(equation: Equation, operands: list[Any]) -> list[Any]:
    """Return branches as nested conditions of two branches each."""
    index = chosen(operands)

    def choose(first: int, *given: Any) -> list[Any]:
        if first + 1 == len(equation.bodies):
            return _run(equation.bodies[first], given)
        return jax.lax.cond(
            index <= first,
            lambda *given: _run(equation.bodies[first], given),
            lambda *given: choose(first + 1, *given),
            *given,
        )

    return choose(0, *entering(equation, 0, operands).constants)


def _with_lowered_bodies(equation: Equation) -> Equation:
    """Return a loop or branches with other jaxprs of the same types."""
    jaxprs = []
    for body, jaxpr in zip(equation.bodies, BODIES[equation.name](equation.params), strict=True):
        run = jax.make_jaxpr(lambda *given, body=body: _run(body, given))
        jaxprs.append(run(*map(shell, jaxpr.in_avals)))
    return replace(equation, params=with_bodies(equation, jaxprs))


def _run(program: Program, inputs: Sequence[Any]) -> list[Any]:
    known: dict[Any, Any] = dict(zip(program.inputs, inputs, strict=True))

    def read(operand: Operand) -> Any:
        return operand.value if isinstance(operand, Constant) else known[operand]

    for equation in program.equations:
        shapes = [program.shapes[value] for value in equation.results]
        results = lower(equation, list(map(read, equation.operands)), shapes)
        known.update(zip(equation.results, results, strict=True))
    return list(map(jnp.asarray, map(read, program.outputs)))
