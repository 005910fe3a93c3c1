"""Whether a program takes other numbers from its sizes when it is traced for fewer units."""

from typing import Any

import numpy as np

from jaxcompress.trace.program import Constant, Operand, Program


def same_numbers(full: Program, small: Program) -> bool:
    """Return whether silenced units of the full program do what a cut does.

    They do not where the code computes with a size: `1 / sqrt(d)` of attention, or ones that are
    counted. Such numbers are constants, or follow from constants alone; where any of these differs
    in value or shape, the answer is no.

    Example:
        >>> from jaxcompress.trace.program import trace
        >>> apply = lambda w, x: x @ w / w.shape[0]
        >>> one, two = (trace(apply, np.ones(n), np.ones((3, n))) for n in (1, 2))
        >>> same_numbers(one, one), same_numbers(one, two)
        (True, False)
    """
    if len(full.equations) != len(small.equations):
        return False
    fixed: set[int] = set()  # values that follow from constants alone

    def is_fixed(operand: Operand) -> bool:
        return isinstance(operand, Constant) or operand in fixed

    for one, other in zip(full.equations, small.equations, strict=True):
        if one.name != other.name or one.params.get("length") != other.params.get("length"):
            return False
        if not all(map(_same, one.operands, other.operands)):
            return False
        if not all(map(same_numbers, one.bodies, other.bodies)):
            return False
        if all(map(is_fixed, one.operands)) and not one.bodies:
            fixed.update(one.results)
            if any(map(_differ, map(full.shape, one.results), map(small.shape, other.results))):
                return False
    return all(map(_same, full.outputs, small.outputs))


def _same(one: Operand, other: Operand) -> bool:
    if isinstance(one, Constant) and isinstance(other, Constant):
        return np.array_equal(np.asarray(one.value), np.asarray(other.value))
    return isinstance(one, Constant) == isinstance(other, Constant)


def _differ(one: Any, other: Any) -> bool:
    return one != other
