"""Files that are replaced completely or not at all."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from jaxcompress.artifact._leftovers import is_temporary, new_temporary, remove_leftovers
from jaxcompress.artifact.regular import kind_of


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace the file at `path` by `data`, or leave it unchanged.

    Raises:
        ValueError: `path` exists and is not a regular file.
        OSError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "results.json"
        ...     write_atomically(path, b"{}")
        ...     path.read_bytes(), os.listdir(folder)
        (b'{}', ['results.json'])
    """
    with atomic_file(path) as file:
        file.writelines([data] if isinstance(data, bytes) else data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` if the context ends without an error, and only then.

    It is in the same folder, is flushed to the disk and renamed. So a kill or a full disk leaves
    the previous file or the new one. For a link, the file that it points to is replaced, and the
    link is kept. The new file has the mode of the replaced one, and its owner and group where the
    system allows it; else those of any new file. Temporary files of killed writers in the folder
    are removed.

    Raises:
        ValueError: `path` exists and is not a regular file.
        OSError: the folder cannot be written, naming `path`.
    """
    with naming(path):
        before = check_target(path)
        target = Path(os.path.realpath(path))
        remove_leftovers(target.parent)
        # Never more readable than the replaced file, not even while it is written.
        temporary, handle = new_temporary(target, 0o666 if before is None else 0o600)
    try:
        with naming(path), os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            if before is not None:
                _give(file.fileno(), before)
            os.fsync(file.fileno())
            check_target(path)  # the path may have changed in the meantime
            if os.name != "posix":
                file.close()  # on systems where open files cannot be renamed, nor removed by others
            os.replace(temporary, target)
            _flush_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the system name the requested file: that of a full disk names none.

    Errors without a number are not of the system, and say all themselves.

    Example:
        >>> with naming(Path("model.npz")):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device: 'model.npz'
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None and not is_temporary(error.filename)
        if error.errno is not None and not named:
            error.filename = os.fspath(path)
            del error.filename2  # None would be shown as a second name
        raise


def check_target(path: Path) -> os.stat_result | None:
    """Refuse to replace anything but a regular file; return the status of the file to replace.

    Raises:
        ValueError: `path`, or the file that it links to, exists and is not a regular file.
        OSError: links in a circle, or a folder that cannot be read.

    Example:
        >>> check_target(Path("no-such-file.npz")) is None
        True
        >>> check_target(Path("/"))
        Traceback (most recent call last):
        ValueError: /: the output must be a regular file, found a folder; name another.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(
            f"{path}: the output must be a regular file, found {kind_of(found)}; name another."
        )
    return found


def _give(handle: int, before: os.stat_result) -> None:
    """Give an open file the owner, group and mode of another, as far as the system allows it."""
    if os.name != "posix":
        return
    mode = stat.S_IMODE(before.st_mode)
    for owner, group in ((-1, before.st_gid), (before.st_uid, -1)):
        with contextlib.suppress(OSError):
            os.fchown(handle, owner, group)
    mine = os.fstat(handle)
    if (mine.st_uid, mine.st_gid) != (before.st_uid, before.st_gid):
        # Another group may do what all others may, and no file runs as another user.
        mode = mode & 0o707 | (mode & 0o007) << 3 & mode
    os.fchmod(handle, mode)


def _flush_folder(path: Path) -> None:
    """Flush the folder, so that the rename is on the disk too."""
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
