"""Unpickling the original CIFAR-10 batches without trusting them.

A pickle is a program that may call anything it can name. These batches are dicts of one uint8
array, lists of ints and strings, which takes four names; any other name ends the reading. Even
those four are not NumPy's own functions where a narrower stand-in will do.
"""

import io
import pickle
from typing import Any

import numpy as np

from pipelines.data.dataset import DataError


def load_batch(payload: bytes, *, origin: str) -> dict[str, Any]:
    """Unpickle one batch.

    Args:
        payload: The pickle, as Python 2 or 3 wrote it.
        origin: The file to name in the error.

    Returns:
        The dict; what Python 2 wrote as `str`, the keys among it, is decoded as Latin-1.

    Raises:
        DataError: The pickle is damaged, is no dict, or asks for a forbidden name.
    """
    try:
        batch = _Unpickler(io.BytesIO(payload), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(
            f"{origin}: cannot be unpickled ({error}); use an untouched copy of the archive"
        ) from error
    if not isinstance(batch, dict):
        raise DataError(f"{origin}: must be a pickled dict, got {type(batch).__name__}")
    return batch


def _uint8(name: str, *_: object) -> np.dtype:
    """Stands in for `numpy.dtype`, whose flags NumPy 2.4 no longer takes as Python 2's ints."""
    if name not in ("u1", "|u1"):
        raise pickle.UnpicklingError(f"arrays must be uint8, got dtype {name!r}")
    return np.dtype(np.uint8, copy=True)


def _latin1(text: str, encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes in protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes must be Latin-1, got encoding {encoding!r}")
    return text.encode("latin-1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]  # lives in another module in NumPy 1 and 2

_PERMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _uint8,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    """Looks names up in the table above and nowhere else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _PERMITTED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for the forbidden global {module_name}.{global_name}"
            ) from None
