"""Running a program at full size with some of its units silenced."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.trace.cut import Cut
from jaxcompress.trace.program import Constant, Equation, Operand, Program
from jaxcompress.trace.rules import Value
from jaxcompress.trace.walk import Walk

_LOWEST = {"reduce_max": -1, "reduce_min": 1}
_NEUTRAL = {"reduce_prod": 1, "reduce_and": True}


def run_silenced(
    program: Program, walk: Walk, small: Program, cut: Cut, inputs: Sequence[Any]
) -> list[Any]:
    """Run a program with zeros in every removed entry of every value.

    Maxima, minima and products over an axis skip the removed entries. Numbers that the code wrote
    down, such as the `n` of a mean, are those of `small`, the same program traced at the smaller
    size: so statistics over an axis of units are those of the units that stay.
    """
    known: dict[int, Any] = {}

    def read(operand: Operand, other: Operand) -> Any:
        if not isinstance(operand, Constant):
            return known[operand]
        same = isinstance(other, Constant) and other.shape == operand.shape
        return other.value if same and isinstance(other, Constant) else operand.value

    for number, value in zip(program.inputs, inputs, strict=True):
        known[number] = _silence(value, walk.values[number], cut)
    for number, (equation, smaller) in enumerate(
        zip(program.equations, small.equations, strict=True)
    ):
        operands = list(map(read, equation.operands, smaller.operands))
        if equation.bodies:
            walks = walk.bodies[number]
            results = _run_bodies(equation, smaller, walks, cut, operands)
        else:
            first = equation.operands[0] if equation.operands else Constant(0)
            if not isinstance(first, Constant) and equation.name in {**_LOWEST, **_NEUTRAL}:
                fill = _neutral(equation.name, operands[0])
                operands[0] = _silence(operands[0], walk.values[first], cut, fill)
            results = equation.primitive.bind(*operands, **equation.params)
            if not equation.primitive.multiple_results:
                results = [results]
        for result, value in zip(equation.results, results, strict=True):
            known[result] = _silence(value, walk.values[result], cut)
    return list(map(read, program.outputs, small.outputs))


def _neutral(name: str, operand: Any) -> Any:
    if name in _NEUTRAL:
        return _NEUTRAL[name]
    if jnp.issubdtype(operand.dtype, jnp.floating):
        return _LOWEST[name] * np.inf
    if operand.dtype == bool:
        return _LOWEST[name] > 0
    limits = jnp.iinfo(operand.dtype)
    return limits.min if _LOWEST[name] < 0 else limits.max


def _silence(value: Any, axes: Value, cut: Cut, fill: Any = 0) -> Any:
    for k, axis in enumerate(axes):
        out = cut.gone(axis)
        if out.any():
            mask = out.reshape([-1 if j == k else 1 for j in range(len(axes))])
            value = jnp.where(mask, jnp.asarray(fill, value.dtype), value)
    return value


def _run_bodies(
    equation: Equation, smaller: Equation, walks: list[Walk], cut: Cut, operands: list[Any]
) -> list[Any]:
    def body(which: int, given: Sequence[Any]) -> list[Any]:
        results = run_silenced(
            equation.bodies[which], walks[which], smaller.bodies[which], cut, given
        )
        return list(map(jnp.asarray, results))

    params = equation.params
    if equation.name == "scan":
        fixed, carried = params["num_consts"], params["num_carry"]
        consts = operands[:fixed]

        def step(carry: list[Any], slices: list[Any]) -> tuple[list[Any], list[Any]]:
            results = body(0, [*consts, *carry, *slices])
            return results[:carried], results[carried:]

        carry, stacked = jax.lax.scan(
            step,
            list(map(jnp.asarray, operands[fixed : fixed + carried])),
            list(map(jnp.asarray, operands[fixed + carried :])),
            length=params["length"],
            reverse=params["reverse"],
        )
        return [*carry, *stacked]
    if equation.name == "while":
        first, second = params["cond_nconsts"], params["body_nconsts"]
        for_test, for_body = operands[:first], operands[first : first + second]
        return jax.lax.while_loop(
            lambda state: body(0, [*for_test, *state])[0],
            lambda state: body(1, [*for_body, *state]),
            list(map(jnp.asarray, operands[first + second :])),
        )
    index, *rest = operands
    branches = [lambda *given, k=k: body(k, given) for k in range(len(equation.bodies))]
    return jax.lax.switch(jnp.asarray(index, jnp.int32), branches, *rest)
