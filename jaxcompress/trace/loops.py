"""Bodies of loops and branches: where a primitive keeps them, their inputs and their results.

Only this module reads the parameters of `scan`, `while` and `cond`: how many operands of a body are
the same at all turns, and how many are carried from turn to turn.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
U = TypeVar("U")

BODIES: dict[str, Callable[[Mapping[str, Any]], list[Any]]] = {
    "scan": lambda params: [params["jaxpr"]],
    "while": lambda params: [params["cond_jaxpr"], params["body_jaxpr"]],
    "cond": lambda params: list(params["branches"]),
}
"""From the parameters of primitives to the jaxprs that they keep."""

_NAMES: dict[str, Callable[[Sequence[Any]], dict[str, Any]]] = {
    "scan": lambda jaxprs: {"jaxpr": jaxprs[0]},
    "while": lambda jaxprs: {"cond_jaxpr": jaxprs[0], "body_jaxpr": jaxprs[1]},
    "cond": lambda jaxprs: {"branches": tuple(jaxprs)},
}
"""Names of the parameters that hold the jaxprs of `BODIES`."""

TEST, BODY = 0, 1
"""Numbers of the bodies of a `while` loop."""


class Bodied(Protocol):
    """An equation of `scan`, `while` or `cond`."""

    @property
    def name(self) -> str:
        """Name of the primitive."""
        ...

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the primitive."""
        ...


class Entering(NamedTuple, Generic[T]):
    """The inputs of a body, in order.

    Attributes:
        constants: the same at every turn.
        carried: from the turn before.
        sliced: one entry for each turn.
    """

    constants: list[T]
    carried: list[T]
    sliced: list[T]

    def flat(self) -> list[T]:
        """Return one item for each input of the body."""
        return list(chain(*self))

    def like(self, values: Sequence[U]) -> "Entering[U]":
        """Return other values, one for each input of the body, split likewise."""
        return _parted(values, len(self.constants), len(self.carried))


def entering(equation: Bodied, which: int, operands: Sequence[T]) -> Entering[T]:
    """Return the operands of a loop or of branches that are inputs of one of the bodies.

    Args:
        equation: a `scan`, a `while` or a `cond`.
        which: number of the body.
        operands: of the equation, or one item for each of them.
    """
    return _ENTERING[equation.name](equation.params, which, operands)


def leaving(scan: Bodied, results: Sequence[T]) -> tuple[list[T], list[T]]:
    """Return the results of a scan or of its body: those carried, and those stacked."""
    _, carried = _counts(scan.params)
    return list(results[:carried]), list(results[carried:])


def as_operands(*bodies: Entering[T]) -> list[T]:
    """Return the operands of a loop, given the inputs of all of its bodies."""
    constants = chain.from_iterable(body.constants for body in bodies)
    return [*constants, *bodies[-1].carried, *bodies[-1].sliced]


def chosen(operands: Sequence[T]) -> T:
    """Return the operand of a `cond` that is the number of the branch."""
    return operands[0]


def with_bodies(equation: Bodied, jaxprs: Sequence[Any]) -> dict[str, Any]:
    """Return the parameters of a loop or of branches with other jaxprs of the same types."""
    return equation.params | _NAMES[equation.name](jaxprs)


def _parted(values: Sequence[T], constants: int, carried: int) -> Entering[T]:
    behind = constants + carried
    return Entering(list(values[:constants]), list(values[constants:behind]), list(values[behind:]))


def _scan(params: Mapping[str, Any], which: int, operands: Sequence[T]) -> Entering[T]:
    del which
    return _parted(operands, *_counts(params))


def _counts(scan: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many operands of a scan are constant, and how many carried.

    JAX 0.12 keeps a tree of them; before that it kept the numbers.
    """
    if "num_carry" in scan:
        return scan["num_consts"], scan["num_carry"]
    constants, carried, _ = scan["ft_in"].unpack()
    return len(constants), len(carried)


def _while(params: Mapping[str, Any], which: int, operands: Sequence[T]) -> Entering[T]:
    first, second = params["cond_nconsts"], params["body_nconsts"]
    constants = operands[:first] if which == TEST else operands[first : first + second]
    return Entering(list(constants), list(operands[first + second :]), [])


def _cond(params: Mapping[str, Any], which: int, operands: Sequence[T]) -> Entering[T]:
    del params, which
    return Entering(list(operands[1:]), [], [])


_ENTERING: dict[str, Callable[[Mapping[str, Any], int, Sequence[Any]], Entering[Any]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
