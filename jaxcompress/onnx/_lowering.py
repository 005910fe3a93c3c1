"""A program run again in a form that is fast in ONNX Runtime; jax2onnx traces the run.

Values that depend on parameters alone are computed. Products with constant weights absorb the
scales and offsets behind them (biases, batch norm), with channels where ONNX has them. Pooling in
any form becomes pooling nodes. Primitives in `RULES` are rewritten. Everything else is unchanged.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import jax
import numpy as np

from jaxcompress.onnx._bodies import lower
from jaxcompress.onnx._linear import AFFINE, CANONICAL, Linear
from jaxcompress.onnx._pooling import pooled_reshape
from jaxcompress.products.find import Product
from jaxcompress.rewrite.roles import along
from jaxcompress.trace.program import Constant, Equation, Operand, Program, bind
from jaxcompress.trees import is_traced


class Writer(Protocol):
    """Writes products."""

    def write(self, linear: Linear, value: int, *, rounded: bool) -> Any:
        """Return the result of a product with a constant weight, in the layout of ONNX.

        Args:
            linear: the product.
            value: number of its result in the program, behind gain and bias.
            rounded: whether the result is used by other products only.
        """
        ...

    def enter(self, product: Product, place: int, operand: Any) -> Any:
        """Return the replacement of an operand of any other product."""
        ...


class Lowering:
    """Runs a program whose first inputs are constants.

    Args:
        program: what to run.
        products: of the program.
        writer: writes the products.
    """

    def __init__(self, program: Program, products: Sequence[Product], writer: Writer) -> None:
        self._program, self._writer = program, writer
        self._products = {product.key[0]: product for product in products if len(product.key) == 1}
        self._users: dict[Any, list[tuple[int, Equation]]] = {}
        self._makers: dict[Any, Equation] = {}
        for number, equation in enumerate(program.equations):
            self._makers.update(dict.fromkeys(equation.results, equation))
            for operand in equation.operands:
                if not isinstance(operand, Constant):
                    self._users.setdefault(operand, []).append((number, equation))
        self._known: dict[Any, Any] = {}
        self._waiting: dict[Any, Linear] = {}

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the results of the program."""
        self._known = dict(zip(self._program.inputs, inputs, strict=True))
        self._waiting = {}
        for number, equation in enumerate(self._program.equations):
            linear = self._start(number, equation) or self._absorb(equation)
            if linear is not None:
                self._waiting[equation.results[0]] = linear
            else:
                results = self._results(number, equation)
                self._known.update(zip(equation.results, results, strict=True))
        return list(map(self._read, self._program.outputs))

    def _read(self, operand: Operand) -> Any:
        if isinstance(operand, Constant):
            return operand.value
        if self._is_waiting(operand):
            linear = self._waiting.pop(operand)
            result = self._writer.write(linear, operand, rounded=self._is_rounded(operand))
            self._known[operand] = linear.to_result(result)
        return self._known[operand]

    def _start(self, number: int, equation: Equation) -> Linear | None:
        """Return a product that may absorb equations behind it, None if this is no such product."""
        product = self._products.get(number)
        if product is None or len(product.activations) != 1:
            return None
        (place,) = product.activations
        if equation.name not in CANONICAL:
            return None
        x, weight = self._read(equation.operands[place]), self._read(equation.operands[1 - place])
        if is_traced(weight) or not x.dtype == weight.dtype == np.float32:
            return None
        shape = self._program.shapes[equation.results[0]]
        return CANONICAL[equation.name](product, x, np.asarray(weight), shape)

    def _absorb(self, equation: Equation) -> Linear | None:
        """Return a waiting product that has absorbed the equation, None if none can."""
        if equation.name not in AFFINE:
            return None
        for place, operand in enumerate(equation.operands):
            other = equation.operands[1 - place]
            if not self._is_waiting(operand) or self._is_waiting(other) or not self._once(operand):
                continue
            constant = self._read(other)
            if is_traced(constant):
                continue
            linear, shape = self._waiting[operand], self._program.shapes[equation.results[0]]
            vector = along(linear.channels, np.asarray(constant, np.float32), shape)
            if vector is not None:
                del self._waiting[operand]
                gain, bias = AFFINE[equation.name](place, linear.gain, linear.bias, vector)
                return replace(linear, gain=gain, bias=bias)
        return None

    def _results(self, number: int, equation: Equation) -> list[Any]:
        operands = list(map(self._read, equation.operands))
        shapes = [self._program.shapes[value] for value in equation.results]
        if not is_traced(operands) and all(isinstance(n, int) for shape in shapes for n in shape):
            with jax.ensure_compile_time_eval():
                return bind(equation, operands)
        if number in self._products:
            product = self._products[number]
            for place in product.activations:
                operands[place] = self._writer.enter(product, place, operands[place])
        pooled = self._blocks(equation, operands, shapes)
        return lower(equation, operands, shapes) if pooled is None else [pooled]

    def _is_waiting(self, operand: Operand) -> bool:
        return not isinstance(operand, Constant) and operand in self._waiting

    def _is_returned(self, value: Operand) -> bool:
        return any(
            value == output for output in self._program.outputs if not isinstance(output, Constant)
        )

    def _once(self, value: Operand) -> bool:
        return len(self._users.get(value, [])) == 1 and not self._is_returned(value)

    def _is_rounded(self, value: Operand) -> bool:
        """Return whether only products use a value, directly or behind `_KEEP_NUMBERS`."""
        return not self._is_returned(value) and all(
            number in self._products
            or (equation.name in _KEEP_NUMBERS and self._is_rounded(equation.results[0]))
            for number, equation in self._users.get(value, [])
        )

    def _blocks(
        self, equation: Equation, operands: list[Any], shapes: Sequence[Sequence[Any]]
    ) -> Any:
        """Return a maximum over blocks as pooling, None for any other equation."""
        if equation.name != "reduce_max":
            return None
        (operand,) = equation.operands
        maker = None if isinstance(operand, Constant) else self._makers.get(operand)
        if maker is None or maker.name != "reshape":
            return None
        return pooled_reshape(self._read(maker.operands[0]), equation, operands[0], shapes[0])


_KEEP_NUMBERS = ("max", "reduce_max", "reduce_window_max", "reshape", "transpose", "squeeze")
"""Rounding before these primitives equals rounding after them; ONNX Runtime makes use of it."""
