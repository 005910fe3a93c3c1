"""Values of a program that depend on none of its inputs: iotas, and what is computed from them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.trace.primitives import PURE, kind_of
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind

MOST_ENTRIES = 1 << 20
"""Most entries of a value that is computed for inspection."""


class Known:
    """Computes values that depend on no input, on demand."""

    def __init__(self, program: Program) -> None:
        self._makers: dict[int, Equation] = {}
        self._values: dict[int, Any] = {}
        for equation in program.equations:
            small = all(
                np.prod(program.shapes[value], dtype=float) <= MOST_ENTRIES
                for value in equation.results
            )
            if (
                small
                and kind_of(equation.name) in PURE
                and all(map(self._is_known, equation.operands))
            ):
                self._makers.update(dict.fromkeys(equation.results, equation))

    def value(self, operand: Operand) -> np.ndarray | None:
        """Return a value as an array, None if it depends on an input."""
        if not self._is_known(operand):
            return None
        stack = [operand]
        with jax.ensure_compile_time_eval():
            while stack:
                value = stack[-1]
                if isinstance(value, Constant) or value in self._values:
                    stack.pop()
                    continue
                maker = self._makers[value]
                missing = [o for o in maker.operands if not self._has(o)]
                if missing:
                    stack += missing
                else:
                    results = bind(maker, list(map(self._read, maker.operands)))
                    self._values.update(zip(maker.results, results, strict=True))
        return np.asarray(self._read(operand))

    def _is_known(self, operand: Operand) -> bool:
        if not isinstance(operand, Constant):
            return operand in self._makers
        dtype = jax.dtypes.result_type(operand.value)
        return not jnp.issubdtype(dtype, jax.dtypes.extended)

    def _has(self, operand: Operand) -> bool:
        return isinstance(operand, Constant) or operand in self._values

    def _read(self, operand: Operand) -> Any:
        return operand.value if isinstance(operand, Constant) else self._values[operand]
