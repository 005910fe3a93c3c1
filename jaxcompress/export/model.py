"""A function of JAX as an ONNX model."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from jaxcompress.export.libraries import library, quiet
from jaxcompress.export.lowering import Lowering, Writer
from jaxcompress.export.node import node, primitives
from jaxcompress.kinds import refuse_key
from jaxcompress.trace.inputs import first_line
from jaxcompress.trace.products import Product, find_products
from jaxcompress.trace.program import Program, trace
from jaxcompress.trace.unknown import Unknown, find_unknown
from jaxcompress.trees import PyTree, named_leaves


class Traced(NamedTuple):
    """A function to export.

    Attributes:
        program: with parameters before the inputs.
        products: of the program.
        unknown: its equations that are not understood.
        params: the parameters, dense.
        inputs: shapes and dtypes.
        any_batch: whether the first size of the inputs is a symbol.
        input_names: of the model.
        output_names: of the model.
    """

    program: Program
    products: list[Product]
    unknown: list[Unknown]
    params: list[np.ndarray]
    inputs: list[Any]
    any_batch: bool
    input_names: list[str]
    output_names: list[str]


def traced(
    apply: Callable[..., PyTree],
    params: PyTree,
    inputs: Sequence[PyTree],
    *,
    any_batch: bool,
    outputs: Sequence[str],
) -> Traced:
    """Return a function to export.

    Args:
        apply: the function.
        params: dense.
        inputs: arrays.
        any_batch: whether to put a symbol in place of the first size of the inputs.
        outputs: names of what the function returns.

    Raises:
        ValueError: what `trace` refuses.
        TypeError: random keys among the parameters.
    """
    symbol = export.symbolic_shape("batch")

    def shell(leaf: Any) -> jax.ShapeDtypeStruct:
        shape = (*symbol, *leaf.shape[1:]) if any_batch else leaf.shape
        return jax.ShapeDtypeStruct(shape, leaf.dtype)

    shells = [jax.tree.map(shell, part) for part in inputs]
    named = named_leaves(params)
    for path, leaf in zip(named.paths, named.leaves, strict=True):
        refuse_key(path, leaf, "exported")
    program = trace(apply, params, *shells)
    return Traced(
        program,
        find_products(program, named.paths),
        find_unknown(program, named.paths),
        list(map(np.asarray, named.leaves)),
        jax.tree.leaves(shells),
        any_batch,
        _input_names(inputs),
        list(outputs),
    )


def _input_names(inputs: Sequence[PyTree]) -> list[str]:
    """Return a name for each array: `x`, `x/image` of a dict; with numbers if there are several."""
    prefixes = ["x"] if len(inputs) == 1 else [f"x{number}" for number in range(len(inputs))]
    return [
        "/".join(filter(None, (prefix, path)))
        for prefix, part in zip(prefixes, inputs, strict=True)
        for path in named_leaves(part).paths
    ]


def write_model(function: Traced, writer: Writer) -> bytes:
    """Return a function as a serialized model.

    Raises:
        ValueError: jax2onnx does not translate it.
    """
    lowering = Lowering(function.program, function.products, writer)
    try:
        with quiet(), primitives():
            model = library("jax2onnx").to_onnx(
                lambda *inputs: list(map(_named, lowering([*function.params, *inputs]))),
                function.inputs,
                model_name="jaxcompress",
                input_names=function.input_names,
                output_names=function.output_names,
            )
    except Exception as error:  # whatever it raises
        part = ", ".join(map(str, function.unknown)) or "that part"
        raise ValueError(
            f"apply: must be what jax2onnx can translate, got {first_line(error).rstrip('.')}; "
            f"write {part} with other primitives."
        ) from error
    # Shapes of values in between are wrong in places, and not needed.
    del model.graph.value_info[:]
    return model.SerializeToString()


def _named(result: Any) -> Any:
    """Return a node that an output can have its name from, whatever else a value is."""
    return node("Identity", result, shape=result.shape, dtype=result.dtype)
