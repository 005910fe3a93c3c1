"""The libraries of the extra `onnx`, imported when they are needed."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import jax

from jaxcompress import extras


def library(name: str) -> Any:
    """Return a module.

    Raises:
        MissingLibraryError: it is not installed.
    """
    with quiet(), _unpatched():
        return extras.library(name, "onnx", extra="onnx")


@contextlib.contextmanager
def _unpatched() -> Iterator[None]:
    """Restore functions of JAX that a library replaces for the whole process when it is imported.

    A plugin of jax2onnx replaces `jnp.cumsum` by one with fewer arguments.
    """
    spaces = [vars(module) for module in (jax.numpy, jax.lax, jax.nn)]
    before = [dict(space) for space in spaces]
    try:
        yield
    finally:
        for space, functions in zip(spaces, before, strict=True):
            space.update(functions)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings of the libraries that are meant for their own authors."""
    loggers = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
