"""Temporary files, also those of killed writers.

A writer holds a lock on its file until it ends, in whatever way. A file without a lock is a
leftover. The number of a process would not tell: numbers are reused, and other machines and
containers have the same ones.
"""

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed
    fcntl = None

_SUFFIX = ".jaxcompress-tmp"
_NAME = re.compile(rf"\..*\.[0-9a-f]{{16}}{re.escape(_SUFFIX)}", re.DOTALL)
_LONGEST = 100  # bytes of the name of the target: a file system allows 255 in all


def new_temporary(target: Path, mode: int) -> tuple[Path, int]:
    """Open a new hidden file in the folder of `target`, held by this process.

    Args:
        target: the file that it will become.
        mode: of the file, less the umask.

    Returns:
        Its path and a descriptor for writing.

    Raises:
        OSError: it cannot be created.
    """
    start = target.name.encode(errors="ignore")[:_LONGEST].decode(errors="ignore")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = target.with_name(f".{start}.{secrets.token_hex(8)}{_SUFFIX}")
        handle = os.open(path, flags, mode)
        if _held(handle) is not False and os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)  # another writer removed it as a leftover before it was locked


def is_temporary(path: str | os.PathLike[str]) -> bool:
    """Return whether `new_temporary` creates files of such a name.

    Example:
        >>> is_temporary(".small.npz.0123456789abcdef.jaxcompress-tmp"), is_temporary("small.npz")
        (True, False)
    """
    return _NAME.fullmatch(os.path.basename(path)) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a folder on which no living writer has a lock.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder)
        ...     (path / ".small.npz.0123456789abcdef.jaxcompress-tmp").touch()
        ...     (path / "small.npz").touch()
        ...     remove_leftovers(path)
        ...     os.listdir(path)
        ['small.npz']
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        found = [entry.path for entry in entries if is_temporary(entry.name)]
        for path in found:
            _remove(path)


def _remove(path: str) -> None:
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with contextlib.suppress(OSError):
        handle = os.open(path, flags)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode) and _held(handle):
                os.unlink(path)
        finally:
            os.close(handle)
        if fcntl is None:
            os.unlink(path)


def _held(handle: int) -> bool | None:
    """Take the lock of a file; False if another writer has it, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
