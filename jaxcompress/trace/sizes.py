"""Proof by tracing that a function runs at other sizes of its parameters."""

from collections.abc import Callable, Sequence

import jax

from jaxcompress.trace.inputs import first_line
from jaxcompress.trace.primitives import kind_of
from jaxcompress.trace.program import Equation, Program, abstract, retrace, trace
from jaxcompress.trees import PyTree


def check_runs_alike(
    apply: Callable[..., PyTree], small: PyTree, full: PyTree, *inputs: PyTree, name: str
) -> None:
    """Refuse parameters with which a function does not run, or gives results of other shapes.

    Only shapes and dtypes are used. The check also refuses one entry that is broadcast over several
    where the full parameters have several: it runs, but is not the result of a cut.

    Args:
        apply: `apply(params, *inputs)`.
        small: parameters of other sizes, or their shapes.
        full: parameters that are known to be right.
        *inputs: of the function.
        name: of the small parameters, for errors.

    Raises:
        TypeError: inputs or results that are not arrays.
        ValueError: as above, or the function does not run with the full parameters.
    """
    before = trace(apply, full, *inputs)
    try:
        after = retrace(apply, small, *inputs)
    except Exception as error:  # any error of the code
        raise ValueError(
            f"{name}: must be parameters that apply runs with, got "
            f"{first_line(error).rstrip('.')}; make the template as the network was before the "
            "cut, and apply one that takes sizes from its parameters."
        ) from error
    shells = [jax.tree.map(jax.typeof, part) for part in inputs]
    results = [jax.eval_shape(apply, abstract(params), *shells) for params in (full, small)]
    wanted, got = (str(jax.tree.map(_named, result)) for result in results)
    if wanted != got:
        raise ValueError(
            f"{name}: must give results of the same shapes as the template, {wanted}, got {got}; "
            "pass the template that this network was cut from."
        )
    if _stretched(after) > _stretched(before):
        raise ValueError(
            f"{name}: sizes must be those of one cut, got an axis of 1 that apply stretches over "
            "several entries; not all of its tensors were cut together."
        )


def _named(result: jax.ShapeDtypeStruct) -> str:
    return f"{result.dtype.name}{list(result.shape)}"


def _stretched(program: Program) -> int:
    """Return how many axes of size 1 are broadcast over several entries."""
    return sum(
        _stretches(program, equation) + sum(map(_stretched, equation.bodies))
        for equation in program.equations
    )


def _stretches(program: Program, equation: Equation) -> int:
    result: tuple[int, ...] = program.shape(equation.results[0]) if equation.results else ()
    if equation.name == "broadcast_in_dim":
        places: Sequence[int] = equation.params["broadcast_dimensions"]
    elif kind_of(equation.name) == "elementwise":
        places = range(len(result))
    else:
        return 0
    shapes = [program.shape(operand) for operand in equation.operands]
    return sum(
        1
        for shape in shapes
        if len(shape) == len(places)
        for size, place in zip(shape, places, strict=True)
        if size == 1 < result[place]
    )
