"""Running a program at full size with some of its units silenced."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.trace.primitives import kind_of
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind
from jaxcompress.trace.run import run_bodies
from jaxcompress.units._rules import Value
from jaxcompress.units.cut import Cut
from jaxcompress.units.dependencies import UNIFORM, Axis
from jaxcompress.units.walk import Walk

_REDUCTIONS = {f"reduce_{kind}" for kind in ("sum", "max", "min", "prod", "and", "or", "xor")}


def run_silenced(
    program: Program, walk: Walk, small: Program, cut: Cut, inputs: Sequence[Any]
) -> list[Any]:
    """Run a program with zeros in every removed entry of every value.

    Reductions and products over an axis skip the removed entries. Of an axis whose entries are all
    alike, such as ones that are counted, they take as many as `small` has, the same program traced
    at the smaller size. Numbers written in the code, such as the `n` of a mean, and constants are
    those of `small`: so statistics over an axis of units are those of the kept units.
    """
    known: dict[int, Any] = {}

    def read(operand: Operand, other: Operand) -> Any:
        if not isinstance(operand, Constant):
            return known[operand]
        return other.value if isinstance(other, Constant) else operand.value

    for number, value in zip(program.inputs, inputs, strict=True):
        known[number] = _silence(value, walk.values[number], cut)
    for number, (equation, smaller) in enumerate(
        zip(program.equations, small.equations, strict=True)
    ):
        operands = list(map(read, equation.operands, smaller.operands))
        if equation.bodies:
            walks = walk.bodies[number]
            results = _run_bodies(equation, smaller, walks, cut, operands)
        else:
            shapes = list(map(small.shape, smaller.operands))
            operands = _skip_removed(equation, walk, shapes, cut, operands)
            results = bind(equation, operands)
        for result, value in zip(equation.results, results, strict=True):
            known[result] = _silence(value, walk.values[result], cut)
    return list(map(read, program.outputs, small.outputs))


def _skip_removed(
    equation: Equation,
    walk: Walk,
    shapes: list[tuple[int, ...]],
    cut: Cut,
    operands: list[Any],
) -> list[Any]:
    """Take the kept entries along the axes that are summed over; `shapes` are those after the cut.

    Constants are those of the smaller program, without removed entries.
    """
    operands = list(operands)
    for places in _summed(equation):
        axes = {
            (which, k): walk.values[operand][k]
            for which, k in places
            if not isinstance(operand := equation.operands[which], Constant)
        }
        if not axes:
            continue
        which, k = places[0]
        kept = _kept(list(axes.values()), cut, shapes[which][k])
        if not kept.all():
            for which, k in axes:
                operands[which] = jnp.take(operands[which], np.flatnonzero(kept), axis=k)
    return operands


def _summed(equation: Equation) -> list[list[tuple[int, int]]]:
    """Return the axes that a primitive sums over, `(operand, axis)` of axes summed together."""
    if equation.name in _REDUCTIONS:
        return [[(0, k)] for k in equation.params["axes"]]
    kind = kind_of(equation.name)
    if kind == "matrices":
        return [[(0, a), (1, b)] for a, b in zip(*contraction(equation).summed, strict=True)]
    if kind == "convolution" and (axes := convolution(equation)).groups == 1:
        return [list(enumerate(axes.channels_in))]
    return []


def _kept(axes: Sequence[Axis], cut: Cut, size: int) -> np.ndarray:
    """Return for each entry of axes summed together whether it is among the `size` kept ones.

    Of entries without a unit that are constant along the axes, surplus ones are dropped.
    """
    kept = ~np.any([cut.gone(axis) for axis in axes], axis=0)
    alike = kept & np.all([(axis == UNIFORM).all(axis=0) for axis in axes], axis=0)
    surplus = max(int(np.count_nonzero(kept)) - size, 0)
    kept[np.flatnonzero(alike)[:surplus]] = False
    return kept


def _silence(value: Any, axes: Value, cut: Cut) -> Any:
    for k, axis in enumerate(axes):
        out = cut.gone(axis)
        if out.any():
            mask = out.reshape([-1 if j == k else 1 for j in range(len(axes))])
            value = jnp.where(mask, jnp.zeros((), value.dtype), value)
    return value


def _run_bodies(
    equation: Equation, smaller: Equation, walks: list[Walk], cut: Cut, operands: list[Any]
) -> list[Any]:
    def body(which: int, given: Sequence[Any]) -> tuple[list[Any], None]:
        results = run_silenced(
            equation.bodies[which], walks[which], smaller.bodies[which], cut, given
        )
        return list(map(jnp.asarray, results)), None

    # A length may be a number of units: take that of the smaller program.
    return run_bodies(equation, body, operands, smaller.params.get("length"))[0]


def relative_difference(a: Any, b: Any) -> float:
    """Return `max |a - b| / max |b|` over finite numbers; infinities and NaN must agree.

    Infinity if `b` has no finite number, or is zero where `a` is not.
    """
    wide = np.complex128 if jnp.issubdtype(b.dtype, jnp.complexfloating) else np.float64
    a, b = np.asarray(a).astype(wide), np.asarray(b).astype(wide)
    if not np.isfinite(b).any() and b.size:
        return float("inf")
    same = (a == b) | (np.isnan(a) & np.isnan(b))  # such as infinite masks of logits
    if same.all():
        return 0.0
    if not (np.isfinite(a[~same]).all() and np.isfinite(b[~same]).all()):
        return float("inf")
    difference = float(np.abs(a[~same] - b[~same]).max())
    largest = float(np.abs(b[np.isfinite(b)]).max())
    return difference / largest if largest else float("inf")
