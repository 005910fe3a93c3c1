"""Milliseconds of single products: which layers take the time of a call."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcompress.bounds import is_integer
from jaxcompress.compiled import jit_for_inference
from jaxcompress.costs._comparison import batch_sizes, in_turn, resized
from jaxcompress.costs.counting import Origin, origin_of
from jaxcompress.trace.loops import entering
from jaxcompress.trace.program import Equation, Program, bind, trace
from jaxcompress.trees import PyTree, named_leaves

_PRODUCTS = ("dot_general", "conv_general_dilated")


class LayerTime(NamedTuple):
    """The time of a product in which a parameter takes part.

    Attributes:
        path: of the parameter; "" where only computed numbers take part, as in attention.
        batch_size: first axis of the first input of the network.
        shapes: of its operands.
        calls: how often one call of the network makes it.
        ms: of these calls together, median.
    """

    path: str
    batch_size: int
    shapes: tuple[tuple[int, ...], ...]
    calls: int
    ms: float


def layer_times(
    apply: Callable[..., PyTree],
    params: PyTree,
    *inputs: PyTree,
    batches: Iterable[int] | int | None = None,
    rounds: int = 20,
) -> list[LayerTime]:
    """Measure each matrix product and convolution of `apply(params, *inputs)` by itself.

    Products of equal shapes are measured once, all of them in turn, compiled by
    `jit_for_inference`, on random numbers. A network takes more than their sum: it also moves
    numbers, activates and normalizes; and XLA may fuse a product with what follows it.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays.
        *inputs: any pytrees of arrays.
        batches: batch sizes to measure, as for `compare_latency`; None for that of the inputs.
        rounds: calls of each product, at least 2.

    Returns:
        A line for each product of a program, in the order of its execution; the body of a scan
        counts once for each turn, a `while` as one.

    Raises:
        ValueError: fewer than 2 rounds, batch sizes that are none, a function that cannot be
            traced.

    Example:
        >>> apply = lambda p, x: (x @ p["a"]) @ p["b"]
        >>> params = {"a": np.ones((4, 8), np.float32), "b": np.ones((8, 2), np.float32)}
        >>> found = layer_times(apply, params, np.ones((3, 4), np.float32))
        >>> [(each.path, each.shapes, each.calls, each.ms > 0) for each in found]
        [('a', ((3, 4), (4, 8)), 1, True), ('b', ((3, 8), (8, 2)), 1, True)]
    """
    if not is_integer(rounds) or rounds < 2:  # noqa: PLR2004
        raise ValueError(f"rounds: must be at least 2, got {rounds}; 20 is usual.")
    found = []
    for batch_size in batch_sizes(inputs, batches):
        products = _products_of(apply, params, resized(inputs, batch_size))
        alike = {product.key: product for product in products}
        times = in_turn([product.call() for product in alike.values()], rounds=rounds, warm_up=1)
        each = {key: statistics.median(own) for key, own in zip(alike, times, strict=True)}
        found += [
            LayerTime(p.path, batch_size, p.shapes, p.calls, p.calls * each[p.key])
            for p in products
        ]
    return found


def _products_of(
    apply: Callable[..., PyTree], params: PyTree, inputs: Sequence[PyTree]
) -> "list[_Product]":
    paths = named_leaves(params).paths
    program = trace(apply, params, *inputs)
    return list(_products(program, [*paths, *[None] * (len(program.inputs) - len(paths))], 1))


class _Product(NamedTuple):
    path: str
    shapes: tuple[tuple[int, ...], ...]
    calls: int
    equation: Equation

    @property
    def key(self) -> str:
        """The same for products that take the same time."""
        return f"{self.equation.name} {self.shapes} {self.equation.params}"

    def call(self) -> Callable[[], Any]:
        """Return a function that makes the product once, of random numbers."""
        random = np.random.default_rng(0)
        dtype = self.equation.params.get("preferred_element_type") or np.float32
        operands = jax.device_put(
            [random.standard_normal(shape, np.float32).astype(dtype) for shape in self.shapes]
        )
        compiled = jit_for_inference(lambda *given: bind(self.equation, given)).compiled
        return lambda: jax.block_until_ready(compiled(*operands))


def _products(program: Program, origins: Sequence[Origin], times: int) -> Iterator[_Product]:
    """Yield the products of a program that runs a number of times.

    A value comes from a parameter where that alone takes part, moved or in other numbers.
    """
    known: dict[int, Origin] = dict(zip(program.inputs, origins, strict=True))

    for equation in program.equations:
        given = [origin_of(operand, known) for operand in equation.operands]
        path = next(filter(None, given), "")
        computed = any(isinstance(o, int) and known[o] is None for o in equation.operands)
        known.update(dict.fromkeys(equation.results, None if computed else path))
        if equation.name in _PRODUCTS:
            shapes = tuple(map(program.shape, equation.operands))
            yield _Product(path, shapes, times, equation)
        turns = equation.params["length"] if equation.name == "scan" else 1
        for which, body in enumerate(equation.bodies):
            entered = entering(equation, which, given).flat()
            yield from _products(body, entered, times * turns)
