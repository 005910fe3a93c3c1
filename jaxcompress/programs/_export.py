"""Functions to bytes and back, by `jax.export`: StableHLO of a version that later readers know."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax import export

from jaxcompress.errors import ArtifactError
from jaxcompress.trace.inputs import first_line

PLATFORMS = ("cpu", "cuda", "tpu")
MOST_CONSTANTS = 1 << 20
"""Bytes of arrays that a function may hold itself; weights belong in the tree, where they are
packed."""


def exported(
    function: Callable[..., Any],
    args: Sequence[Any],
    *,
    platforms: Sequence[str],
) -> export.Exported:
    """Return a function of arrays, exported.

    Args:
        function: of `args`.
        args: shapes and dtypes; sizes may be symbolic.
        platforms: that it is compiled for.

    Raises:
        ValueError: it holds large arrays itself, or cannot be exported.
    """
    try:
        traced = jax.jit(function).trace(*args)
        _check_constants(traced.jaxpr.consts)
        with _without_places():
            return export.export(jax.jit(function), platforms=list(platforms))(*args)
    except Held:
        raise
    except Exception as error:
        raise ValueError(
            f"apply: must be a function that jax.export can write for {', '.join(platforms)}, got "
            f"{first_line(error)}; pass other platforms, or any_batch=False if it needs to know "
            "the number of rows."
        ) from error


@contextlib.contextmanager
def _without_places() -> Iterator[None]:
    """Leave out where in the code each operation was written: the same function, the same bytes."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)


class Held(ValueError):
    """A function that holds arrays which belong in the tree."""


def _check_constants(constants: Sequence[Any]) -> None:
    sizes = [(getattr(each, "nbytes", 0), getattr(each, "shape", ())) for each in constants]
    total = sum(size for size, _ in sizes)
    if total > MOST_CONSTANTS:
        size, shape = max(sizes)
        raise Held(
            f"apply: must take its arrays from the tree, got {total:,} bytes that it holds itself, "
            f"{size:,} of them of shape {list(shape)}; put them into the tree, where they are "
            "packed."
        )


def deserialized(data: bytes, *, jax_version: str, convention: int) -> export.Exported:
    """Return the program of a file.

    Args:
        data: from `Exported.serialize`.
        jax_version: that made it, for errors.
        convention: version of its calling convention.

    Raises:
        ArtifactError: JAX is too old or too new for it, or it cannot be read.
    """
    oldest = export.minimum_supported_calling_convention_version
    newest = export.maximum_supported_calling_convention_version
    if not oldest <= convention <= newest:
        remedy = "upgrade JAX" if convention > newest else "ship the network again"
        raise ArtifactError(
            f"a program of JAX {jax_version}, which JAX {jax.__version__} cannot run; {remedy}",
            expected=f"calling convention {oldest} to {newest}",
            found=convention,
        )
    try:
        return export.deserialize(bytearray(data))
    except Exception as error:  # whatever a reader of flatbuffers and MLIR raises
        raise ArtifactError(
            f"the program, made by JAX {jax_version}, cannot be read by JAX {jax.__version__} "
            f"({first_line(error)}); upgrade JAX, or ship the network again"[:400]
        ) from None
