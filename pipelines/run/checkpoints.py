"""Checkpoints by orbax with digests: without them damaged bytes would load without an error.

A checkpoint is a folder of arrays, `000012/`, and `000012.json` with everything else, the digest of
the arrays, and a digest of the JSON itself. The JSON is written last: arrays without it are not a
checkpoint.
"""

import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxcompress.artifact import remove_leftovers
from pipelines.run.flat import flatten, unflatten
from pipelines.run.folder import FolderError, read_json, write_json

KEPT, FORMAT = 2, 2

# Orbax reports every save, and prints each error that it raises as well.
logging.getLogger("absl").setLevel(logging.CRITICAL)

T = TypeVar("T")

_ARRAYS, _SIDECAR, _DAMAGED = "", ".json", ".damaged"
_UNFINISHED = ".orbax-checkpoint-tmp"  # orbax renames it when everything is written
_KINDS = (_ARRAYS, _SIDECAR, _DAMAGED, _UNFINISHED)
_NAME = re.compile(rf"([0-9]{{6,}})({'|'.join(map(re.escape, _KINDS))})")


class _Entry(NamedTuple):
    """An entry of the folder with a name of this program."""

    number: int
    kind: str
    path: Path


class Checkpoints:
    """Numbered checkpoints in a folder, of which the newest two are kept.

    Files of other names are not touched.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn

    def save(self, arrays: dict[str, Any], notes: dict[str, Any]) -> None:
        """Write a checkpoint, and remove all but the newest two.

        Args:
            arrays: nested dicts and lists of arrays; compressed leaves are allowed.
            notes: JSON.
        """
        self._folder.mkdir(exist_ok=True)
        number = max((entry.number for entry in self._entries()), default=-1) + 1
        flat = flatten(arrays)
        stored = {
            name: array for name, array in flat.items() if array.size
        }  # orbax cannot store empty arrays
        path = self._folder / f"{number:06}"
        with _checkpointer() as checkpointer:
            checkpointer.save(path.absolute(), stored)
        body = {
            "format": FORMAT,
            "number": number,
            "arrays": [[name, list(a.shape), a.dtype.name] for name, a in flat.items()],
            "arrays_digest": _digest(flat),
            "notes": notes,
        }
        write_json(self._path(number, _SIDECAR), {"digest": _seal(body)} | body)
        kept = self._numbers()[-KEPT:]
        for entry in self._entries():
            if entry.number not in kept:
                _remove(entry)

    def sound(
        self, read: Callable[[dict[str, Any], dict[str, Any]], T] = lambda *found: found
    ) -> Iterator[T]:
        """Yield the result of `read(arrays, notes)` for each sound checkpoint, the newest first.

        A checkpoint that is damaged, or that `read` refuses, is reported and set aside.

        Raises:
            FolderError: a checkpoint has another format.
        """
        numbers = self._numbers()
        for number in reversed(numbers):
            try:
                found = read(*self._load(number))
            except (MemoryError, FolderError):
                raise
            except Exception as error:  # noqa: BLE001  (orbax raises errors of any kind)
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                then = "trying the one before" if number > numbers[0] else "there is none before"
                self._warn(f"checkpoint {number:06} is damaged ({reason}); {then}")
                with contextlib.suppress(OSError):
                    self._path(number, _SIDECAR).rename(self._path(number, _DAMAGED))
            else:
                yield found

    def tidy(self) -> None:
        """Remove leftovers of killed writers: arrays without notes, and temporary files."""
        remove_leftovers(self._folder)
        known = {entry.number for entry in self._entries() if entry.kind in (_SIDECAR, _DAMAGED)}
        for entry in self._entries():
            orphan = entry.kind == _ARRAYS and entry.number not in known
            if orphan or entry.kind == _UNFINISHED:
                _remove(entry)

    @property
    def found(self) -> bool:
        """Whether any was written, sound or not."""
        return any(entry.kind in (_SIDECAR, _DAMAGED) for entry in self._entries())

    def _load(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        body = read_json(self._path(number, _SIDECAR))
        if not isinstance(body, dict):
            raise ValueError("its notes are no object")
        if body.keys() == {"digest", "arrays", "notes"}:
            raise FolderError(
                f"{self._folder}: checkpoint {number:06} is of format 1, this program reads "
                f"{FORMAT}; start again with another --out."
            )
        if body.pop("digest", None) != _seal(body):
            raise ValueError("the digest of its notes differs")
        if (body["format"], body["number"]) != (FORMAT, number):
            found = f"format {body['format']}, number {body['number']}"
            raise ValueError(f"must be of format {FORMAT}, number {number}, got {found}")
        with _checkpointer() as checkpointer:
            stored = checkpointer.restore(self._path(number, _ARRAYS).absolute())
        flat = {
            name: stored[name] if name in stored else np.empty(shape, dtype)
            for name, shape, dtype in body["arrays"]
        }
        if _digest(flat) != body["arrays_digest"]:
            raise ValueError("the digest of its arrays differs")
        return unflatten(flat), body["notes"]

    def _path(self, number: int, kind: str) -> Path:
        return self._folder / f"{number:06}{kind}"

    def _numbers(self) -> list[int]:
        return sorted(entry.number for entry in self._entries() if entry.kind == _SIDECAR)

    def _entries(self) -> list[_Entry]:
        paths = self._folder.glob("*")
        matches = ((path, _NAME.fullmatch(path.name)) for path in paths)
        found = [_Entry(int(match[1]), match[2], path) for path, match in matches if match]
        return [entry for entry in found if entry.path == self._path(entry.number, entry.kind)]


def _checkpointer() -> ocp.Checkpointer:
    """Return a writer and reader of host arrays that waits for no other process."""
    mine = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"process{jax.process_index()}",
    )
    if jax.process_count() == 1:
        return ocp.PyTreeCheckpointer()
    return ocp.Checkpointer(
        ocp.PyTreeCheckpointHandler(multiprocessing_options=mine), multiprocessing_options=mine
    )


def _remove(entry: _Entry) -> None:
    """Remove an entry if this program wrote it, and nothing else of that name."""
    if entry.kind in (_ARRAYS, _UNFINISHED):
        shutil.rmtree(entry.path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        entry.path.unlink()


def _seal(body: dict[str, Any]) -> str:
    """Return the digest of JSON, independent of the order of its keys and of white space."""
    plain = json.loads(json.dumps(body))  # tuples are lists then, and keys are strings
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(flat: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(flat.items()):
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
