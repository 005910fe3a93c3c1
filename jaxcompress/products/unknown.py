"""Equations that may multiply what enters with weights, in a way that is not understood.

The primitives of the table `PRIMITIVES` are understood; any other is not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jaxcompress.products._origins import visit_equations
from jaxcompress.trace.loops import BODIES
from jaxcompress.trace.primitives import PRIMITIVES
from jaxcompress.trace.program import INLINED, Equation, Program, inner_bodies

UNDERSTOOD = frozenset({*PRIMITIVES, *BODIES})
"""Primitives of which it is known what they multiply; no other is."""


class Unknown(NamedTuple):
    """An equation that is not understood, of what depends on inputs.

    Attributes:
        name: its primitive; of a call that stays one equation, the first inside that is unknown.
        paths: of the parameters that enter it.
    """

    name: str
    paths: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why nothing is known of what enters."""
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
        return None  # visited themselves
    return next(_unknown(equation.name, equation.params), None)


def _unknown(name: str, params: dict[str, Any]) -> Iterator[str]:
    if name not in UNDERSTOOD and name not in INLINED:
        yield name
    for body in inner_bodies(name, params):
        for inner in body.eqns:
            yield from _unknown(inner.primitive.name, inner.params)


def left_out(unknown: Iterable[Unknown], known: Callable[[str], bool]) -> dict[str, str]:
    """Return by name of what enters equations that are not understood why it is left out.

    What enters has the name of its weight; the primitive is added where that name means something
    else already, and stands for it where there is no weight.

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
