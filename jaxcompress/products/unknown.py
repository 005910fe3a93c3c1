"""Equations that are not understood: they may multiply their inputs with weights.

The primitives of the table `PRIMITIVES` are understood; all others are not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jaxcompress.products._origins import visit_equations
from jaxcompress.trace.loops import BODIES
from jaxcompress.trace.primitives import PRIMITIVES
from jaxcompress.trace.program import INLINED, Equation, Program, inner_bodies

UNDERSTOOD = frozenset({*PRIMITIVES, *BODIES})
"""Primitives that are understood."""


class Unknown(NamedTuple):
    """An equation that is not understood and depends on inputs.

    Attributes:
        name: its primitive; of a call that is kept as one equation, the first unknown one inside.
        paths: of the parameters that it takes.
    """

    name: str
    paths: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why its inputs are left out."""
        return f"it enters {self.name}, which is not understood"

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.paths)})" if self.paths else self.name


def find_unknown(program: Program, paths: Sequence[str]) -> list[Unknown]:
    """Return the equations that are not understood and depend on the inputs, in order.

    Args:
        program: from `trace`.
        paths: of its first inputs, the parameters.
    """
    found = []
    for visited in visit_equations(program, len(paths)):
        name = unknown_primitive(visited.equation)
        if name and visited.from_inputs:
            leaves = [source.leaf for source in visited.from_parameters.values()]
            found.append(Unknown(name, tuple(paths[leaf] for leaf in dict.fromkeys(leaves))))
    return found


def unknown_primitive(equation: Equation) -> str | None:
    """Return the primitive of an equation, or of one inside a call, that is not understood."""
    if equation.bodies:
        return None  # its equations are visited themselves
    return next(_unknown(equation.name, equation.params), None)


def _unknown(name: str, params: dict[str, Any]) -> Iterator[str]:
    if name not in UNDERSTOOD and name not in INLINED:
        yield name
    for body in inner_bodies(name, params):
        for inner in body.eqns:
            yield from _unknown(inner.primitive.name, inner.params)


def left_out(unknown: Iterable[Unknown], known: Callable[[str], bool]) -> dict[str, str]:
    """Return the inputs of equations that are not understood, with the reason, by name.

    An input has the name of its weight, or of the primitive if there is no weight. The primitive is
    added where the name of the weight means something else already.

    Args:
        unknown: from `find_unknown`.
        known: whether a name means something else.
    """
    found: dict[str, str] = {}
    for one in unknown:
        for path in one.paths or (one.name,):
            name = f"{path} ({one.name})" if known(path) else path
            found.setdefault(name, one.reason)
    return found
