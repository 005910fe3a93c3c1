"""A function of JAX as an ONNX model."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from jaxcompress.export.libraries import library, quiet
from jaxcompress.export.lowering import Lowering, Writer
from jaxcompress.export.node import register
from jaxcompress.trace.products import Product, find_products
from jaxcompress.trace.program import Program, trace
from jaxcompress.trees import PyTree, named_leaves


class Traced(NamedTuple):
    """A function to export.

    Attributes:
        program: with parameters before the inputs.
        products: of the program.
        params: the parameters, dense.
        inputs: shapes and dtypes; a first size that is symbolic may be any.
        names: of the inputs.
    """

    program: Program
    products: list[Product]
    params: list[np.ndarray]
    inputs: list[Any]
    names: list[str]


def traced(
    apply: Callable[..., PyTree], params: PyTree, inputs: Sequence[PyTree], *, any_batch: bool
) -> Traced:
    """Return a function to export; `any_batch` replaces the first size of inputs by a symbol."""
    symbol = export.symbolic_shape("batch")

    def shell(leaf: Any) -> jax.ShapeDtypeStruct:
        shape = (*symbol, *leaf.shape[1:]) if any_batch else leaf.shape
        return jax.ShapeDtypeStruct(shape, leaf.dtype)

    shells = [jax.tree.map(shell, part) for part in inputs]
    named = named_leaves(params)
    program = trace(apply, params, *shells)
    return Traced(
        program,
        find_products(program, named.paths),
        list(map(np.asarray, named.leaves)),
        jax.tree.leaves(shells),
        input_names(inputs),
    )


def input_names(inputs: Sequence[PyTree]) -> list[str]:
    """Return a name for each array: `x`, `x/image` of a dict; with numbers if there are several."""
    prefixes = ["x"] if len(inputs) == 1 else [f"x{number}" for number in range(len(inputs))]
    return [
        "/".join(filter(None, (prefix, path)))
        for prefix, part in zip(prefixes, inputs, strict=True)
        for path in named_leaves(part).paths
    ]


def write_model(function: Traced, writer: Writer) -> bytes:
    """Return a function as a serialized model."""
    jax2onnx = library("jax2onnx")
    _register()
    lowering = Lowering(function.program, function.products, writer)
    with quiet():
        model = jax2onnx.to_onnx(
            lambda *inputs: lowering([*function.params, *inputs]),
            function.inputs,
            model_name="jaxcompress",
            input_names=function.names,
        )
    # Shapes of values in between are wrong in places, and not needed.
    del model.graph.value_info[:]
    return model.SerializeToString()


_register = functools.cache(register)
