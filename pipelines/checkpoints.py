"""Checkpoints by orbax, with a digest beside each: damaged bytes would load without a word.

A checkpoint is a folder of arrays, `000012/`, and `000012.json` with everything else and the
digest of the arrays. The JSON is written last: what has none is not a checkpoint.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from jaxcompress.leaves import COMPRESSED, is_compressed
from jaxcompress.trees import named_leaves
from pipelines.folder import write_json
from pipelines.nested import nested

KEPT = 2

logging.getLogger("absl").setLevel(logging.WARNING)  # orbax reports every save


class Checkpoints:
    """Numbered checkpoints in a folder, the newest two kept."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn

    def save(self, arrays: dict[str, Any], notes: dict[str, Any]) -> None:
        """Write a checkpoint.

        Args:
            arrays: nested dicts and lists of arrays; compressed leaves are allowed.
            notes: JSON.
        """
        self._folder.mkdir(exist_ok=True)
        numbers = self._numbers()
        taken = [int(path.stem) for path in self._folder.glob("[0-9]*")]
        number = max(taken, default=-1) + 1
        flat = _flatten(arrays)
        stored = {name: array for name, array in flat.items() if array.size}  # orbax's limit
        path = self._folder / f"{number:06}"
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(path.absolute(), stored)
        listing = [[name, list(a.shape), a.dtype.name] for name, a in flat.items()]
        sidecar = {"digest": _digest(flat), "arrays": listing, "notes": notes}
        write_json(path.with_suffix(".json"), sidecar)
        for old in numbers[: 1 - KEPT]:
            self._remove(old)

    def latest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return arrays and notes of the newest sound checkpoint, None if there is none.

        A damaged one is reported, set aside, and the one before it taken.
        """
        numbers = self._numbers()
        for number in reversed(numbers):
            try:
                return self._load(number)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  (orbax raises of every kind)
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                then = "trying the one before" if number > numbers[0] else "starting again"
                self._warn(f"checkpoint {number:06} is damaged ({reason}); {then}")
                sidecar = (self._folder / f"{number:06}").with_suffix(".json")
                sidecar.rename(sidecar.with_suffix(".damaged"))
        return None

    def _load(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        path = self._folder / f"{number:06}"
        sidecar = json.loads(path.with_suffix(".json").read_text())
        with ocp.PyTreeCheckpointer() as checkpointer:
            stored = checkpointer.restore(path.absolute())
        flat = {
            name: stored[name] if name in stored else np.empty(shape, dtype)
            for name, shape, dtype in sidecar["arrays"]
        }
        if _digest(flat) != sidecar["digest"]:
            raise ValueError("the digest of its arrays differs")
        return _unflatten(flat), sidecar["notes"]

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("[0-9]*.json"))

    def _remove(self, number: int) -> None:
        path = self._folder / f"{number:06}"
        path.with_suffix(".json").unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def _digest(flat: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(flat.items()):
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


_MARK = "#"
"""Begins the names of the parts of a leaf."""


_KINDS = {frozenset(f.name for f in fields(kind)) - {"zero_point"}: kind for kind in COMPRESSED}
"""Compressed leaves by the names of their parts, but for the one that may be missing."""

_AS_ARRAYS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bits": (np.asarray, int),
    "dtype": (lambda dtype: np.empty(0, dtype), lambda array: array.dtype),
    "shape": (np.asarray, lambda array: tuple(np.asarray(array).tolist())),
}
"""How parts that are no arrays are made such, and back."""


def _parts(leaf: Any) -> dict[str, np.ndarray]:
    """Return what a compressed leaf consists of, as arrays."""
    return {
        name: np.asarray(_AS_ARRAYS[name][0](part) if name in _AS_ARRAYS else part)
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


def _flatten(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return nested dicts as one dict of numpy arrays, keys joined by slashes."""
    flat: dict[str, np.ndarray] = {}
    named = named_leaves(arrays, is_leaf=is_compressed)
    for name, leaf in zip(named.paths, named.leaves, strict=True):
        if is_compressed(leaf):
            flat |= {f"{name}/{_MARK}{part}": array for part, array in _parts(leaf).items()}
        else:
            flat[name] = np.asarray(leaf)
    return flat


def _unflatten(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    return _with_leaves(nested(flat))


def _with_leaves(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.startswith(_MARK) for key in node):
        return _made_of({key.removeprefix(_MARK): part for key, part in node.items()})
    return {key: _with_leaves(child) for key, child in node.items()}
