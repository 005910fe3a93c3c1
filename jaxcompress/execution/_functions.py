"""Functions of arrays, run on compressed leaves."""

import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jaxcompress.compiled import jit_for_inference
from jaxcompress.execution import _waiting
from jaxcompress.execution._thin import (
    converted,
    gathered,
    sliced,
    squeezed,
    thin_convolution,
    thin_product,
    transposed,
)
from jaxcompress.execution._waiting import Decoder, is_waiting
from jaxcompress.execution._weight_only import weight_only
from jaxcompress.leaves import Coded, LowRank, Quantized, decoded, dense, is_compressed
from jaxcompress.leaves.tree import dense_shapes
from jaxcompress.products.find import keeps_derivatives
from jaxcompress.trace.loops import Entering, as_operands, entering
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind, trace
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import PyTree, is_traced, named_leaves

PRODUCTS: dict[tuple[str, type], Callable[[Equation, list[Any], int], list[Any] | None]] = {
    ("dot_general", Quantized): weight_only,
    ("dot_general", LowRank): thin_product,
    ("conv_general_dilated", LowRank): thin_convolution,
    ("gather", LowRank): gathered,
    ("transpose", LowRank): transposed,
    ("convert_element_type", LowRank): converted,
    ("slice", LowRank): sliced,
    ("squeeze", LowRank): squeezed,
    ("slice", Coded): _waiting.sliced,
    ("squeeze", Coded): _waiting.squeezed,
}
"""Products by leaf type: from the equation, its operands and the place of the leaf to the results,
or None where the leaf must be made dense."""

GIVE_LEAVES = ("transpose", "convert_element_type", "slice", "squeeze")
"""Primitives whose result is a leaf again."""


