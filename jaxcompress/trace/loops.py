"""Bodies of loops and branches: where a primitive keeps them, what enters them and what leaves.

All that is known of the parameters of `scan`, `while` and `cond` stands here: how many operands
each body shares with all turns, and how many it carries from turn to turn.
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
"""Primitives that keep their jaxprs, and where these are."""

_NAMES: dict[str, Callable[[Sequence[Any]], dict[str, Any]]] = {
    "scan": lambda jaxprs: {"jaxpr": jaxprs[0]},
    "while": lambda jaxprs: {"cond_jaxpr": jaxprs[0], "body_jaxpr": jaxprs[1]},
    "cond": lambda jaxprs: {"branches": tuple(jaxprs)},
}
"""Where primitives keep what `BODIES` takes out of them."""

TEST, BODY = 0, 1
"""Bodies of a `while` loop."""


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
    """What enters a body, in the order of its inputs.

    Attributes:
        constants: the same at every turn.
        carried: from the turn before.
        sliced: an entry a turn.
    """

    constants: list[T]
    carried: list[T]
    sliced: list[T]

    def flat(self) -> list[T]:
        """Return all of it, an item for each input of the body."""
        return list(chain(*self))

    def like(self, values: Sequence[U]) -> "Entering[U]":
        """Return other values, one for each input of the body, parted alike."""
        return _parted(values, len(self.constants), len(self.carried))


def entering(equation: Bodied, which: int, operands: Sequence[T]) -> Entering[T]:
    """Return what of the operands of a loop or of branches enters one of the bodies.

    Args:
        equation: a `scan`, a `while` or a `cond`.
        which: number of the body.
        operands: of the equation, or anything that belongs to each of them.
    """
    return _ENTERING[equation.name](equation.params, which, operands)


def leaving(scan: Bodied, results: Sequence[T]) -> tuple[list[T], list[T]]:
    """Return the results of a scan or of its body: what is carried over, and what is stacked."""
    carried = scan.params["num_carry"]
    return list(results[:carried]), list(results[carried:])


def as_operands(*bodies: Entering[T]) -> list[T]:
    """Return what enters the bodies of a loop, all of them, as the operands of the loop."""
    constants = chain.from_iterable(body.constants for body in bodies)
    return [*constants, *bodies[-1].carried, *bodies[-1].sliced]


def chosen(operands: Sequence[T]) -> T:
    """Return which of the operands of a `cond` is the number of the branch."""
    return operands[0]


def with_bodies(equation: Bodied, jaxprs: Sequence[Any]) -> dict[str, Any]:
    """Return the parameters of a loop or of branches with other jaxprs of the same types."""
    return equation.params | _NAMES[equation.name](jaxprs)


def _parted(values: Sequence[T], constants: int, carried: int) -> Entering[T]:
    behind = constants + carried
    return Entering(list(values[:constants]), list(values[constants:behind]), list(values[behind:]))


def _scan(params: Mapping[str, Any], which: int, operands: Sequence[T]) -> Entering[T]:
    del which
    return _parted(operands, params["num_consts"], params["num_carry"])


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
