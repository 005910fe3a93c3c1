"""A teacher's logits, computed once and kept on disk."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.artifact.codec import inspect, load, save
from jaxcompress.bounds import is_integer
from jaxcompress.checks import check_finite
from jaxcompress.compiled import jit_for_inference
from jaxcompress.errors import ArtifactError
from jaxcompress.placement import on_host
from jaxcompress.trees import PyTree, named_leaves

_KIND = "teacher logits"


def cached_logits(
    path: str | os.PathLike[str],
    apply: Callable[[PyTree, Any], jax.Array],
    params: PyTree,
    samples: PyTree,
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """Return a teacher's logits, read from a file, or computed and written there.

    They are read from the file only if it was written for exactly this function (as JAX lowers it),
    these parameters and these samples, to the bit. A file for others is replaced. For samples that
    are augmented anew at every step, compute the logits in the step instead.

    Args:
        path: the file, an `.npz`; it is written atomically.
        apply: `apply(params, x) -> logits`, the teacher in evaluation mode.
        params: its parameters, and statistics if it has any.
        samples: an array, or a tree of arrays, with a row for each sample.
        batch_size: rows at a time. JAX lowers the function for this size, so another size computes
            the logits anew.

    Returns:
        Logits, a row for each sample.

    Raises:
        ValueError: no rows, rows that do not match, a batch size below 1, logits that are not
            finite or have other rows, a file of another kind, which is not touched.
        TypeError: a batch size that is not an integer.
        OSError: the file cannot be read or written.

    Example:
        >>> import tempfile
        >>> params, samples = {"kernel": np.eye(2, dtype="f")}, np.ones((3, 2), "f")
        >>> apply = lambda params, x: x @ params["kernel"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cached_logits(f"{folder}/teacher.npz", apply, params, samples).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    count = _rows(samples)
    if not is_integer(batch_size):
        raise TypeError(f"batch_size: must be an integer, got {batch_size!r}; 256 is usual.")
    if batch_size < 1:
        raise ValueError(f"batch_size: must be at least 1, got {batch_size}; 256 is usual.")

    def rows(start: int) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[start : start + batch_size], samples)

    compiled = jit_for_inference(apply)
    key = _key(compiled.lower(params, rows(0)).as_text(), params, samples)
    if Path(path).exists():
        known = _read(path, key, count)
        if known is not None:
            return known
    parts = []
    for start in range(0, count, batch_size):
        part, size = compiled(params, rows(start)), min(batch_size, count - start)
        if not isinstance(part, jax.Array) or part.shape[:1] != (size,):
            raise ValueError(
                f"apply: must give an array with a row for each of {size} samples, got shapes "
                f"{jax.tree.map(jnp.shape, part)}; pass the function that gives logits, not a loss."
            )
        parts.append(on_host(part))  # on the host: the device need not hold them all
    logits = np.concatenate(parts)
    check_finite("teacher logits", logits)
    save(path, {"logits": logits}, metadata={"kind": _KIND, "key": key})
    return logits


def _rows(samples: PyTree) -> int:
    named = named_leaves(samples)
    counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in named.leaves}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            "samples: all arrays must have the same number of rows, at least one, got "
            f"{sorted(counts)}."
        )
    return counts.pop()


def _key(program: str, *trees: PyTree) -> str:
    digest = hashlib.sha256(program.encode())
    for tree in trees:
        named = named_leaves(tree)
        for path, leaf in zip(named.paths, named.leaves, strict=True):
            array = np.ascontiguousarray(on_host(leaf))
            digest.update(f"\0{path}\0{array.dtype.name}\0{array.shape}\0".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _read(path: str | os.PathLike[str], key: str, count: int) -> np.ndarray | None:
    """Return the logits in a file; None if its key is another one.

    Raises:
        ValueError: the file holds no logits.
    """
    try:
        metadata = inspect(path)["metadata"]
        if not isinstance(metadata, dict) or metadata.get("kind") != _KIND:
            raise ArtifactError("holds something else")
        if metadata.get("key") != key:
            return None
        logits = np.asarray(load(path)["logits"])
        if not logits.ndim or len(logits) != count or not np.isfinite(logits).all():
            raise ArtifactError("holds other logits than it says")
        return logits
    except (ArtifactError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"{os.fspath(path)}: is no cache of logits ({error}); pass another path, or remove it."
        ) from None
