"""Compilation for the device at hand, in one place."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

from jaxcompress.kinds import native


def jit_for_inference(function: Callable[..., Any], **options: Any) -> Any:
    """Compile `function` as `jax.jit` does, with fast convolutions where there is a choice.

    On a CPU, XLA of jaxlib 0.10 fuses convolutions into a library call that is several times
    slower than its own code (and trains about half as fast). A compile option turns this off, which
    newer or older versions may not know. Speed-ups against the slow default would not be real.

    Args:
        function: as for `jax.jit`.
        **options: as for `jax.jit`.

    Returns:
        The compiled function. Do not call it inside another `jax.jit`, where JAX refuses compile
        options.

    Example:
        >>> float(jit_for_inference(lambda x: x + 1)(1.0))
        2.0
    """
    return jitted(function, compiler_options=_options(jax.default_backend()), **options)


def jitted(function: Callable[..., Any], **options: Any) -> Any:
    """Compile `function` as `jax.jit` does, for arrays of numpy in any byte order too."""
    return _Native(jax.jit(function, **options))


class _Native:
    """A compiled function that takes arrays of numpy in any byte order.

    JAX refuses other orders when it compiles, but later calls read their bytes in native order.

    Attributes:
        compiled: the function itself, which has all other attributes.
    """

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled

    def __getattr__(self, name: str) -> Any:
        return getattr(self.compiled, name)

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*jax.tree.map(native, args))


@cache
def _options(backend: str) -> dict[str, str] | None:
    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    if backend != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=options)(0)
    except Exception:  # noqa: BLE001  (an unknown option raises anything: do without)
        return None
    return options
