"""Bytes of memory that a compiled function takes."""

from collections.abc import Callable

from jaxcompress.compiled import jit_for_inference
from jaxcompress.trace.program import abstract
from jaxcompress.trees import PyTree


def peak_bytes(apply: Callable[..., PyTree], params: PyTree, *inputs: PyTree) -> int | None:
    """Return the memory of one call as XLA plans it: arguments, results and intermediate values.

    Args:
        apply: `apply(params, *inputs)`.
        params: any pytree of arrays, or of shapes and dtypes.
        *inputs: any pytrees of arrays, or of shapes and dtypes.

    Returns:
        Bytes, or None where the compiler of the device does not say.

    Example:
        >>> import numpy as np
        >>> kernel, x = np.ones((64, 64), "f"), np.ones((1, 64), "f")
        >>> peak_bytes(lambda p, x: x @ p, kernel, x) >= 64 * 64 * 4
        True
    """
    shells = [abstract(part) for part in (params, *inputs)]
    plan = jit_for_inference(apply).lower(*shells).compile().memory_analysis()
    if plan is None:
        return None
    taken = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return int(taken - plan.alias_size_in_bytes)
