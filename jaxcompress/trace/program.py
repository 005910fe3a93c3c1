"""A traced function as one flat list of equations.

Calls (`jit`, `custom_jvp`, `remat`, ...) are replaced by the equations inside, so that every value
has a number of its own: in JAX all calls of a function use the same inner jaxpr. Loops and branches
keep their bodies as programs of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jaxcompress.errors import NoArrayError
from jaxcompress.trace.inputs import arrays_only, check_inputs, first_line, shell
from jaxcompress.trace.loops import BODIES
from jaxcompress.trees import PyTree, named_leaves

INLINED = {
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "remat2",
    "checkpoint",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "custom_vmap_call",
    "custom_partitioning",
    "composite",
}
"""Primitives that only call a jaxpr."""

_CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")  # versions of JAX differ in the name


def called(name: str, params: Mapping[str, Any]) -> Any:
    """Return the jaxpr that a primitive of `INLINED` calls; None for other primitives."""
    if name not in INLINED:
        return None
    return next(params[key] for key in _CALLED if key in params)


def inner_bodies(name: str, params: Mapping[str, Any]) -> list[Any]:
    """Return the jaxprs of a primitive that calls or keeps some; none for kernels."""
    if name in INLINED:
        found = [called(name, params)]
    else:
        found = BODIES[name](params) if name in BODIES else []
    return [getattr(body, "jaxpr", body) for body in found]


@dataclass(frozen=True)
class Constant:
    """An operand that is not computed: a literal, or an array that the function closes over.

    Attributes:
        value: a number or an array.
    """

    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the constant."""
        return tuple(np.shape(self.value))


Operand = int | Constant
"""The number of a value, or a constant."""


@dataclass(frozen=True)
class Equation:
    """One primitive with its operands and results.

    Attributes:
        primitive: of JAX.
        params: its static parameters.
        operands: values and constants.
        results: numbers of values.
        bodies: of loops and branches.
    """

    primitive: Any
    params: dict[str, Any]
    operands: tuple[Operand, ...]
    results: tuple[int, ...]
    bodies: "tuple[Program, ...]" = ()

    @property
    def name(self) -> str:
        """Name of the primitive."""
        return str(self.primitive.name)


@dataclass(frozen=True)
class Program:
    """Equations in the order of their execution.

    Attributes:
        inputs: numbers of the input values.
        outputs: values and constants that are returned.
        equations: in order.
        shapes: of every value, by number.
        structure: of the result of the function; None for bodies of loops.
    """

    inputs: tuple[int, ...]
    outputs: tuple[Operand, ...]
    equations: tuple[Equation, ...]
    shapes: tuple[tuple[int, ...], ...]
    structure: Any = None

    def shape(self, operand: Operand) -> tuple[int, ...]:
        """Return the shape of a value or constant."""
        return operand.shape if isinstance(operand, Constant) else self.shapes[operand]


def bind(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """Return the results of one equation."""
    params = equation.primitive.get_bind_params(equation.params)
    functions, params = params if isinstance(params, tuple) else ((), params)  # as in older JAX
    results = equation.primitive.bind(*functions, *operands, **params)
    return list(results) if equation.primitive.multiple_results else [results]


Keep = Callable[[Any], bool]
"""Whether a call, an equation of JAX, is kept as one equation."""


@dataclass
class _Flattening:
    keep: Keep
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)

    def number(self, var: Any) -> int:
        self.shapes.append(tuple(getattr(var.aval, "shape", ())))
        return len(self.shapes) - 1

    def run(
        self, jaxpr: Any, consts: Sequence[Operand], operands: Sequence[Operand]
    ) -> list[Operand]:
        known: dict[Any, Operand] = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, operands, strict=True))

        def look_up(atom: Any) -> Operand:
            return Constant(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for eqn in jaxpr.eqns:
            given = [look_up(atom) for atom in eqn.invars]
            name = eqn.primitive.name
            inner = called(name, eqn.params)
            if inner is not None and not self.keep(eqn):
                closed = isinstance(inner, core.ClosedJaxpr)
                body = inner.jaxpr if closed else inner
                inner_consts = [Constant(value) for value in inner.consts] if closed else []
                known.update(zip(eqn.outvars, self.run(body, inner_consts, given), strict=True))
                continue
            results = tuple(self.number(var) for var in eqn.outvars)
            bodies = ()
            if name in BODIES:
                bodies = tuple(flatten(body, self.keep) for body in BODIES[name](eqn.params))
            self.equations.append(
                Equation(eqn.primitive, eqn.params, tuple(given), results, bodies)
            )
            known.update(zip(eqn.outvars, results, strict=True))
        return [look_up(atom) for atom in jaxpr.outvars]


def flatten(closed: Any, keep: Keep = lambda call: False) -> Program:
    """Return a closed jaxpr as a program."""
    flat = _Flattening(keep)
    inputs = tuple(flat.number(var) for var in closed.jaxpr.invars)
    outputs = flat.run(closed.jaxpr, [Constant(value) for value in closed.consts], inputs)
    return Program(inputs, tuple(outputs), tuple(flat.equations), tuple(flat.shapes))


def abstract(tree: PyTree, shapes: Mapping[str, tuple[int, ...]] | None = None) -> PyTree:
    """Return `tree` with shapes and dtypes in place of its arrays.

    Args:
        tree: any pytree of arrays, or of objects with a shape and a dtype.
        shapes: other shapes for some leaves, by path.
    """
    named = named_leaves(tree)
    other = shapes or {}
    return named.rebuild(
        [shell(leaf, other.get(path)) for path, leaf in zip(named.paths, named.leaves, strict=True)]
    )


def trace(
    apply: Callable[..., PyTree],
    params: PyTree,
    *inputs: PyTree,
    keep: Keep = lambda call: False,
) -> Program:
    """Return `apply(params, *inputs)` as a program; its first inputs are the leaves of `params`.

    Nothing is computed: only shapes and dtypes are used.

    Args:
        apply: any function of JAX.
        params: any pytree of arrays.
        *inputs: any pytrees of arrays.
        keep: which calls are kept as one equation.

    Raises:
        TypeError: leaves, inputs or results that are not arrays.
        ValueError: the function does not run on arrays of these shapes, or depends on their values.

    Example:
        >>> program = trace(lambda params, x: x @ params, np.ones((2, 3)), np.ones((1, 2)))
        >>> [equation.name for equation in program.equations]
        ['dot_general']
    """
    named_leaves(params)
    shapes = check_inputs(inputs)
    try:
        return retrace(apply, params, *inputs, keep=keep)
    except NoArrayError:
        raise
    except _NEEDS_VALUES as error:
        raise ValueError(
            "apply: must be traceable with abstract values, got "
            f"{first_line(error).rstrip('.')}; shapes and branches must not depend on data: use "
            "jnp.where, lax.cond and sizes taken from shapes."
        ) from error
    except Exception as error:  # any error of the code
        raise ValueError(
            "apply: must run on the parameters and inputs given, got "
            f"{first_line(error).rstrip('.')}; check the shapes of the inputs "
            f"({', '.join(shapes) or 'none'})."
        ) from error


def retrace(
    apply: Callable[..., PyTree],
    params: PyTree,
    *inputs: PyTree,
    keep: Keep = lambda call: False,
) -> Program:
    """Return a program as `trace`, for inputs traced before; errors are those of the code."""
    shells = [jax.tree.map(shell, part) for part in inputs]
    closed, shape = jax.make_jaxpr(arrays_only(apply), return_shape=True)(abstract(params), *shells)
    return replace(flatten(closed, keep), structure=jax.tree.structure(shape))


_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
)
