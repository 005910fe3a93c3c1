"""Ranges of the results of products, which the calibrated ranges of inputs do not include."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.compiled import jit_for_inference
from jaxcompress.onnx._precision import narrow_jax
from jaxcompress.quantization.grids import Grid, QParams, qparams_for
from jaxcompress.trace.program import Equation, Program, bind, trace
from jaxcompress.trace.run import Key, Outcome, run
from jaxcompress.trees import PyTree, is_floating


def result_qparams(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    *,
    like: Program,
    grid: Grid,
) -> dict[int, QParams]:
    """Return scale and zero point of each value of a program, on the range of its numbers.

    Args:
        apply: the function.
        params: dense.
        inputs: on which the ranges are taken.
        like: the program whose numbers of values are used. The result is empty if the function has
            other equations on `inputs`.
        grid: the integers.
    """
    with narrow_jax():
        return _result_qparams(trace(apply, params, *inputs), params, inputs, like, grid)


def _result_qparams(
    program: Program, params: PyTree, inputs: Sequence[PyTree], like: Program, grid: Grid
) -> dict[int, QParams]:
    if [e.name for e in program.equations] != [e.name for e in like.equations]:
        return {}
    look = jit_for_inference(lambda given: _ends(program, given))
    ends = jax.device_get(look(jax.tree.leaves((params, inputs))))
    return {
        value: qparams_for(np.asarray(low), np.asarray(high), grid)
        for value, (low, high) in ends.items()
    }


def _ends(program: Program, inputs: Sequence[Any]) -> dict[int, Any]:
    """Return the ends of each value, except the results inside loops and branches."""

    def visit(key: Key, equation: Equation, operands: list[Any]) -> Outcome | None:
        if len(key) > 1:
            return None
        results = bind(equation, operands)
        ends = {
            value: (jnp.min(result), jnp.max(result))
            for value, result in zip(equation.results, results, strict=True)
            if is_floating(result) and result.size
        }
        return Outcome(results, ends)

    seen = run(program, inputs, visit)[1]
    return {value: pair for ends in seen.values() for value, pair in ends.items()}