def execute(apply: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Return a function of compressed leaves with the results of `apply` on arrays.

    On a CPU a `Quantized` weight of a dense layer is kept as integers, a quarter of the bytes. A
    large layer takes about 0.7 of the time for one sample, and up to 1.3 times as long for several.
    `LowRank` weights of dense layers, convolutions and tables are multiplied factor by factor, also
    where they are transposed or converted first, and in loops over stacked layers. Everything else
    (grouped convolutions, zero points, scales of blocks of inputs, other weights of loops, and all
    other leaf types) is made dense where it is used. That saves memory between calls, but no time.
    `Sparse` leaves are made dense as well: docs/sparse.md has measurements of sparse products.

    `Coded` weights are decoded one after the other, each after the product with the one before, so
    that two are never in memory at once unless one equation has both. They are multiplied as dense
    weights are, to the bit, unless XLA adds in another order: on dense weights it may compute
    `(x @ w).T` as `w.T @ x.T`. Decoding takes its time at every call. In loops over
    stacked layers this holds for leaves that `coded` made with `stack=1`. Other weights of loops
    and branches are decoded before them, and tables as a whole, however few rows are looked up.

    Gathered to the host: nothing.

    Args:
        apply: `apply(params, *inputs)`, of arrays.

    Returns:
        `fast(params, *inputs)`, which is compiled for each shape. If an argument is traced, as
        under `jit`, `grad` and `vmap`, it becomes part of that trace. Pass the leaves to `jit` as
        arguments: XLA may turn leaves that a compiled function closes over into float32 constants.
        A `custom_vjp` that calls products has the derivative of what it calls.

    Raises:
        ValueError: of the function: `apply` does not run on these arrays.

    Example:
        >>> integers, scale = jax.numpy.array([[3, -1]], "int8"), jax.numpy.array([[0.5]])
        >>> leaf = Quantized(values=integers, scale=scale, bits=8)
        >>> fast = execute(lambda params, x: x @ params["kernel"])
        >>> fast({"kernel": leaf}, jax.numpy.ones((1, 1))).tolist()
        [[1.5, -0.5]]
    """

    def evaluate(params: PyTree, *inputs: PyTree) -> PyTree:
        named = named_leaves(params, is_leaf=is_compressed)
        program = trace(apply, dense_shapes(params), *inputs, keep=keeps_derivatives)
        plain, cut = _only_in_equations(program), _cut(program)
        leaves = [
            _given(leaf, is_plain=value in plain, cut=cut[value])
            for value, leaf in zip(program.inputs, named.leaves, strict=False)
        ]
        visit = partial(_visit, Decoder(program))
        results, _ = run(program, [*leaves, *jax.tree.leaves(inputs)], visit)
        return jax.tree.unflatten(program.structure, results)

    compiled = jit_for_inference(evaluate)

    def fast(params: PyTree, *inputs: PyTree) -> PyTree:
        return (evaluate if is_traced((params, inputs)) else compiled)(params, *inputs)

    return fast


def _visit(decoder: Decoder, key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
    """Compute with compressed leaves, made dense if necessary."""
    if not any(map(is_waiting, operands)):
        return _computed(equation, operands)
    moves = PRODUCTS.get((equation.name, type(operands[0])))
    if equation.name in GIVE_LEAVES and moves and (results := moves(equation, operands, 0)):
        return Outcome(results)
    waiting = decoder.waits(key, equation, operands)
    if waiting is not None:
        return Outcome([waiting])
    operands = decoder.decoded(key, operands)
    results = (_computed(equation, operands) or Outcome(bind(equation, operands))).results
    decoder.done(key, results)
    return Outcome(results)


def _computed(equation: Equation, operands: list[Any]) -> Outcome | None:
    """Compute with a compressed leaf, if there is one."""
    for place, leaf in enumerate(operands):
        if is_compressed(leaf):
            others = [dense(o) if k != place else o for k, o in enumerate(operands)]
            product = PRODUCTS.get((equation.name, type(leaf)))
            results = product(equation, others, place) if product else None
            return Outcome(results or bind(equation, dense(others)))
    return None


def _only_in_equations(program: Program) -> set[int]:
    """Return the inputs that are used by equations only, not by loops or branches nor returned."""
    operands = list(program.outputs)
    for equation in program.equations:
        if equation.bodies:
            operands += equation.operands
    return set(program.inputs) - {o for o in operands if not isinstance(o, Constant)}


def _cut(program: Program) -> defaultdict[int, float]:
    """Return along how many first axes loops cut each value; infinity if it must be an array.

    A value must be an array if it is returned, carried by a loop, or passed to any other body.
    """
    found: defaultdict[int, float] = defaultdict(float)

    def need(operand: Operand, axes: float) -> None:
        if not isinstance(operand, Constant):
            found[operand] = max(found[operand], axes)

    for operand in program.outputs:
        need(operand, math.inf)
    for equation in reversed(program.equations):
        if equation.bodies:
            for operand, axes in zip(equation.operands, _cut_by(equation), strict=True):
                need(operand, axes)
        elif equation.name in GIVE_LEAVES:
            after, gone = found[equation.results[0]], len(equation.params.get("dimensions", ()))
            need(equation.operands[0], after and after + gone)
    return found


def _cut_by(equation: Equation) -> list[float]:
    """Return along how many first axes a loop or branches cut each operand."""
    if equation.name != "scan":
        return [math.inf] * len(equation.operands)
    (body,) = equation.bodies
    inside = _cut(body)
    inputs = entering(equation, 0, equation.operands).like([inside[k] for k in body.inputs])
    arrays = [math.inf] * len(inputs.carried)
    return as_operands(Entering(inputs.constants, arrays, [axes + 1 for axes in inputs.sliced]))


def _given(leaf: Any, *, is_plain: bool, cut: float) -> Any:
    """Return the value of a leaf for the function: the leaf itself if it need not be dense."""
    if isinstance(leaf, LowRank) and cut <= len(leaf.stack):
        turns = cut or (is_waiting(leaf) and not is_plain)  # else it is decoded at every turn
        return decoded(leaf) if turns else leaf  # scales and codebooks have no axis of layers
    if isinstance(leaf, Coded) and 0 < cut <= len(leaf.stack):
        return leaf
    return leaf if is_plain and not isinstance(leaf, LowRank) else dense(leaf)
