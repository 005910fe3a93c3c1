"""Arrays that take long to make: made once, and kept on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from pipelines.data.dataset import DataError
from pipelines.data.download import cache_dir

Create = Callable[[str, tuple[int, ...], Any], np.ndarray]
"""`create(name, shape, dtype)` returns an array of that name to be filled, on disk."""

_INDEX = "index.json"  # written last: the key, and a digest of each file


def cached(kind: str, key: Mapping[str, Any], make: Callable[[Create], None]) -> dict[str, Any]:
    """Return named arrays from the cache, made and stored first if they are not there.

    They appear in the cache whole or not at all, and what was damaged since is made again. They
    are mapped from disk, read-only, so that they need no memory of their own. Of several
    processes that want the same, one makes it and the others wait.

    Args:
        kind: What they are; a folder of the cache.
        key: Everything that decides what they hold, as JSON.
        make: Makes them by `create` and fills them.

    Raises:
        DataError: The cache cannot be used.
    """
    identity = json.loads(json.dumps(key))
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    folder = cache_dir() / kind / name
    try:
        arrays = _read(folder)
        if arrays is None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                arrays = _read(folder)  # another process may have been quicker
                if arrays is None:
                    arrays = _mapped(folder, _write(folder, identity, make))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be used as a cache ({error}); point the environment variable"
            " JAXCOMPRESS_DATA to a folder that can be written, with room for it"
        ) from error
    return arrays


def _read(folder: Path) -> dict[str, np.ndarray] | None:
    """Return what a folder holds; None if it is not there or damaged."""
    if not (folder / _INDEX).is_file():
        return None
    try:
        files = json.loads((folder / _INDEX).read_text())["files"]
        if any(_digest(folder / f"{name}.npy") != digest for name, digest in files.items()):
            return None
        return _mapped(folder, files)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _mapped(folder: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}


def _write(folder: Path, key: Any, make: Callable[[Create], None]) -> dict[str, str]:
    """Make the arrays in a folder beside, and rename it; under the lock.

    Returns:
        Their names and digests.
    """
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    paths: dict[str, Path] = {}

    def create(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        paths[name] = partial / f"{name}.npy"
        array = np.lib.format.open_memmap(paths[name], mode="w+", dtype=dtype, shape=shape)
        _reserve(paths[name])
        return array

    try:
        make(create)
        files = {name: _digest(path) for name, path in paths.items()}
        (partial / _INDEX).write_text(json.dumps({"key": key, "files": files}, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        return files
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _reserve(path: Path) -> None:
    """Take the room that a mapped file needs: to run out of it later would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _digest(path: Path) -> str:
    if path.exists() and not path.is_file():
        return ""  # a pipe would be waited for
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(*places: Path) -> str:
    """Return a digest of Python files and of those in folders: a key that changes with the code."""
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
