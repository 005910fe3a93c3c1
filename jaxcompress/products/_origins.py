"""The sources of the operands of equations: parameters, with their moves, or inputs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxcompress.trace.loops import entering
from jaxcompress.trace.moves import MOVES
from jaxcompress.trace.program import Constant, Equation, Operand, Program
from jaxcompress.trace.run import Key


class Parameter(NamedTuple):
    """The source of a value that is computed from parameters alone."""

    leaf: int
    shape: tuple[int, ...]
    moves: tuple[Equation, ...] | None = ()


Origin = Parameter | None
"""The source of a value; None if it depends on inputs."""


class Visited(NamedTuple):
    """An equation and the sources of its operands.

    Attributes:
        key: of the equation.
        equation: the equation itself.
        given: the source of each operand.
        observable: whether it is outside of `while` loops and branches.
    """

    key: Key
    equation: Equation
    given: list[Origin]
    observable: bool

    @property
    def from_inputs(self) -> list[int]:
        """Places of the operands that depend on inputs."""
        return [place for place, source in enumerate(self.given) if source is None]

    @property
    def from_parameters(self) -> dict[int, Parameter]:
        """Operands that are computed from parameters alone, by place."""
        return {
            place: source
            for place, source in enumerate(self.given)
            if source is not None and source.leaf >= 0
        }


_NOTHING = Parameter(-1, ())
"""The source of constants."""


def visit_equations(program: Program, count: int) -> Iterator[Visited]:
    """Yield all equations; those of bodies come before their loop or branches.

    Args:
        program: from `trace`.
        count: how many of its first inputs are parameters.
    """
    shapes = [program.shapes[value] for value in program.inputs[:count]]
    origins: list[Origin] = [Parameter(leaf, shape) for leaf, shape in enumerate(shapes)]
    origins += [None] * (len(program.inputs) - count)
    return _visit(program, origins, shapes, (), observable=True)


def _visit(
    program: Program,
    origins: Sequence[Origin],
    shapes: Sequence[tuple[int, ...]],
    at: Key,
    *,
    observable: bool,
) -> Iterator[Visited]:
    known: dict[int, Origin] = dict(zip(program.inputs, origins, strict=True))

    def origin(operand: Operand) -> Origin:
        return _NOTHING if isinstance(operand, Constant) else known[operand]

    for number, equation in enumerate(program.equations):
        given, key = list(map(origin, equation.operands)), (*at, number)
        known.update(dict.fromkeys(equation.results, _together(equation, given, shapes)))
        for which, body in enumerate(equation.bodies):
            yield from _visit(
                body,
                _enter(equation, which, given),
                shapes,
                (*key, which),
                observable=observable and equation.name == "scan",
            )
        yield Visited(key, equation, given, observable)


def _together(
    equation: Equation, given: Sequence[Origin], shapes: Sequence[tuple[int, ...]]
) -> Origin:
    """Return the source of the results of an equation."""
    if any(source is None for source in given):
        return None
    sources = [source for source in given if source is not None and source.leaf >= 0]
    if not sources:
        return _NOTHING
    # A body may compute anything; a scan only moves entries into its turns.
    if equation.name in MOVES and not equation.bodies and len(sources) == len(given) == 1:
        (source,) = sources
        if source.moves is not None:
            return source._replace(moves=(*source.moves, equation))
    largest = max(sources, key=lambda source: np.prod(shapes[source.leaf], dtype=int))
    return largest._replace(moves=None)


def _enter(equation: Equation, which: int, given: Sequence[Origin]) -> list[Origin]:
    """Return the sources of the inputs of a body."""
    constants, carried, sliced = entering(equation, which, given)
    return [
        *constants,
        *[None] * len(carried),
        *(
            source._replace(moves=(*source.moves, equation))
            if source is not None and source.moves is not None and source.leaf >= 0
            else source
            for source in sliced
        ),
    ]
