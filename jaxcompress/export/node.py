"""A primitive of JAX that stands for one ONNX node, so that a function can say what it exports."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive

NODE = Primitive("jaxcompress_onnx_node")


def node(
    op: str, *operands: Any, shape: Sequence[Any], dtype: Any = np.float32, **attributes: Any
) -> Any:
    """Return the result of an ONNX node, inside a function that jax2onnx traces.

    Args:
        op: its type, such as "Conv".
        operands: traced values and constants.
        shape: of the result; sizes may be symbolic.
        dtype: of the result.
        **attributes: of the node, numbers and tuples of integers.
    """
    return NODE.bind(
        *operands,
        op=op,
        shape=tuple(shape),
        dtype=np.dtype(dtype),
        attributes=tuple(sorted(attributes.items())),
    )


@NODE.def_abstract_eval
def _(*operands: Any, op: str, shape: Any, dtype: Any, attributes: Any) -> Any:
    del operands, op, attributes
    return ShapedArray(shape, dtype)


def register() -> None:
    """Teach jax2onnx the primitive."""
    from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive

    @register_primitive(jaxpr_primitive=NODE.name)
    class _Node(PrimitiveLeafPlugin):
        def lower(self, ctx: Any, eqn: Any) -> None:
            operands = [ctx.get_value_for_var(var) for var in eqn.invars]
            (var,) = eqn.outvars
            known = ctx.get_value_for_var(var)
            result = getattr(ctx.builder, eqn.params["op"])(
                *operands,
                _outputs=[ctx.fresh_name(eqn.params["op"])],
                **dict(eqn.params["attributes"]),
            )
            result.type, result.shape = known.type, known.shape
            ctx.bind_value_for_var(var, result)
