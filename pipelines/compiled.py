"""Compiling for the device at hand, in one place."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Compile `function` as `jax.jit` does, with the fast convolutions where there is a choice.

    On a CPU, XLA of jaxlib 0.10 fuses convolutions into a library call that trains about half as
    fast as its own code; a compile option that newer or older versions may not know turns it off.
    """
    return jax.jit(function, compiler_options=_options(jax.default_backend()), **options)


@cache
def _options(backend: str) -> dict[str, str] | None:
    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    if backend != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=options)(0)
    except Exception:  # noqa: BLE001  (whatever an unknown option raises: go without)
        return None
    return options
