"""Simulated quantization: functions computed with rounded inputs and weights of their products."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcompress.checks import check_known
from jaxcompress.compiled import jitted
from jaxcompress.leaves import Coded, Quantized, dense, is_compressed
from jaxcompress.products.find import Product, trace_products
from jaxcompress.quantization.calibration import Ranges
from jaxcompress.quantization.grids import Grid, QParams, make_grid, on_grid, qparams_for
from jaxcompress.quantization.ranges import Estimator, min_max
from jaxcompress.trace.program import Equation, bind
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import Array, NamedLeaves, PyTree, is_floating, named_leaves, widened

Bits = int | Mapping[str, int]
"""Of an integer, for all layers or by name; layers without a name there are not rounded."""


def fake_quantized(
    apply: Callable[..., PyTree],
    ranges: Ranges | None,
    *,
    bits: Bits = 8,
    weight_bits: Bits | None = None,
    estimate: Estimator = min_max,
) -> Callable[..., PyTree]:
    """Return `apply` with the inputs and weights of its products rounded: simulated integers.

    Activations are rounded to affine grids, one for each tensor, on the calibrated ranges. Weights
    are rounded to symmetric grids, one for each output channel, from its smallest number to its
    largest. Everything is computed with floating-point numbers and is not faster. Inputs of a
    primitive that is not understood, such as a kernel of Pallas, are not rounded.

    Args:
        apply: `apply(params, *inputs)`.
        ranges: from `calibrate`, of this function. A product with an activation that has no range
            is computed in floats. None to round weights only.
        bits: of activations, 2 to 8; by the names of `ranges` if they differ.
        weight_bits: of weights, 1 to 8; by path if they differ. Default: `bits`.
        estimate: chooses the range that a grid of activations covers.

    Returns:
        `sim(params, *inputs)`, with the results of `apply`. `Quantized` leaves of `params` are used
        as they are; other compressed leaves are made dense and rounded. A `custom_vjp` that calls
        products has the derivative of what it calls. `sim` traces `apply` and compiles once for
        each new set of shapes.

    Raises:
        ValueError: bits out of range; of the function: ranges or bits with names that no product
            has; it does not run on these arrays.
        TypeError: bits that are not integers.

    Example:
        >>> from jaxcompress.quantization import calibrate
        >>> apply = lambda params, x: x @ params["kernel"]
        >>> params = {"kernel": jnp.array([[1.0], [0.3]])}
        >>> x = jnp.array([[3.0, 0.4]])
        >>> ranges = calibrate(apply, params, [x])
        >>> sim = fake_quantized(apply, ranges, bits=2)
        >>> sim(params, x).tolist()  # [3, 0] times [1, 0]
        [[3.0]]

    Source: Jacob et al. 2018, arXiv:1712.05877.
    """
    grid_of, weight_grid_of = _grids(bits, weight_bits, ranges)
    known = {} if ranges is None else ranges
    qparams = {
        name: (found.qparams(grid, estimate), grid)
        for name, found in known.items()
        if (grid := grid_of(name)) is not None
    }

    def rounding(product: Product, place: int, leaves: NamedLeaves) -> Rounding:
        if place in product.activations:
            name = product.operand_name(place)
            return _to_qparams(*qparams[name]) if name in qparams else _unrounded
        grid = weight_grid_of(_weight_name(product, place, leaves.paths))
        if grid is None or _on_its_grid(product, place, leaves.leaves):
            return _unrounded
        return _to_own_qparams(product.summed(place), grid)

    def simulated(params: PyTree, *inputs: PyTree) -> PyTree:
        leaves, params = named_leaves(params, is_leaf=is_compressed), dense(params)
        program, products, _ = trace_products(apply, params, *inputs)
        _check_names(products, leaves.paths, known, bits, weight_bits)
        roundings = {
            product.key: [rounding(product, place, leaves) for place in (0, 1)]
            for product in products
            if ranges is None or set(product.entering) <= set(ranges)
        }

        def visit(key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
            if key not in roundings:
                return None
            factors = [_rounded(*pair) for pair in zip(roundings[key], operands, strict=False)]
            return Outcome(bind(equation, [*factors, *operands[len(factors) :]]))

        results, _ = run(program, jax.tree.leaves((params, *inputs)), visit)
        return jax.tree.unflatten(program.structure, results)

    return jitted(simulated)  # as a whole: else JAX compiles each primitive alone


Rounding = Callable[[jax.Array], Array]


def _unrounded(value: jax.Array) -> jax.Array:
    return value


def _to_qparams(qparams: QParams, grid: Grid) -> Rounding:
    return lambda value: on_grid(value, qparams, grid)


def _to_own_qparams(summed: tuple[int, ...], grid: Grid) -> Rounding:
    """Return a rounding to the grid that covers all numbers of each channel."""

    def rounding(value: jax.Array) -> Array:
        low = value.min(summed, keepdims=True, initial=0)
        high = value.max(summed, keepdims=True, initial=0)
        return on_grid(value, qparams_for(low, high, grid), grid)

    return rounding


def _rounded(rounding: Rounding, value: Any) -> Any:
    """Return a value rounded in single precision at least, in its own dtype."""
    if rounding is _unrounded or not is_floating(value):
        return value
    value = jnp.asarray(value)  # numpy may have 64 bits, which JAX narrows
    return rounding(widened(value)).astype(value.dtype)


GridOf = Callable[[str], Grid | None]


def _grids(bits: Bits, weight_bits: Bits | None, ranges: Ranges | None) -> tuple[GridOf, GridOf]:
    """Return the grids of activations and of weights, by name."""
    weight_bits = bits if weight_bits is None else weight_bits
    activations: Bits = {} if ranges is None else bits
    return _by_name(activations, symmetric=False), _by_name(weight_bits, symmetric=True)


def _by_name(bits: Bits, *, symmetric: bool) -> GridOf:
    if isinstance(bits, Mapping):
        return {name: make_grid(b, symmetric=symmetric) for name, b in bits.items()}.get
    grid = make_grid(bits, symmetric=symmetric)
    return lambda name: grid


def _weight_name(product: Product, place: int, paths: Sequence[str]) -> str:
    """Return the path of the parameter; a constant has the name of the product."""
    found = product.weights.get(place)
    return product.name if found is None else paths[found.leaf]


def _on_its_grid(product: Product, place: int, leaves: Sequence[Any]) -> bool:
    """Return whether an operand holds entries of a quantized leaf."""
    found = product.weights.get(place)
    if found is None or found.moves is None:
        return False
    leaf = leaves[found.leaf]
    return isinstance(leaf.grid if isinstance(leaf, Coded) else leaf, Quantized)


def _check_names(
    products: Sequence[Product],
    paths: Sequence[str],
    ranges: Mapping[str, Any],
    *bits: Bits | None,
) -> None:
    """Refuse ranges and bits for what the function does not have."""
    entering = {name for product in products for name in product.entering}
    weights = {
        _weight_name(product, place, paths)
        for product in products
        for place in (0, 1)
        if place not in product.activations
    }
    by_name = [set(given) for given in bits if isinstance(given, Mapping)]
    for what, names, known in (
        ("ranges", set(ranges), entering),
        ("bits", set().union(*by_name), entering | weights),
    ):
        rule = f"{what} must be for products of this function"
        check_known(sorted(names), known, rule, "calibrate this function")
