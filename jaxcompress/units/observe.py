"""Running a program and observing the inputs of its products."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcompress.products.find import Product, find_products
from jaxcompress.trace.program import Constant, Equation, Program, bind
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import PyTree
from jaxcompress.units.dependencies import Axis
from jaxcompress.units.walk import Walk

Look = Callable[[Any, int, Axis], PyTree]
"""From a value, the axis along which a product sums it, and the axis's ids, to arrays."""


def run_observed(
    program: Program, walk: Walk, paths: Sequence[str], inputs: Sequence[Any], look: Look
) -> list[PyTree]:
    """Run a program and observe each operand of a product that depends on its inputs.

    Observations in the body of a scan are averaged over its iterations; other loops and branches
    are not observed.

    Args:
        program: what to run.
        walk: ids of its values.
        paths: of its first inputs, the parameters.
        inputs: arrays, parameters first.
        look: gives the arrays to record.

    Returns:
        The observations, one entry for each operand.
    """
    products = {p.key: p for p in find_products(program, paths) if p.observable}

    def visit(key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
        if key not in products:
            return None
        ids = _at(walk, key)
        looks = []
        for place, axis in _reads(products[key]):
            operand = equation.operands[place]
            if not isinstance(operand, Constant):
                looks.append(look(operands[place], axis, ids.values[operand][axis]))
        return Outcome(bind(equation, operands), looks)

    seen = []
    for key, looks in run(program, inputs, visit)[1].items():
        turns = tuple(range(len(key) // 2))
        seen += jax.tree.map(lambda stacked, turns=turns: stacked.mean(axis=turns), looks)
    return seen


def _reads(product: Product) -> list[tuple[int, int]]:
    """Return the operands that depend on inputs, and the axes of units along which they are summed.

    The windows of a kernel are not axes of units.
    """
    places = product.activations
    if product.equation.name == "conv_general_dilated":
        places = tuple(place for place in places if place == 0)
    return [(place, axis) for place in places for axis in product.summed(place)]


def _at(walk: Walk, key: Key) -> Walk:
    """Return the ids of the body in which an equation stands."""
    for number, which in zip(key[:-1:2], key[1::2], strict=True):
        walk = walk.bodies[number][which]
    return walk
