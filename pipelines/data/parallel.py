"""Work divided among threads, its results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pipelines.data.dataset import Progress

_Result = TypeVar("_Result")
_CHUNK = 64


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
