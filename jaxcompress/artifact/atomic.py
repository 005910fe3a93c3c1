"""Files that are replaced as a whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace the file at `path` by `data`, or leave it as it was.

    Raises:
        OSError: the folder cannot be written.
    """
    with atomic_file(path) as file:
        file.writelines([data] if isinstance(data, bytes) else data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes the place of `path` when the context ends well, and only then.

    It lies in the same folder, is flushed to the disk and renamed, so that a kill or a full disk
    leaves the previous file or the new one.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    temporary = temporary_beside(path)
    handle = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def temporary_beside(path: Path) -> Path:
    """Return an unused hidden name in the folder of `path`."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")


def put(temporary: Path, path: Path) -> None:
    """Rename a finished file to its name, and flush the folder: the rename is there too."""
    os.replace(temporary, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
