"""The libraries of the extra `onnx`, imported when they are needed."""

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any


class MissingOnnxError(ImportError):
    """Exporting needs a library that is not installed."""


def library(name: str) -> Any:
    """Return a module.

    Raises:
        MissingOnnxError: it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(name)
    except ImportError:
        raise MissingOnnxError(
            f"onnx: needs {name.partition('.')[0]}, which is not installed; "
            "pip install 'jaxcompress[onnx]'."
        ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what the libraries have to say to their own authors."""
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
