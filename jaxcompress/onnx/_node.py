"""A primitive of JAX for one ONNX node, so that a function can contain nodes."""

import contextlib
import functools
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive

from jaxcompress.onnx._libraries import library

NODE = Primitive("jaxcompress_onnx_node")


def node(
    op: str,
    *operands: Any,
    shape: Sequence[Any],
    dtype: Any = np.float32,
    counts: Mapping[int, Sequence[int]] = {},
    **attributes: Any,
) -> Any:
    """Return the result of an ONNX node, inside a function that jax2onnx traces.

    Args:
        op: its type, such as "Conv".
        operands: traced values and constants.
        shape: of the result; sizes may be symbolic.
        dtype: of the result.
        counts: operands that are integers of 64 bits, by place; `operands` holds the others.
        **attributes: of the node: numbers, texts and tuples of integers.
    """
    return NODE.bind(
        *operands,
        op=op,
        shape=tuple(shape),
        dtype=np.dtype(dtype),
        counts=tuple((place, tuple(map(int, some))) for place, some in sorted(counts.items())),
        attributes=tuple(sorted(attributes.items())),
    )


@NODE.def_abstract_eval
def _(*operands: Any, op: str, shape: Any, dtype: Any, counts: Any, attributes: Any) -> Any:
    del operands, op, counts, attributes
    return ShapedArray(shape, dtype)


@contextlib.contextmanager
def primitives() -> Iterator[Collection[str]]:
    """Register the primitives of JAX and this one with jax2onnx, no others; yield their names.

    The plugins of jax2onnx for layers of other libraries build networks when they are imported,
    which takes seven seconds, and replace functions of these libraries during tracing.
    """
    package = library("jax2onnx.plugins.jax")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        library(module.name)
    system = library("jax2onnx.plugins.plugin_system")
    _register(system)
    before = system._already_imported_plugins
    system._already_imported_plugins = True
    try:
        yield system.PLUGIN_REGISTRY.keys()
    finally:
        system._already_imported_plugins = before


@functools.cache
def _register(system: Any) -> None:
    @system.register_primitive(jaxpr_primitive=NODE.name)
    class _Node(system.PrimitiveLeafPlugin):
        def lower(self, ctx: Any, eqn: Any) -> None:
            operands = [ctx.get_value_for_var(var) for var in eqn.invars]
            for place, numbers in eqn.params["counts"]:
                array, name = np.array(numbers, np.int64), ctx.fresh_name("counts")
                operands.insert(place, ctx.builder.add_initializer_from_array(name, array))
            (var,) = eqn.outvars
            known = ctx.get_value_for_var(var)
            result = getattr(ctx.builder, eqn.params["op"])(
                *operands,
                _outputs=[ctx.fresh_name(eqn.params["op"])],
                **dict(eqn.params["attributes"]),
            )
            result.type, result.shape = known.type, known.shape
            ctx.bind_value_for_var(var, result)
