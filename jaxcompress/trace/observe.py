"""Running a program and looking at what its products read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcompress.trace.ledger import Axis
from jaxcompress.trace.program import Constant, Equation, Operand, Program
from jaxcompress.trace.walk import Walk
from jaxcompress.trees import PyTree

Look = Callable[[Any, int, Axis], PyTree]
"""From a value, the axis along which a product sums it, and the axis's ids, to arrays."""


def _dot_general(equation: Equation) -> list[tuple[int, int]]:
    (left, right), _ = equation.params["dimension_numbers"]
    return [*((0, axis) for axis in left), *((1, axis) for axis in right)]


def _convolution(equation: Equation) -> list[tuple[int, int]]:
    return [(0, equation.params["dimension_numbers"].lhs_spec[1])]


READS: dict[str, Callable[[Equation], list[tuple[int, int]]]] = {
    "dot_general": _dot_general,
    "conv_general_dilated": _convolution,
}
"""Of each product the operands that it sums, and along which axes."""


def run_observed(
    program: Program, walk: Walk, inputs: Sequence[Any], given: Sequence[bool], look: Look
) -> tuple[list[Any], list[PyTree]]:
    """Run a program and look at each operand of a product that depends on some inputs.

    What the body of a scan sees is the mean over its turns; other loops and branches are run
    without looking.

    Args:
        program: what to run.
        walk: ids of its values.
        inputs: arrays.
        given: by input whether what depends on it is looked at.
        look: what to take down.

    Returns:
        What the program returns, and what was seen, one entry a look.
    """
    known: dict[int, Any] = dict(zip(program.inputs, inputs, strict=True))
    depends: dict[int, bool] = dict(zip(program.inputs, given, strict=True))
    seen: list[PyTree] = []
    for number, equation in enumerate(program.equations):
        operands = [_read(operand, known) for operand in equation.operands]
        flags = [_depends(operand, depends) for operand in equation.operands]
        for place, axis in READS.get(equation.name, lambda _: [])(equation):
            operand = equation.operands[place]
            if flags[place] and not isinstance(operand, Constant):
                seen.append(look(operands[place], axis, walk.values[operand][axis]))
        if equation.name == "scan" and equation.params["length"]:
            results, more = _scan(equation, walk.bodies[number][0], operands, flags, look)
            seen += more
        else:
            results = equation.primitive.bind(*operands, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        known.update(zip(equation.results, results, strict=True))
        depends.update(dict.fromkeys(equation.results, any(flags)))
    return [_read(output, known) for output in program.outputs], seen


def _read(operand: Operand, known: Mapping[int, Any]) -> Any:
    return operand.value if isinstance(operand, Constant) else known[operand]


def _depends(operand: Operand, depends: Mapping[int, bool]) -> bool:
    return not isinstance(operand, Constant) and depends[operand]


def _scan(
    equation: Equation, walk: Walk, operands: Sequence[Any], flags: Sequence[bool], look: Look
) -> tuple[list[Any], list[PyTree]]:
    params, (body,) = equation.params, equation.bodies
    fixed, carried = params["num_consts"], params["num_carry"]
    # What is carried over depends on what any turn before gave.
    flags = list(flags)
    for _ in range(carried):
        after = _flags_after(body, flags)[:carried]
        flags[fixed : fixed + carried] = [
            a or b for a, b in zip(flags[fixed : fixed + carried], after, strict=True)
        ]

    def step(carry: list[Any], slices: list[Any]) -> tuple[list[Any], Any]:
        inputs = [*operands[:fixed], *carry, *slices]
        results, seen = run_observed(body, walk, inputs, flags, look)
        results = list(map(jnp.asarray, results))
        return results[:carried], (results[carried:], seen)

    carry, (stacked, seen) = jax.lax.scan(
        step,
        list(map(jnp.asarray, operands[fixed : fixed + carried])),
        list(map(jnp.asarray, operands[fixed + carried :])),
        length=params["length"],
        reverse=params["reverse"],
    )
    return [*carry, *stacked], jax.tree.map(lambda turns: turns.mean(axis=0), seen)


def _flags_after(program: Program, given: Sequence[bool]) -> list[bool]:
    """Return for each output whether it depends on inputs that were given."""
    depends = dict(zip(program.inputs, given, strict=True))
    for equation in program.equations:
        flag = any(_depends(operand, depends) for operand in equation.operands)
        depends.update(dict.fromkeys(equation.results, flag))
    return [_depends(output, depends) for output in program.outputs]
