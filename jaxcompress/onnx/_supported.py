"""Checks that refuse, by name, what an ONNX file cannot hold, before anything is translated."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import dtypes
from jax.extend import core

from jaxcompress.kinds import is_key
from jaxcompress.trees import PyTree, named_leaves, some_of

REMEDIES = {
    "pallas_call": "export the same computation in plain JAX, which most kernels have beside them",
    "ffi_call": "export the same computation in plain JAX",
    "pure_callback": "compute that in JAX: Python does not run inside of an ONNX file",
    "io_callback": "compute that in JAX: Python does not run inside of an ONNX file",
    "debug_callback": "leave the callback out of the function that is exported",
    "debug_print": "leave the print out of the function that is exported",
}
"""Remedies for primitives that are not arithmetic of JAX."""

_REWRITE = "write that part with other primitives, or compute it outside of the exported function"


def check_no_keys(tree: PyTree, what: str) -> None:
    """Refuse keys of random numbers.

    Args:
        tree: any pytree of arrays.
        what: the argument, such as `params`.

    Raises:
        TypeError: naming the keys.
    """
    named = named_leaves(tree)
    keys = [
        f"{what}/{path}".rstrip("/")
        for path, leaf in zip(named.paths, named.leaves, strict=True)
        if is_key(leaf)
    ]
    if keys:
        raise TypeError(
            f"{some_of(keys)}: must be numbers, got keys of random numbers, which an ONNX file "
            "cannot hold; split them off and let the function close over them, with Flax NNX by "
            "`graph, params, rest = nnx.split(net, nnx.Param, ...)`."
        )


def check_supported(jaxpr: Any, known: Iterable[str]) -> None:
    """Refuse primitives that jax2onnx does not know, and dtypes that ONNX Runtime does not have.

    Args:
        jaxpr: to be translated.
        known: names of the primitives that jax2onnx knows.

    Raises:
        ValueError: naming them.
    """
    known = set(known)
    equations = list(_equations(jaxpr, known))
    missing = sorted({name for e in equations if (name := str(e.primitive.name)) not in known})
    if missing:
        remedies = dict.fromkeys(REMEDIES.get(name, _REWRITE) for name in missing)
        raise ValueError(
            "apply: must be of primitives that jax2onnx can translate, got "
            f"{', '.join(missing)}; {'; '.join(remedies)}."
        )
    for equation in equations:
        for var in (*equation.invars, *equation.outvars):
            dtype = getattr(var.aval, "dtype", np.float32)
            remedy = _dtype_remedy(dtype)
            if remedy:
                raise ValueError(
                    "apply: must compute in dtypes that ONNX Runtime has on the CPU, got "
                    f"{dtype} at {equation.primitive.name}; {remedy}."
                )


def _dtype_remedy(dtype: Any) -> str:
    """Return a remedy for a dtype, empty if it is supported."""
    if jnp.issubdtype(dtype, dtypes.prng_key):
        return "draw random numbers outside of the exported function and pass them"
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return "compute with real and imaginary parts as real arrays"
    if np.dtype(dtype).name in _RUN:
        return ""
    return (
        "cast parameters and inputs to float32, and set the dtype that the network computes in, "
        "where it has such an argument, to float32"
    )


_RUN = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float32")


def _equations(jaxpr: Any, known: set[str]) -> Iterator[Any]:
    """Yield all equations, including those inside of known primitives."""
    for equation in jaxpr.eqns:
        yield equation
        if str(equation.primitive.name) in known:
            for inner in _inner(equation.params):
                yield from _equations(inner, known)


def _inner(params: Mapping[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part
