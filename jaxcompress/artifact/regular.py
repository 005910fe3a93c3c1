"""Regular files: neither pipes, nor devices, nor folders."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader

from jaxcompress.errors import ArtifactError


@contextlib.contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """Open a regular file for reading; refuse a pipe or a device without opening it.

    Raises:
        ArtifactError: it is not a regular file.
        OSError: it is a folder, is missing, or cannot be opened.

    Example:
        >>> with open_regular(os.devnull):
        ...     pass
        Traceback (most recent call last):
        jaxcompress.errors.ArtifactError: ...: a regular file is needed: found a device
    """
    check_regular(path)
    with open(path, "rb", opener=_open) as file:
        _check(path, os.fstat(file.fileno()))  # the path may have changed in the meantime
        yield file


def check_regular(path: str | os.PathLike[str]) -> int:
    """Refuse anything but a regular file; return its size in bytes.

    Raises:
        ArtifactError: it is not a regular file.
        OSError: it is a folder, is missing, or cannot be read.
    """
    found = os.stat(path)
    _check(path, found)
    return found.st_size


def kind_of(found: os.stat_result) -> str:
    """Return the kind of a file in words."""
    return _KINDS.get(stat.S_IFMT(found.st_mode), "something else")


_KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _check(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise ArtifactError("a regular file is needed", file=os.fspath(path), found=kind_of(found))


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
