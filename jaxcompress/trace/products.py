"""The products of a function: which of its equations multiply what with which weights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.trace.program import INLINED, Constant, Equation, Operand, Program, trace
from jaxcompress.trace.run import Key
from jaxcompress.trees import PyTree, named_leaves


def _dot_axes(equation: Equation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    left, right = equation.params["dimension_numbers"][0]
    return tuple(left), tuple(right)


def _convolution_axes(equation: Equation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    numbers = equation.params["dimension_numbers"]
    return (numbers.lhs_spec[1],), tuple(numbers.rhs_spec[1:])


SUMMED: dict[str, Callable[[Equation], tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "dot_general": _dot_axes,
    "conv_general_dilated": _convolution_axes,
}
"""Of each product the axes of its two operands that it sums over; windows count for the kernel."""


class Weight(NamedTuple):
    """An operand of a product that is computed from parameters alone.

    Attributes:
        leaf: number of the parameter, of the largest if there are several.
        moves: what moves its entries from the parameter to the product, an empty tuple where the
            parameter is the operand itself; None where something is computed.
        channels: axes of the parameter that are not summed over; None where something is computed.
    """

    leaf: int
    moves: "tuple[Equation, ...] | None"
    channels: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Product:
    """A product with operands that depend on inputs.

    Attributes:
        key: where its equation stands.
        name: path of its weight, else its primitive; with a number from the second of a name on.
        equation: the product itself.
        weights: operands computed from parameters alone, by place.
        activations: places of the operands that depend on inputs.
        observable: whether it lies outside of `while` loops and branches.
    """

    key: Key
    name: str
    equation: Equation
    weights: dict[int, Weight]
    activations: tuple[int, ...]
    observable: bool

    @property
    def entering(self) -> list[str]:
        """Names of the operands that depend on inputs."""
        return [self.operand_name(place) for place in self.activations]

    def operand_name(self, place: int) -> str:
        """Return the name of what enters as an operand: the product's own where it is alone."""
        return self.name if len(self.activations) == 1 else f"{self.name}:{place}"

    def summed(self, place: int) -> tuple[int, ...]:
        """Return the axes of an operand that are summed over."""
        return SUMMED[self.equation.name](self.equation)[place]


def trace_products(
    apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree
) -> tuple[Program, list[Product]]:
    """Return a function as a program in which derivatives of its own are kept, and its products.

    Args:
        apply: as for `trace`.
        params: as for `trace`, dense.
        *inputs: as for `trace`.
    """
    program = trace(apply, params, *inputs, keep=keeps_derivatives)
    return program, find_products(program, named_leaves(params).paths)


def find_products(program: Program, paths: Sequence[str]) -> list[Product]:
    """Return the products of a function whose operands depend on its inputs, in order.

    Args:
        program: from `trace`.
        paths: of its first inputs, the parameters.
    """
    shapes = [program.shapes[value] for value in program.inputs[: len(paths)]]
    origins: list[_Origin] = [_Parameter(leaf, shape) for leaf, shape in enumerate(shapes)]
    origins += [None] * (len(program.inputs) - len(paths))
    seen: dict[str, int] = {}
    products = []
    for found in _find(program, origins, shapes, (), observable=True):
        weight = next(iter(found.weights.values()), None)
        base = found.equation.name if weight is None else paths[weight.leaf]
        seen[base] = seen.get(base, 0) + 1
        name = base if seen[base] == 1 else f"{base} ({seen[base]})"
        products.append(Product(name=name, **found._asdict()))
    return products


def keeps_derivatives(call: Any) -> bool:
    """Return whether an equation of JAX has a derivative of its own, and calls no product."""
    inner = call.params.get(INLINED.get(call.primitive.name, ""))
    multiplies = any(map(_multiplies, getattr(inner, "eqns", ())))
    return call.primitive.name.startswith("custom_") and not multiplies


def _multiplies(equation: Any) -> bool:
    if equation.primitive.name in SUMMED:
        return True
    inner = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    inner += [b.jaxpr for b in equation.params.get("branches", ())]
    return any(_multiplies(eqn) for body in inner for eqn in getattr(body, "eqns", ()))


class _Parameter(NamedTuple):
    """Where a value comes from that is computed from parameters alone."""

    leaf: int
    shape: tuple[int, ...]
    moves: tuple[Equation, ...] | None = ()


_Origin = _Parameter | None
"""None depends on inputs."""


class _Found(NamedTuple):
    key: Key
    equation: Equation
    weights: dict[int, Weight]
    activations: tuple[int, ...]
    observable: bool


_NOTHING = _Parameter(-1, ())
"""Where constants come from."""


