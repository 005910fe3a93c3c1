"""Whether a function gives the same results with other leaves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxcompress.compiled import jit_for_inference
from jaxcompress.rewrite.values import Values, tolerance
from jaxcompress.trace.program import Program
from jaxcompress.trees import PyTree, is_floating
from jaxcompress.units.silence import relative_difference


@dataclass(frozen=True, eq=False, repr=False)
class Sameness:
    """The results of a function on some inputs, as a reference for comparison.

    Attributes:
        within: largest relative difference that rounding explains.
    """

    within: float
    _results: Callable[[Sequence[Any]], list[Any]]
    _wanted: list[Any]

    @classmethod
    def of(
        cls, apply: Callable[..., PyTree], values: Values, inputs: Sequence[PyTree]
    ) -> "Sameness":
        """Return the results of `apply` on inputs, with the original parameters."""
        compiled, named = jit_for_inference(apply), values.named

        def results(leaves: Sequence[Any]) -> list[Any]:
            return jax.tree.leaves(compiled(named.rebuild(list(leaves)), *inputs))

        wanted = results(named.leaves)
        given = [x.dtype for x in (*wanted, *named.leaves) if is_floating(x)]
        dtypes = (*given, *_converted_to(values.program))
        return cls(max(map(tolerance, dtypes), default=0.0), results, wanted)

    def difference(self, leaves: Sequence[Any]) -> float:
        """Return the largest relative difference of any result with other leaves."""
        given = self._results(leaves)
        return max(map(relative_difference, given, self._wanted), default=0.0)


def _converted_to(program: Program) -> Iterator[Any]:
    """Yield the floating-point dtypes to which a program converts."""
    for equation in program.equations:
        dtype = equation.params.get("new_dtype")
        if dtype is not None and jnp.issubdtype(dtype, jnp.floating):
            yield dtype
        for body in equation.bodies:
            yield from _converted_to(body)
