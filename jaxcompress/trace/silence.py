"""Running a program at full size with some of its units silenced, and predicting smaller shapes."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.trace.ledger import UNIFORM, Axis
from jaxcompress.trace.program import Constant, Equation, Operand, Program
from jaxcompress.trace.rules import Value
from jaxcompress.trace.walk import Walk

_LOWEST = {"reduce_max": -1, "reduce_min": 1}
_NEUTRAL = {"reduce_prod": 1, "reduce_and": True}


def gone(axis: Axis, removed: np.ndarray) -> np.ndarray:
    """Return `[n]` booleans: the entries that go when the nodes `removed` do."""
    if not removed.size:
        return np.zeros(axis.shape[1], bool)
    return np.any((axis >= 0) & removed[np.maximum(axis, 0)], axis=0)


def shape_left(value: Value, removed: np.ndarray) -> tuple[int, ...]:
    """Return the shape of a value without its removed entries."""
    return tuple(int(np.count_nonzero(~gone(axis, removed))) for axis in value)


def mismatch(program: Program, walk: Walk, small: Program, removed: np.ndarray) -> str | None:
    """Say where a program traced at smaller sizes is not the full one without its removed units.

    Returns:
        None if both have the same equations and every value has the shape that was predicted, so
        that entries stand where they should; otherwise the first difference.
    """
    if len(program.equations) != len(small.equations):
        return f"{len(program.equations)} equations became {len(small.equations)}"
    for number, (full, cut) in enumerate(zip(program.equations, small.equations, strict=True)):
        if full.name != cut.name:
            return f"{full.name} became {cut.name}"
        for before, after in zip(full.results, cut.results, strict=True):
            if not _fits(small.shapes[after], walk.values[before], removed):
                return (
                    f"{full.name} gives {_text(small.shapes[after])} where "
                    f"{_text(shape_left(walk.values[before], removed))} are left of "
                    f"{_text(program.shapes[before])}"
                )
        found = _misplaced(full, cut, walk, small, removed)
        for own, body, other in zip(
            walk.bodies.get(number, []), full.bodies, cut.bodies, strict=False
        ):
            found = found or mismatch(body, own, other, removed)
        if found:
            return found
    return None


def _fits(shape: tuple[int, ...], value: Value, removed: np.ndarray) -> bool:
    """Return whether a shape is what is left of a value; uniform entries follow any cut."""
    left = shape_left(value, removed)
    loose = [int(np.count_nonzero((axis == UNIFORM).all(axis=0))) for axis in value]
    return len(shape) == len(left) and all(
        most - slack <= size <= most for size, most, slack in zip(shape, left, loose, strict=True)
    )


def _misplaced(
    full: Equation, cut: Equation, walk: Walk, small: Program, removed: np.ndarray
) -> str | None:
    """Check which entries slices take, and how much is padded in front."""
    if full.name not in ("slice", "pad") or isinstance(full.operands[0], Constant):
        return None
    for k, axis in enumerate(walk.values[full.operands[0]]):
        if full.name == "slice":
            left = np.flatnonzero(~gone(axis, removed))
            if len(left) != small.shape(cut.operands[0])[k]:
                continue  # uniform entries, which follow
            wanted = np.arange(axis.shape[1])[_taken(full, k)]
            given = left[_taken(cut, k)]
            if not np.array_equal(given, wanted[np.isin(wanted, left)]):
                return "slice takes other entries than those that are left"
            continue
        before, after = (e.params["padding_config"][k][0] for e in (full, cut))
        ids = walk.values[full.results[0]][k][:, : max(before, 0)]
        predicted = int(np.count_nonzero(~gone(ids, removed)))
        if before > 0 and predicted != after:
            return f"pad starts at {after} where {predicted} are left before"
    return None


def _taken(equation: Equation, axis: int) -> slice:
    params = equation.params
    stride = params["strides"][axis] if params["strides"] else 1
    return slice(params["start_indices"][axis], params["limit_indices"][axis], stride)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


def run_silenced(
    program: Program, walk: Walk, small: Program, removed: np.ndarray, inputs: Sequence[Any]
) -> list[Any]:
    """Run a program with zeros in every removed entry of every value.

    Maxima, minima and products over an axis skip the removed entries. Numbers that the code wrote
    down, such as the `n` of a mean, are those of `small`, the same program traced at the smaller
    size: so statistics over an axis of units are those of the units that stay.
    """
    known: dict[int, Any] = {}

    def read(operand: Operand, other: Operand) -> Any:
        if not isinstance(operand, Constant):
            return known[operand]
        same = isinstance(other, Constant) and other.shape == operand.shape
        return other.value if same and isinstance(other, Constant) else operand.value

    for number, value in zip(program.inputs, inputs, strict=True):
        known[number] = _silence(value, walk.values[number], removed)
    for number, (equation, cut) in enumerate(zip(program.equations, small.equations, strict=True)):
        operands = list(map(read, equation.operands, cut.operands))
        if equation.bodies:
            walks = walk.bodies[number]
            results = _run_bodies(equation, cut, walks, removed, operands)
        else:
            first = equation.operands[0] if equation.operands else Constant(0)
            if not isinstance(first, Constant) and equation.name in {**_LOWEST, **_NEUTRAL}:
                fill = _neutral(equation.name, operands[0])
                operands[0] = _silence(operands[0], walk.values[first], removed, fill)
            results = equation.primitive.bind(*operands, **equation.params)
            if not equation.primitive.multiple_results:
                results = [results]
        for result, value in zip(equation.results, results, strict=True):
            known[result] = _silence(value, walk.values[result], removed)
    return list(map(read, program.outputs, small.outputs))


def _neutral(name: str, operand: Any) -> Any:
    if name in _NEUTRAL:
        return _NEUTRAL[name]
    if jnp.issubdtype(operand.dtype, jnp.floating):
        return _LOWEST[name] * np.inf
    if operand.dtype == bool:
        return _LOWEST[name] > 0
    limits = jnp.iinfo(operand.dtype)
    return limits.min if _LOWEST[name] < 0 else limits.max


def _silence(value: Any, axes: Value, removed: np.ndarray, fill: Any = 0) -> Any:
    for k, axis in enumerate(axes):
        out = gone(axis, removed)
        if out.any():
            mask = out.reshape([-1 if j == k else 1 for j in range(len(axes))])
            value = jnp.where(mask, jnp.asarray(fill, value.dtype), value)
    return value


def _run_bodies(
    equation: Equation, cut: Equation, walks: list[Walk], removed: np.ndarray, operands: list[Any]
) -> list[Any]:
    def body(which: int, given: Sequence[Any]) -> list[Any]:
        results = run_silenced(
            equation.bodies[which], walks[which], cut.bodies[which], removed, given
        )
        return list(map(jnp.asarray, results))

    params = equation.params
    if equation.name == "scan":
        fixed, carried = params["num_consts"], params["num_carry"]
        consts = operands[:fixed]

        def step(carry: list[Any], slices: list[Any]) -> tuple[list[Any], list[Any]]:
            results = body(0, [*consts, *carry, *slices])
            return results[:carried], results[carried:]

        carry, stacked = jax.lax.scan(
            step,
            list(map(jnp.asarray, operands[fixed : fixed + carried])),
            list(map(jnp.asarray, operands[fixed + carried :])),
            length=params["length"],
            reverse=params["reverse"],
        )
        return [*carry, *stacked]
    if equation.name == "while":
        first, second = params["cond_nconsts"], params["body_nconsts"]
        for_test, for_body = operands[:first], operands[first : first + second]
        return jax.lax.while_loop(
            lambda state: body(0, [*for_test, *state])[0],
            lambda state: body(1, [*for_body, *state]),
            list(map(jnp.asarray, operands[first + second :])),
        )
    index, *rest = operands
    branches = [lambda *given, k=k: body(k, given) for k in range(len(equation.bodies))]
    return jax.lax.switch(jnp.asarray(index, jnp.int32), branches, *rest)