def _find(
    program: Program,
    origins: Sequence[_Origin],
    shapes: Sequence[tuple[int, ...]],
    at: Key,
    *,
    observable: bool,
) -> Iterator[_Found]:
    known: dict[int, _Origin] = dict(zip(program.inputs, origins, strict=True))

    def origin(operand: Operand) -> _Origin:
        return _NOTHING if isinstance(operand, Constant) else known[operand]

    for number, equation in enumerate(program.equations):
        given, key = list(map(origin, equation.operands)), (*at, number)
        known.update(dict.fromkeys(equation.results, _together(equation, given, shapes)))
        for which, body in enumerate(equation.bodies):
            yield from _find(
                body,
                _enter(equation, which, given),
                shapes,
                (*key, which),
                observable=observable and equation.name == "scan",
            )
        activations = tuple(place for place, source in enumerate(given) if source is None)
        if equation.name in SUMMED and activations:
            weights = {
                place: _weight(equation, place, source)
                for place, source in enumerate(given)
                if source is not None and source.leaf >= 0
            }
            yield _Found(key, equation, weights, activations, observable)


def _together(
    equation: Equation, given: Sequence[_Origin], shapes: Sequence[tuple[int, ...]]
) -> _Origin:
    """Return where the results of an equation come from."""
    if any(source is None for source in given):
        return None
    sources = [source for source in given if source is not None and source.leaf >= 0]
    if not sources:
        return _NOTHING
    # A body may compute anything: a scan moves entries only into its turns.
    if equation.name in MOVES and not equation.bodies and len(sources) == len(given) == 1:
        (source,) = sources
        if source.moves is not None:
            return source._replace(moves=(*source.moves, equation))
    largest = max(sources, key=lambda source: np.prod(shapes[source.leaf], dtype=int))
    return largest._replace(moves=None)


def _enter(equation: Equation, which: int, given: Sequence[_Origin]) -> list[_Origin]:
    """Return where the inputs of a body come from."""
    params = equation.params
    if equation.name == "cond":
        return list(given[1:])
    if equation.name == "while":
        first, second = params["cond_nconsts"], params["body_nconsts"]
        consts = given[:first] if which == 0 else given[first : first + second]
        return [*consts, *[None] * (len(given) - first - second)]
    fixed, carried = params["num_consts"], params["num_carry"]
    return [
        *given[:fixed],
        *[None] * carried,
        *(
            source._replace(moves=(*source.moves, equation))
            if source is not None and source.moves is not None and source.leaf >= 0
            else source
            for source in given[fixed + carried :]
        ),
    ]


def _weight(equation: Equation, place: int, source: _Parameter) -> Weight:
    if source.moves is None:
        return Weight(source.leaf, None, None)
    summed = SUMMED[equation.name](equation)[place]
    channels = []
    for axis in range(len(source.shape)):
        steps = np.arange(source.shape[axis]).reshape(
            [-1 if k == axis else 1 for k in range(len(source.shape))]
        )
        place_along = moved(np.broadcast_to(steps, source.shape), source.moves)
        if all((place_along == _first(place_along, k)).all() for k in summed):
            channels.append(axis)
    return Weight(source.leaf, source.moves, tuple(channels))


def _first(array: np.ndarray, axis: int) -> np.ndarray:
    """Return the first entries along an axis, which may have none."""
    return array[(slice(None),) * axis + (slice(1),)]


def moved(array: np.ndarray, moves: Sequence[Equation]) -> np.ndarray:
    """Return an array after equations that move entries, which `MOVES` names."""
    for move in moves:
        array = MOVES[move.name](array, move.params)
    return array


def _broadcast(array: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    shape = params["shape"]
    expanded = [1] * len(shape)
    for axis, size in zip(params["broadcast_dimensions"], array.shape, strict=True):
        expanded[axis] = size
    return np.broadcast_to(array.reshape(expanded), shape)


def _slice(array: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    strides = params["strides"] or [1] * array.ndim
    return array[tuple(map(slice, params["start_indices"], params["limit_indices"], strides))]


MOVES: dict[str, Callable[[np.ndarray, dict[str, Any]], np.ndarray]] = {
    "transpose": lambda array, params: array.transpose(params["permutation"]),
    "reshape": lambda array, params: array.reshape(params["new_sizes"]),
    "squeeze": lambda array, params: array.squeeze(tuple(params["dimensions"])),
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "rev": lambda array, params: np.flip(array, params["dimensions"]),
    "convert_element_type": lambda array, params: array,
    "copy": lambda array, params: array,
    "scan": lambda array, params: array[0],  # what a turn of a loop is given
}
"""Primitives that move entries and compute nothing."""
