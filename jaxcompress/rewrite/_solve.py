"""Leaves solved for: which leaf, with which entries, gives an expression a wanted value."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcompress.rewrite.values import Values, close, wide
from jaxcompress.trace.moves import MOVES
from jaxcompress.trace.program import Constant, Equation, Operand
from jaxcompress.trees import is_floating


def solve(
    values: Values, operand: Operand, target: np.ndarray, among: frozenset[int]
) -> Values | None:
    """Return values with one changed leaf that gives an operand a wanted value.

    The leaf with the fewest operations between is changed. The result is checked: the operand
    must have the wanted value.

    Args:
        values: of the parameters.
        operand: depends on no input.
        target: the wanted value, of its shape.
        among: equations; a leaf that other equations read is not changed.

    Returns:
        `values` if the operand already has the value; None if there is no such leaf.
    """
    if np.array_equal(wide(values.value(operand)), target):
        return values
    for leaf, path in sorted(_paths(values, operand), key=lambda found: len(found[1])):
        if not (is_floating(values.leaves[leaf]) and values.readers(leaf) <= among):
            continue
        if (entries := _undo(values, path, target)) is None:
            continue
        solved = values.with_leaf(leaf, entries)
        found = solved.value(operand)
        if close(found, target, found.dtype, solved.leaves[leaf].dtype):
            return solved
    return None


def _paths(values: Values, operand: Operand) -> Iterator[tuple[int, list[tuple[Equation, int]]]]:
    """Yield leaves below an operand, with the equations between and the operand places in them."""
    if isinstance(operand, Constant):
        return
    if (leaf := values.leaf(operand)) is not None:
        yield leaf, []
        return
    maker = values.maker(operand)
    if maker.name in INVERSES or (maker.name in MOVES and not maker.bodies):
        for place, lower in enumerate(maker.operands):
            for leaf, path in _paths(values, lower):
                yield leaf, [(maker, place), *path]


def _undo(
    values: Values, path: Sequence[tuple[Equation, int]], target: np.ndarray
) -> np.ndarray | None:
    """Return the entries of a leaf that give the wanted result; None if ranks differ."""
    for equation, place in path:
        given = [wide(values.value(operand)) for operand in equation.operands]
        old = given[place]
        with np.errstate(all="ignore"):
            if equation.name in MOVES:
                new = old.copy()
                index = np.arange(old.size).reshape(old.shape)
                new.reshape(-1)[MOVES[equation.name](index, equation.params)] = target
            else:
                new = INVERSES[equation.name](target, given, place, equation.params)
        if new.ndim != old.ndim:
            return None
        new = new[tuple(slice(1) if size == 1 else slice(None) for size in old.shape)]
        # Where the operand does not matter, as beside a factor of 0, it is kept.
        target = np.where(np.isfinite(new), new, old)
    return target


Inverse = Callable[[np.ndarray, Sequence[np.ndarray], int, Mapping[str, Any]], np.ndarray]
"""From a result, the operands, the place of one and the parameters to the value of this one."""

INVERSES: dict[str, Inverse] = {
    "add": lambda result, given, place, _: result - given[1 - place],
    "sub": lambda result, given, place, _: result + given[1] if place == 0 else given[0] - result,
    "mul": lambda result, given, place, _: result / given[1 - place],
    "div": lambda result, given, place, _: result * given[1] if place == 0 else given[0] / result,
    "neg": lambda result, *_: -result,
    "rsqrt": lambda result, *_: result**-2.0,
    "sqrt": lambda result, *_: result**2.0,
    "square": lambda result, *_: np.sqrt(result),
    "integer_pow": lambda result, given, place, params: result ** (1 / params["y"]),
    "exp": lambda result, *_: np.log(result),
}
"""Primitives that can be undone for one of their operands."""
