"""Arrays that take long to make: made once, on all cores, and kept on disk."""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipelines.data.dataset import DataError, Progress
from pipelines.data.download import cache_dir

Create = Callable[[str, tuple[int, ...], Any], np.ndarray]
"""`create(name, shape, dtype)` returns an array of that name to be filled, on disk."""

_Result = TypeVar("_Result")
_CHUNK = 64


def cached(kind: str, key: Mapping[str, Any], make: Callable[[Create], None]) -> dict[str, Any]:
    """Return named arrays from the cache, made and stored first if they are not there.

    They appear in the cache whole or not at all, and are mapped from disk, read-only, so that they
    need no memory of their own.

    Args:
        kind: What they are; a folder of the cache.
        key: Everything that decides what they hold, as JSON.
        make: Makes them by `create` and fills them.

    Raises:
        DataError: The cache cannot be written.
    """
    text = json.dumps(key, sort_keys=True, indent=1)
    folder = cache_dir() / kind / hashlib.sha256(text.encode()).hexdigest()[:24]
    arrays = _read(folder)
    if arrays is None:
        try:
            _write(folder, text, make)
        except OSError as error:
            raise DataError(
                f"{folder}: cannot be written ({error}); point the environment variable"
                " JAXCOMPRESS_DATA to a folder that can, with room for it"
            ) from error
        arrays = _read(folder)
        assert arrays is not None, folder
    return arrays


def _read(folder: Path) -> dict[str, np.ndarray] | None:
    """Return what a folder holds; None if it is not there or damaged."""
    if not (folder / "key.json").is_file():
        return None
    try:
        return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError):
        return None


def _write(folder: Path, text: str, make: Callable[[Create], None]) -> None:
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:

        def create(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
            path = partial / f"{name}.npy"
            array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
            _reserve(path)
            return array

        make(create)
        (partial / "key.json").write_text(text)
        if _read(folder) is None:  # else another process was quicker
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _reserve(path: Path) -> None:
    """Take the room that a mapped file needs: to run out of it later would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def code_digest(*places: Path) -> str:
    """Return a digest of Python files and of those in folders: a key that changes with the code."""
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def in_parallel(
    function: Callable[[slice], _Result],
    count: int,
    *,
    label: str,
    progress: Progress | None,
    chunk: int = _CHUNK,
) -> Iterator[tuple[slice, _Result]]:
    """Yield `function(part)` for the parts of `range(count)`, in order, computed by threads.

    Args:
        function: From a slice to anything; should leave Python's lock to others.
        count: How many there are in all.
        label: For `progress`.
        progress: Called as `progress(label, done, count)` after each part.
        chunk: How many make a part.
    """
    starts = range(0, count, chunk)
    parts = deque(slice(start, min(start + chunk, count)) for start in starts)
    waiting: deque[tuple[slice, Future[_Result]]] = deque()
    with ThreadPoolExecutor(workers := _cores()) as pool:
        try:
            while parts or waiting:
                while parts and len(waiting) < 2 * workers:
                    part = parts.popleft()
                    waiting.append((part, pool.submit(function, part)))
                part, future = waiting.popleft()
                yield part, future.result()
                if progress is not None:
                    progress(label, part.stop, count)
        finally:
            for _, future in waiting:
                future.cancel()


def _cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
