"""Coded weights in a program: each is decoded where it is used, and not before."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import jax

from jaxcompress.execution._thin import stacked_layers
from jaxcompress.leaves import Coded, LowRank, is_compressed
from jaxcompress.trace.moves import MOVES
from jaxcompress.trace.program import Constant, Equation, Program, bind
from jaxcompress.trace.run import Key
from jaxcompress.trees import Array


@dataclass(frozen=True)
class Waiting:
    """A coded weight that is moved or converted first, and decoded where it meets another array.

    Attributes:
        leaf: the weight.
        equations: that its array goes through, in order.
    """

    leaf: Coded
    equations: tuple[Equation, ...] = ()

    def array(self, after: Sequence[Array]) -> Array:
        """Return the result of the equations, decoded not before other arrays are known."""
        result = self.leaf.dense_after(after)
        for equation in self.equations:
            (result,) = bind(equation, [result])
        return result


class Decoder:
    """Decodes the coded weights of a program, one after the other.

    A weight waits for the result of the equation with the coded weight before it, so that two
    weights are in memory only if one equation has both. The first of a function, loop or branch
    waits for the other operands of its equation. If all did, more activations would be in memory.
    """

    def __init__(self, program: Program) -> None:
        self._last: dict[Key, tuple[int, Sequence[Array]]] = {}
        self._arrays = {
            operand for operand in _needed(program) if not isinstance(operand, Constant)
        }

    def waits(self, key: Key, equation: Equation, operands: Sequence[Any]) -> Waiting | None:
        """Return the result of an equation that only moves or converts a coded weight.

        Args:
            key: place of the equation; in loops and branches weights do not wait so.
            equation: of any kind without bodies.
            operands: of the equation.
        """
        if len(key) > 1 or equation.name not in MOVES or set(equation.results) & self._arrays:
            return None
        leaf = operands[0]
        if isinstance(leaf, Coded):
            leaf = Waiting(leaf)
        if not isinstance(leaf, Waiting):
            return None
        return Waiting(leaf.leaf, (*leaf.equations, equation))

    def decoded(self, key: Key, operands: Sequence[Any]) -> list[Any]:
        """Return the operands of an equation without coded parts; other leaves remain."""
        number, after = self._last.get(key[:-1], (-1, []))
        if not 0 <= number < key[-1]:  # of another time that a body was traced, if there is one
            after = [o for o in operands if not (is_compressed(o) or isinstance(o, Waiting))]
        return [_decoded(operand, after) for operand in operands]

    def done(self, key: Key, results: Sequence[Any]) -> None:
        """Take the results of an equation that had a coded weight: the next one waits for them."""
        arrays = [result for result in results if isinstance(result, jax.Array)]
        self._last[key[:-1]] = (key[-1], arrays[:1]) if arrays else (-1, [])


def sliced(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return some layers of a stack as a leaf; None where axes of the layers are cut."""
    index = stacked_layers(equation, operands[place])
    return None if index is None else [jax.tree.map(itemgetter(index), operands[place])]


def squeezed(equation: Equation, operands: list[Any], place: int) -> list[Any] | None:
    """Return one layer of a stack of one as a leaf; None where it is an axis of the layer."""
    leaf, axes = operands[place], tuple(equation.params["dimensions"])
    if any(axis >= len(leaf.stack) for axis in axes):
        return None
    return [jax.tree.map(lambda array: array.squeeze(axes), leaf)]


def is_waiting(operand: Any) -> bool:
    """Return whether an operand is a coded weight, or has coded factors."""
    if isinstance(operand, LowRank):
        return any(isinstance(factor, Coded) for factor in operand.factors)
    return isinstance(operand, Coded | Waiting)


def _decoded(operand: Any, after: Sequence[Array]) -> Any:
    if isinstance(operand, Waiting):
        return operand.array(after)
    if not is_waiting(operand):
        return operand
    return jax.tree.map(
        lambda part: part.dense_after(after) if isinstance(part, Coded) else part,
        operand,
        is_leaf=lambda part: is_compressed(part) and part is not operand or isinstance(part, Coded),
    )


def _needed(program: Program) -> list[Any]:
    """Return the operands that must be arrays: results of the function, inputs of bodies."""
    inputs = (e.operands for e in program.equations if e.bodies)
    return [*program.outputs, *(operand for operands in inputs for operand in operands)]
