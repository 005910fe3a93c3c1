"""A file that several processes make: the first writes it, and all gather its tensors."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jaxcompress.placement import exchanged


def written_together(
    path: str | os.PathLike[str], write: Callable[[], int], leaves: Iterator[Any]
) -> int:
    """Let process 0 write a file while the others take part in gathering; all return when it is.

    Args:
        path: of the file, for the error.
        write: writes it from `leaves`; returns its size.
        leaves: one at a time; each process gathers them in the same order.

    Raises:
        OSError: in the other processes, if the first could not write.
        BaseException: what `leaves` raises, in all processes where it does.
    """
    size, errors = None, list[BaseException]()
    with _kept(errors):
        size = write() if jax.process_index() == 0 else None
    with _kept(errors):
        deque(leaves, maxlen=0)  # in the first process those that are left after an error
    told = exchanged(b"" if size is None else str(size).encode())[0]
    if errors:
        raise errors[0]
    if not told:
        raise OSError(
            f"{os.fspath(path)}: process 0 must write it, got an error there; see what it says."
        )
    return int(told)


@contextlib.contextmanager
def _kept(errors: list[BaseException]) -> Iterator[None]:
    """Keep an error until nobody waits for this process."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001
        errors.append(error)
