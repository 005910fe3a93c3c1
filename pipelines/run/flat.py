"""Trees with compressed leaves as flat dicts of NumPy arrays, and back."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from jaxcompress.leaves import COMPRESSED, is_compressed
from jaxcompress.scopes import named_leaves, nested

_MARK = "#"
"""Prefix of the names of the parts of a leaf."""


_KINDS = {frozenset(f.name for f in fields(kind)) - {"zero_point"}: kind for kind in COMPRESSED}
"""Compressed leaves by the names of their parts, without the part that may be missing."""

_AS_ARRAYS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bits": (np.asarray, int),
    "dtype": (lambda dtype: np.empty(0, dtype), lambda array: array.dtype),
    "shape": (np.asarray, lambda array: tuple(np.asarray(array).tolist())),
    "equation": (
        lambda text: np.frombuffer(text.encode(), np.uint8),
        lambda array: bytes(array.astype(np.uint8)).decode(),
    ),
    "factors": (
        lambda factors: {str(n): factor for n, factor in enumerate(factors)},
        lambda found: tuple(found[str(n)] for n in range(len(found))),
    ),
}
"""Conversions of parts that are not arrays to arrays, or dicts of them, and back."""


def _parts(leaf: Any) -> dict[str, Any]:
    """Return the parts of a compressed leaf: arrays, or a dict of compressed leaves and arrays."""
    return {
        f"{_MARK}{name}": _AS_ARRAYS[name][0](part) if name in _AS_ARRAYS else part
        for name, part in vars(leaf).items()
        if part is not None
    }


def _made_of(parts: dict[str, Any]) -> Any:
    """Return the compressed leaf of these parts."""
    given = {
        name: _AS_ARRAYS[name][1](part) if name in _AS_ARRAYS else part
        for name, part in parts.items()
    }
    return _KINDS[frozenset(parts) - {"zero_point"}](**given)


def flatten(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return nested dicts as one dict of NumPy arrays, keys joined by slashes."""
    flat: dict[str, np.ndarray] = {}
    named = named_leaves(arrays, is_leaf=is_compressed)
    for name, leaf in zip(named.paths, named.leaves, strict=True):
        if is_compressed(leaf):
            flat |= {f"{name}/{part}": array for part, array in flatten(_parts(leaf)).items()}
        else:
            flat[name] = np.asarray(leaf)
    return flat


def unflatten(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the tree that `flatten` was given."""
    return _with_leaves(nested(flat.items()))


def _with_leaves(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.startswith(_MARK) for key in node):
        return _made_of({k.removeprefix(_MARK): _with_leaves(part) for k, part in node.items()})
    return {key: _with_leaves(child) for key, child in node.items()}
