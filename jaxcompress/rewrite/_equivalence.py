"""Whether a function does the same with other leaves."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxcompress.compiled import jit_for_inference
from jaxcompress.rewrite.values import Expressions, tolerance
from jaxcompress.trace.program import Program
from jaxcompress.trees import PyTree, is_floating
from jaxcompress.units.silence import relative_difference


class Sameness:
    """The results of a function on some inputs, to compare others with.

    Attributes:
        within: relative difference that rounding may make.
    """

    def __init__(
        self, apply: Callable[..., PyTree], values: Expressions, inputs: Sequence[PyTree]
    ) -> None:
        self._compiled, self._named, self._inputs = jit_for_inference(apply), values.named, inputs
        self._wanted = self._results(self._named.leaves)
        dtypes = [x.dtype for x in (*self._wanted, *self._named.leaves) if is_floating(x)]
        narrowed = _converted_to(values.program)
        self.within = max(map(tolerance, (*dtypes, *narrowed)), default=0.0)

    def difference(self, leaves: Sequence[Any]) -> float:
        """Return the largest relative difference of a result, of a function with other leaves."""
        given = self._results(leaves)
        return max(map(relative_difference, given, self._wanted), default=0.0)

    def _results(self, leaves: Sequence[Any]) -> list[Any]:
        return jax.tree.leaves(self._compiled(self._named.rebuild(list(leaves)), *self._inputs))


def _converted_to(program: Program) -> Iterator[Any]:
    """Yield the floating-point dtypes in which a program computes besides those it is given."""
    for equation in program.equations:
        dtype = equation.params.get("new_dtype")
        if dtype is not None and jnp.issubdtype(dtype, jnp.floating):
            yield dtype
        for body in equation.bodies:
            yield from _converted_to(body)
