"""The products of a function: its equations that multiply inputs with weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.products._origins import Parameter, visit_equations
from jaxcompress.products.contraction import summed_axes
from jaxcompress.products.unknown import find_unknown, left_out
from jaxcompress.trace.moves import moved
from jaxcompress.trace.primitives import PRODUCTS, kind_of
from jaxcompress.trace.program import Equation, Program, called, inner_bodies, trace
from jaxcompress.trace.run import Key
from jaxcompress.trees import PyTree, named_leaves

OPERANDS = (0, 1)
"""Places of the factors of products; further operands, such as sizes of groups, are no factors."""


class Weight(NamedTuple):
    """An operand of a product that is computed from parameters alone.

    Attributes:
        leaf: number of the parameter, of the largest if there are several.
        moves: equations that move its entries from the parameter to the product, empty if the
            parameter is the operand itself; None if something is computed.
        channels: axes of the parameter that are not summed over; None if something is computed.
    """

    leaf: int
    moves: "tuple[Equation, ...] | None"
    channels: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Product:
    """A product with operands that depend on inputs.

    Attributes:
        key: of its equation.
        name: path of its weight, else its primitive; numbered from the second use of a name on.
        equation: the product itself.
        weights: operands computed from parameters alone, by place.
        activations: places of the operands that depend on inputs.
        observable: whether it is outside of `while` loops and branches.
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
        """Return the name of an input of the product: the product's own if it is the only one."""
        return self.name if len(self.activations) == 1 else f"{self.name}:{place}"

    def summed(self, place: int) -> tuple[int, ...]:
        """Return the axes of an operand that are summed over; windows count for the kernel."""
        return summed_axes(self.equation)[place]


class Traced(NamedTuple):
    """A function and its products.

    Attributes:
        program: the function, with custom derivatives kept.
        products: in order.
        left_out: inputs of equations that are not understood, with the reason, by name.
    """

    program: Program
    products: list[Product]
    left_out: dict[str, str]


def trace_products(apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree) -> Traced:
    """Return a function as a program with custom derivatives kept, and its products.

    Args:
        apply: as for `trace`.
        params: as for `trace`, dense.
        *inputs: as for `trace`.
    """
    program, paths = (
        trace(apply, params, *inputs, keep=keeps_derivatives),
        named_leaves(params).paths,
    )
    products = find_products(program, paths)
    names = {name for product in products for name in product.entering}
    return Traced(program, products, left_out(find_unknown(program, paths), names.__contains__))


def find_products(program: Program, paths: Sequence[str]) -> list[Product]:
    """Return the products of a function whose operands depend on its inputs, in order.

    Args:
        program: from `trace`.
        paths: of its first inputs, the parameters.
    """
    seen: dict[str, int] = {}
    products = []
    for visited in visit_equations(program, len(paths)):
        equation = visited.equation
        activations = tuple(place for place in visited.from_inputs if place in OPERANDS)
        if kind_of(equation.name) not in PRODUCTS or not activations:
            continue
        weights = {
            place: _weight(equation, place, source)
            for place, source in visited.from_parameters.items()
            if place in OPERANDS
        }
        base = paths[next(iter(weights.values())).leaf] if weights else equation.name
        seen[base] = seen.get(base, 0) + 1
        products.append(
            Product(
                key=visited.key,
                name=base if seen[base] == 1 else f"{base} ({seen[base]})",
                equation=equation,
                weights=weights,
                activations=activations,
                observable=visited.observable,
            )
        )
    return products


def keeps_derivatives(call: Any) -> bool:
    """Return whether an equation of JAX has a custom derivative and calls no product."""
    inner = called(call.primitive.name, call.params)
    multiplies = any(map(_multiplies, getattr(inner, "eqns", ())))
    return call.primitive.name.startswith("custom_") and not multiplies


def _multiplies(equation: Any) -> bool:
    name = equation.primitive.name
    return kind_of(name) in PRODUCTS or any(
        _multiplies(inner) for body in inner_bodies(name, equation.params) for inner in body.eqns
    )


def _weight(equation: Equation, place: int, source: Parameter) -> Weight:
    if source.moves is None:
        return Weight(source.leaf, None, None)
    summed = summed_axes(equation)[place]
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
    """Return the first entry along an axis, or nothing if the axis is empty."""
    return array[(slice(None),) * axis + (slice(1),)]
