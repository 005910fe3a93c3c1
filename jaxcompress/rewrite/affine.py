"""Chains behind products: elementwise operations with parameters, affine by channel."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.products.find import Product, find_products
from jaxcompress.rewrite.roles import ROLES, Role, by_channel, joined
from jaxcompress.rewrite.values import Values
from jaxcompress.trace.moves import MOVES
from jaxcompress.trace.program import Constant, Equation, Operand, Program


class Term(NamedTuple):
    """A factor or an offset of a value.

    Attributes:
        role: how the operand acts on the value.
        operand: computed from parameters alone.
        channels: channel of each entry of the value, a view that broadcasts.
        equation: its number.
    """

    role: Role
    operand: Operand
    channels: np.ndarray
    equation: int


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A product `z` and the terms that make it `a * z + b`, with `a` and `b` by channel.

    Attributes:
        product: its weight is a leaf that nothing else reads.
        place: of the weight.
        weight_channels: channel of each entry of the weight.
        count: of channels.
        axes: of the product along which its channels lie, those of the weight in order.
        terms: in order.
    """

    product: Product
    place: int
    weight_channels: np.ndarray
    count: int
    axes: tuple[int, ...]
    terms: tuple[Term, ...]

    @property
    def factors(self) -> list[Term]:
        """Terms that multiply."""
        return [term for term in self.terms if term.role.multiplies]

    @property
    def offsets(self) -> list[Term]:
        """Terms that are added."""
        return [term for term in self.terms if not term.role.multiplies]

    @property
    def leaf(self) -> int:
        """Number of the leaf that is the weight."""
        return self.product.weights[self.place].leaf


class Affine(NamedTuple):
    """`a * z + b`.

    Attributes:
        a: `[channels]` factors.
        b: `[channels]` offsets.
    """

    a: np.ndarray
    b: np.ndarray


def find_chains(values: Values) -> list[Chain]:
    """Return the chains of a program, in order.

    Chains end at the first operation that is not affine, and where a value has a second reader.
    Products within loops and branches have no chain, nor have products whose weight something
    else reads too.

    Args:
        values: of its parameters.
    """
    program = values.program
    reads = Counter(o for o in program.outputs if isinstance(o, int))
    next_reader: dict[int, int] = {}
    for number, equation in enumerate(program.equations):
        for operand in equation.operands:
            if isinstance(operand, int):
                reads[operand] += 1
                next_reader[operand] = number
    only = {value: number for value, number in next_reader.items() if reads[value] == 1}
    chains = []
    for product in find_products(program, values.named.paths):
        if (start := _start(values, product)) is not None:
            place, axes, for_weight, for_result = start
            terms = _follow(values, only, product.equation.results[0], for_result)
            chains.append(
                Chain(
                    product=product,
                    place=place,
                    weight_channels=for_weight,
                    count=int(for_weight.max(initial=-1)) + 1,
                    axes=axes,
                    terms=tuple(terms),
                )
            )
    return chains


@np.errstate(all="ignore")  # leaves may have any entries; results that are not finite are not used
def affine(values: Values, terms: Sequence[Term], count: int) -> Affine:
    """Return the combined factors and offsets; NaN if a term also varies along other axes."""
    a, b = np.ones(count), np.zeros(count)
    for term in terms:
        entries = _entries(values, term, count)
        a, b = joined(term.role, a, b, np.full(count, np.nan) if entries is None else entries)
    return Affine(a, b)


def _entries(values: Values, term: Term, count: int) -> np.ndarray | None:
    """Return a term as `[channels]`; None if it also varies along other axes, or is NaN."""
    neutral = float(term.role.multiplies)
    found = by_channel(values.value(term.operand), term.channels, count, neutral)
    return None if found is None or np.isnan(found).any() else found


class _Start(NamedTuple):
    """The place of a weight, and the channels of its entries and of those of the product."""

    place: int
    axes: tuple[int, ...]
    for_weight: np.ndarray
    for_result: np.ndarray


def _start(values: Values, product: Product) -> _Start | None:
    if len(product.key) != 1 or len(product.weights) != 1 or len(product.activations) != 1:
        return None
    ((place, weight),) = product.weights.items()
    if weight.moves is None or values.readers(weight.leaf) != {product.key[0]}:
        return None
    if product.equation.name not in CARRIED:
        return None
    carried = CARRIED[product.equation.name](product.equation, place, values.program)
    weight_shape = values.program.shape(product.equation.operands[place])
    result_shape = values.program.shapes[product.equation.results[0]]
    axes = sorted(carried)
    channels = np.arange(int(np.prod([weight_shape[k] for k in axes], dtype=int)))
    channels = channels.reshape([weight_shape[k] for k in axes])
    result_axes = tuple(carried[k] for k in axes)
    return _Start(
        place,
        result_axes,
        _spread(channels, axes, weight_shape),
        _spread(channels, result_axes, result_shape),
    )


def _spread(array: np.ndarray, axes: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return a view of an array, broadcast so that its axes are `axes` of a shape."""
    order = np.argsort(axes)
    sizes = [shape[k] if k in axes else 1 for k in range(len(shape))]
    return np.broadcast_to(array.transpose(order).reshape(sizes), shape)


def _follow(values: Values, only: dict[int, int], value: int, channels: np.ndarray) -> list[Term]:
    """Return the terms behind a value."""
    terms, count = [], int(channels.max(initial=-1)) + 1
    while value in only:
        equation = values.program.equations[only[value]]
        place = equation.operands.index(value)
        shape = values.program.shapes[equation.results[0]]
        if equation.name in MOVES and not equation.bodies and _keeps_floating(equation):
            channels = MOVES[equation.name](channels, equation.params)
        elif (equation.name, place) in ROLES and all(
            values.known(o) for k, o in enumerate(equation.operands) if k != place
        ):
            channels = np.broadcast_to(channels, shape)
            found = [
                Term(
                    role,
                    Constant(-1.0) if role.negates else equation.operands[1 - place],
                    channels,
                    only[value],
                )
                for role in ROLES[equation.name, place]
            ]
            if any(_entries(values, term, count) is None for term in found):
                break
            terms += found
        else:
            break
        (value,) = equation.results
    return terms


def _keeps_floating(equation: Equation) -> bool:
    dtype = equation.params.get("new_dtype")
    return dtype is None or bool(jnp.issubdtype(dtype, jnp.floating))


def _dot(equation: Equation, place: int, program: Program) -> dict[int, int]:
    ranks = [len(program.shape(operand)) for operand in equation.operands]
    return contraction(equation).carried(place, ranks)


def _convolution(equation: Equation, place: int, program: Program) -> dict[int, int]:
    del program
    kernel, result = convolution(equation).channels_out
    return {kernel: result} if place == 1 else {}


CARRIED = {"dot_general": _dot, "conv_general_dilated": _convolution}
"""For each product, from axes of its weight in the result to their places there."""
