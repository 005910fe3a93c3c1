"""Flax NNX: modules that JAX may trace."""

import importlib
from collections.abc import Callable
from typing import Any


def called(module: Any) -> Callable[..., Any]:
    """Return a function that calls a copy of a module, which JAX may trace."""
    nnx = importlib.import_module("flax.nnx")
    graph, state = nnx.split(module)
    return lambda *inputs, **keywords: nnx.merge(graph, state)(*inputs, **keywords)
