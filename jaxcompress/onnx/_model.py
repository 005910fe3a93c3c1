"""A function of JAX as an ONNX model."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export
from jax.extend import core

from jaxcompress.onnx._comparison import result_names
from jaxcompress.onnx._libraries import library, quiet
from jaxcompress.onnx._lowering import Lowering, Writer
from jaxcompress.onnx._node import node, primitives
from jaxcompress.onnx._precision import narrow_jax
from jaxcompress.onnx._supported import check_supported
from jaxcompress.products.find import Product, find_products
from jaxcompress.products.unknown import Unknown, find_unknown
from jaxcompress.trace.inputs import first_line
from jaxcompress.trace.program import Program, trace
from jaxcompress.trees import PyTree, named_leaves


class Traced(NamedTuple):
    """A function to export.

    Attributes:
        program: its first inputs are the parameters.
        products: of the program.
        unknown: equations of the program that are not understood.
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
) -> Traced:
    """Return a function to export.

    Args:
        apply: the function.
        params: dense, of 32 bits at most.
        inputs: arrays, of 32 bits at most.
        any_batch: whether to put a symbol in place of the first size of the inputs.

    Raises:
        ValueError: as `trace`.
        TypeError: random keys among the parameters.
    """
    symbol = export.symbolic_shape("batch")

    def shell(leaf: Any) -> jax.ShapeDtypeStruct:
        shape = (*symbol, *leaf.shape[1:]) if any_batch else leaf.shape
        return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(leaf.dtype))

    shells = [jax.tree.map(shell, part) for part in inputs]
    named = named_leaves(params)
    with narrow_jax():
        program = trace(apply, params, *shells)
    return Traced(
        program,
        find_products(program, named.paths),
        find_unknown(program, named.paths),
        list(map(np.asarray, named.leaves)),
        jax.tree.leaves(shells),
        any_batch,
        _input_names(inputs),
        list(result_names(program.structure)),
    )


def _input_names(inputs: Sequence[PyTree]) -> list[str]:
    """Return a name for each array: `x`, `x/image` of a dict, `x0` and so on of several inputs."""
    prefixes = ["x"] if len(inputs) == 1 else [f"x{number}" for number in range(len(inputs))]
    return [
        "/".join(filter(None, (prefix, path)))
        for prefix, part in zip(prefixes, inputs, strict=True)
        for path in named_leaves(part).paths
    ]


def write_model(function: Traced, writer: Writer) -> bytes:
    """Return a function as a serialized model.

    Raises:
        ValueError: an ONNX file cannot express it, or jax2onnx does not translate it.
    """
    with narrow_jax(), quiet(), primitives() as known:
        jaxpr = _lowered(function, writer)
        check_supported(jaxpr.jaxpr, known)
        try:
            model = library("jax2onnx").to_onnx(
                core.jaxpr_as_fun(jaxpr),
                function.inputs,
                model_name="jaxcompress",
                input_names=function.input_names,
                output_names=function.output_names,
            )
        except Exception as error:  # whatever it raises
            at = _primitive(error)
            raise ValueError(
                f"apply: must be what jax2onnx can translate, got from it {_said(error)}{at}; "
                f"write {_part(at)} with other primitives, or report it to jax2onnx."
            ) from error
    # Shapes of intermediate values are wrong in places, and not needed.
    del model.graph.value_info[:]
    return model.SerializeToString()


def check_exportable(function: Traced, writer: Writer) -> None:
    """Refuse, by name, primitives that no ONNX file can have, before anything is computed.

    Raises:
        ValueError: as `write_model`.
    """
    with narrow_jax(), quiet(), primitives() as known:
        check_supported(_lowered(function, writer).jaxpr, known)


def _lowered(function: Traced, writer: Writer) -> Any:
    """Return the jaxpr that jax2onnx is to translate."""
    lowering = Lowering(function.program, function.products, writer)

    def run(*inputs: Any) -> list[Any]:
        return list(map(_named, lowering([*function.params, *inputs])))

    try:
        return jax.make_jaxpr(run)(*function.inputs)
    except Exception as error:  # of this project, or of primitives that run on constants
        at = _primitive(error)
        raise ValueError(
            f"apply: must be what can be run again equation by equation, got {_said(error)}{at}; "
            f"write {_part(at)} with other primitives, or report it to jaxcompress."
        ) from error


def _said(error: Exception) -> str:
    return first_line(error).rstrip(".")


def _primitive(error: Exception) -> str:
    """Return the equation at which an error was raised, empty if that is not known."""
    found, at = "", error.__traceback__
    while at is not None:
        for name in ("eqn", "equation"):
            primitive = getattr(at.tb_frame.f_locals.get(name), "primitive", None)
            found = str(primitive.name) if isinstance(primitive, core.Primitive) else found
        at = at.tb_next
    return found and f" at {found}"


def _part(at: str) -> str:
    return f"the part with {at.removeprefix(' at ')}" if at else "that part"


def _named(result: Any) -> Any:
    """Return a node of its own for an output, which gives it its name."""
    return node("Identity", result, shape=result.shape, dtype=result.dtype)
