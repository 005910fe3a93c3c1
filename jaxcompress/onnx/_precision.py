"""Numbers of 32 bits in a file, also where JAX is set to 64."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxcompress.trees import PyTree, named_leaves

_NARROW = {
    "float64": np.float32,
    "int64": np.int32,
    "uint64": np.uint32,
    "complex128": np.complex64,
}


@contextlib.contextmanager
def narrow_jax() -> Iterator[None]:
    """Let JAX compute in 32 bits, whatever its setting, without warnings."""
    switch = getattr(jax, "enable_x64", None)
    if switch is None:  # an older JAX
        switch = importlib.import_module("jax.experimental").enable_x64
    with switch(False), warnings.catch_warnings():  # noqa: FBT003  (JAX names it differently)
        warnings.filterwarnings("ignore", "Explicitly requested dtype")
        yield


def native(tree: PyTree) -> PyTree:
    """Return arrays in the byte order of the machine, which JAX needs."""
    return jax.tree.map(
        lambda leaf: leaf if leaf.dtype.isnative else leaf.astype(leaf.dtype.newbyteorder("=")),
        tree,
    )


def narrow(tree: PyTree, what: str) -> PyTree:
    """Return arrays of 32 bits in place of those of 64; others are unchanged.

    Args:
        tree: any pytree of arrays.
        what: the argument, for errors.

    Raises:
        ValueError: a number that does not fit 32 bits, by path.
    """
    named = named_leaves(tree)
    return named.rebuild(
        [
            _narrow(leaf, f"{what}/{path}".rstrip("/"))
            for path, leaf in zip(named.paths, named.leaves, strict=True)
        ]
    )


def _narrow(leaf: Any, path: str) -> Any:
    dtype = _NARROW.get(leaf.dtype.name)
    if dtype is None:
        return (
            leaf if leaf.dtype.isnative else np.asarray(leaf).astype(leaf.dtype.newbyteorder("="))
        )
    wide = np.asarray(leaf)
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    inexact = np.issubdtype(dtype, np.inexact)
    lost = ~np.isfinite(array) & np.isfinite(wide) if inexact else array != wide
    if lost.any():
        raise ValueError(
            f"{path}: must fit {np.dtype(dtype)}, in which an ONNX file computes, got "
            f"{wide[lost].flat[0]} of {wide.dtype}; scale it, or keep it out of the function."
        )
    return array
