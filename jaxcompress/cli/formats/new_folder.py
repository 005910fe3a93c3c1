"""Folders that are there completely or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from jaxcompress.artifact.atomic import naming
from jaxcompress.cli.status import Refused

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_SUFFIX = ".jaxcompress-unpacking"


def check_new_folder(path: Path, model: Path) -> None:
    """Refuse an output that is there already, unless it is an empty folder.

    Args:
        path: folder to be made.
        model: file that is read, for comparison.

    Raises:
        Refused: it is a file, or holds some, or its own folder is missing.
    """
    if os.path.lexists(path) and not path.is_dir():
        what = "the input" if path.exists() and path.samefile(model) else "a file"
        raise Refused(f"{path}: the output must be a new folder, got {what}; name another with -o.")
    if path.is_dir() and any(path.iterdir()):
        raise Refused(
            f"{path}: the output must be a new or empty folder, got one that holds "
            f"{min(entry.name for entry in path.iterdir())}; name another with -o."
        )
    if not path.parent.is_dir():
        raise Refused(f"{path.parent}: the folder of the output is missing; make it first.")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that becomes `path` if the context ends without an error, and only then.

    It lies beside it and is hidden. One that a killed run has left is emptied and used again.

    Raises:
        Refused: another process writes to `path`.
        OSError: it cannot be made, or files have come into `path` in the meantime.
    """
    target = Path(os.path.realpath(path))
    folder = target.with_name(f".{target.name[:100]}{_SUFFIX}")
    with naming(path), _held(path, folder):
        try:
            for entry in folder.iterdir():
                entry.unlink()
            yield folder
            if target.is_dir():  # empty, or an error
                target.rmdir()
            os.rename(folder, target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextlib.contextmanager
def _held(path: Path, folder: Path) -> Iterator[None]:
    """Make a folder, and hold it for this process where there are locks."""
    folder.mkdir(exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.path.samestat(os.fstat(handle), os.stat(folder))
        except (BlockingIOError, FileNotFoundError):
            free = False
        except OSError:  # a file system without locks
            free = True
        if not free:
            raise Refused(
                f"{path}: one run at a time may write to it, got another; wait for it, or name "
                "another output with -o."
            )
        yield
    finally:
        os.close(handle)
