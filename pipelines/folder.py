"""The folder of a run: one writer at a time, one set of settings."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from jaxcompress.artifact.atomic import write_atomically

_LOCK, _HOLDER = ".lock", ".holder"


class FolderError(Exception):
    """A run folder that cannot be used; one line, with the remedy."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Make the folder if need be and hold it; a second run is refused and told who holds it.

    Raises:
        FolderError: the folder cannot be written, or another run holds it.
    """
    holder = folder / _HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        name = holder.read_text().strip() if holder.exists() else "unknown"
        raise FolderError(
            f"{folder}: another run writes here ({name}); wait for it or pass another --out."
        ) from None
    except OSError as error:
        raise FolderError(
            f"{folder}: cannot be written ({error.strerror or error}); pass another --out."
        ) from None
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield folder
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def claim(folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Write the settings into a new folder, or compare them with those of the run to resume.

    Raises:
        FolderError: a folder that was used before without `resume`, or with other settings; with
            `resume`, one that holds no run.
    """
    path = folder / "settings.json"
    if not path.exists():
        others = sorted(p.name for p in folder.iterdir() if p.name not in (_LOCK, _HOLDER))
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
        before = json.loads(path.read_text())
        before.keys()
    except (ValueError, AttributeError) as error:
        raise FolderError(f"{path}: not readable ({error}); pass another --out.") from None
    different = [
        f"{name} {before.get(name)!r} then, {settings.get(name)!r} now"
        for name in sorted(before.keys() | settings.keys())
        if before.get(name) != settings.get(name)
    ]
    if different:
        raise FolderError(
            f"{folder}: the run to resume had other settings ({'; '.join(different)}); pass the "
            "same, or another --out."
        )


def write_json(path: Path, value: Any) -> None:
    """Write JSON a person can read, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
