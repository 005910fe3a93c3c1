"""The folder of a run: one writer at a time, one set of settings."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from jaxcompress.artifact import (
    check_target,
    is_temporary,
    open_regular,
    remove_leftovers,
    write_atomically,
)
from jaxcompress.text import shortened
from pipelines.errors import FolderError

LOG, RESULTS, STAGES = "log.txt", "results.json", "stages"
_LOCK, _HOLDER, _SETTINGS = ".lock", ".holder", "settings.json"
_MOST_BYTES = 2**26  # of JSON


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Make the folder if necessary and lock it; a second run gets an error that names the first.

    Leftovers of killed writers in the folder are removed.

    Raises:
        FolderError: the folder cannot be written, or another run holds it.
    """
    holder = folder / _HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (_LOCK, _HOLDER, _SETTINGS, LOG, RESULTS):
            check_target(folder / name)  # opening a pipe would wait
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        name = holder.read_text(errors="replace").strip() if holder.exists() else "unknown"
        raise FolderError(
            f"{folder}: another run writes here ({name}); wait for it, pass another --out, or "
            f"remove {folder / _LOCK} if it is gone, whose lock a network drive may keep."
        ) from None
    except OSError as error:
        raise FolderError(
            f"{folder}: cannot be written ({error.strerror or error}); pass another --out."
        ) from None
    except ValueError as error:
        raise FolderError(str(error)) from None
    try:
        for place in (folder, folder / STAGES):
            remove_leftovers(place)
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield folder
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def claim(folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Write the settings into a new folder, or compare them with those of the run to resume.

    Raises:
        FolderError: without `resume`, the folder was used before; with `resume`, it holds a run of
            other settings, or none.
    """
    path = folder / _SETTINGS
    if not path.exists() or not path.stat().st_size:
        # A run that was killed before this point left nothing of value.
        names = (p.name for p in folder.iterdir() if not is_temporary(p))
        others = sorted(name for name in names if name not in (_LOCK, _HOLDER, _SETTINGS))
        if resume:
            raise FolderError(f"{folder}: holds no run to resume; leave --resume out.")
        if others:
            raise FolderError(
                f"{folder}: holds other files ({', '.join(others[:3])}); pass another --out."
            )
        write_json(path, settings)
        return
    if not resume:
        raise FolderError(
            f"{folder}: holds a run already; pass --resume to go on with it, or another --out."
        )
    try:
        before = read_json(path)
        if not isinstance(before, dict):
            raise ValueError("holds no object")
    except ValueError as error:
        raise FolderError(f"{path}: not readable ({error}); pass another --out.") from None
    if before.get("format") != settings.get("format"):
        found = shortened(repr(before.get("format", 1)))
        raise FolderError(
            f"{path}: is of format {found}, this program reads {settings.get('format')}; start "
            "again with another --out."
        )
    different = [
        f"{shortened(name)} {_shown(before, name)} then, {_shown(settings, name)} now"
        for name in sorted(before.keys() | settings.keys())
        if before.get(name) != settings.get(name)
    ]
    if different:
        raise FolderError(
            f"{folder}: the run to resume had other settings ({'; '.join(different)}); pass the "
            "same, or another --out."
        )


def _shown(settings: dict[str, Any], name: str) -> str:
    return shortened(repr(settings.get(name)))


def read_json(path: Path) -> Any:
    """Read JSON of a regular file.

    Raises:
        ValueError: not a regular file, more than 64 MiB, or not JSON.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        text = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError(f"must have at most {_MOST_BYTES} bytes")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("must not be nested so deep") from None


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
