"""Whether a function does the same with other leaves."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcompress.compiled import jit_for_inference
from jaxcompress.quantization.expressions import tolerance
from jaxcompress.trace.silence import relative_difference
from jaxcompress.trees import NamedLeaves, PyTree, is_floating


class Sameness:
    """The results of a function on some inputs, to compare others with.

    Attributes:
        within: relative difference that rounding may make.
    """

    def __init__(
        self, apply: Callable[..., PyTree], named: NamedLeaves, inputs: Sequence[PyTree]
    ) -> None:
        self._compiled, self._named, self._inputs = jit_for_inference(apply), named, inputs
        self._wanted = self._results(named.leaves)
        dtypes = [x.dtype for x in (*self._wanted, *named.leaves) if is_floating(x)]
        self.within = max(map(tolerance, dtypes), default=0.0)

    def difference(self, leaves: Sequence[Any]) -> float:
        """Return the largest relative difference of a result, of a function with other leaves."""
        given = self._results(leaves)
        return max(map(relative_difference, given, self._wanted), default=0.0)

    def _results(self, leaves: Sequence[Any]) -> list[Any]:
        return jax.tree.leaves(self._compiled(self._named.rebuild(list(leaves)), *self._inputs))
