"""The finished parts of a file that is being packed: a hidden folder beside the output.

A run that is killed leaves it, and the same command goes on there. A lock tells whether a run is
alive: two of them never write one output.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxcompress.artifact.atomic import naming
from jaxcompress.cli import screen
from jaxcompress.cli.status import Refused

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_SUFFIX = ".jaxcompress-parts"
_LONGEST = 100  # bytes of the name of the output: a file system allows 255 in all

_PASSING = (KeyboardInterrupt, OSError, MemoryError)
"""Errors after which the same command may succeed."""


class Unfinished:
    """The folder of one output, held by this process.

    Attributes:
        output: the file to be made, for messages.
        folder: that holds its parts.
    """

    def __init__(self, output: Path, folder: Path) -> None:
        self.output, self.folder = output, folder

    def part(self, number: int) -> Path:
        """Return the path of a part, whether it is there or not."""
        return self.folder / f"{number:06}.part"

    def count(self) -> int:
        """Return how many parts are there."""
        return sum(1 for _ in self.folder.glob("*.part"))

    def forget(self) -> None:
        """Remove all parts."""
        for pattern in ("*.part", "*.tmp", "*.json"):
            for path in self.folder.glob(pattern):
                path.unlink()

    def take_up(self, job: Any, *, restart: bool) -> None:
        """Keep the parts that an earlier run of the same job left, and forget those of others.

        Args:
            job: what decides the bytes of the parts, as JSON.
            restart: whether to forget them in any case.
        """
        digest = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
        told, before = self.folder / "job.json", self.count()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if not restart and json.loads(told.read_bytes()).get("job") == digest:
                if before:
                    screen.note(
                        f"{self.output}: going on after {before:,} finished parts; --restart "
                        "forgets them."
                    )
                return
        self.forget()
        if before and not restart:
            screen.note(
                f"{self.output}: {before:,} finished parts of other weights, options or versions "
                "are forgotten."
            )
        temporary = told.with_suffix(".tmp")
        temporary.write_text(json.dumps({"job": digest}))
        os.replace(temporary, told)


@contextlib.contextmanager
def unfinished(output: Path, *, resumable: bool) -> Iterator[Unfinished]:
    """Give the folder of an output, which is removed at the end.

    After an interruption, or an error of the system, it stays if it holds finished parts and is
    `resumable`: a line says so.

    Raises:
        Refused: another process packs to this output.
        OSError: the folder cannot be made.
    """
    target = Path(os.path.realpath(output))
    folder = target.with_name(_name_of(target.name))
    with naming(output):
        lock = _locked(output, folder)
    parts = Unfinished(output, folder)
    try:
        with naming(output):
            yield parts
    except _PASSING:
        count = parts.count() if resumable else 0
        if not count:
            _remove(folder)
        else:
            screen.note(
                f"{output}: {count:,} finished parts are kept in {folder}; the same command goes "
                "on there, and with --restart begins anew."
            )
        raise
    except BaseException:
        _remove(folder)
        raise
    else:
        _remove(folder)
    finally:
        os.close(lock)


def _name_of(name: str) -> str:
    """Return the name of the folder; long names end in a digest, so that they stay different."""
    if len(raw := os.fsencode(name)) > _LONGEST:
        start = raw[:_LONGEST].decode(errors="ignore")
        name = f"{start}.{hashlib.sha256(raw).hexdigest()[:16]}"
    return f".{name}{_SUFFIX}"


def _locked(output: Path, folder: Path) -> int:
    """Make the folder, and return the descriptor of its lock, held by this process."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # another run ended, and removed the folder
        try:
            if _held(handle) and os.fstat(handle).st_nlink:
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {os.uname().nodename}".encode())
                return handle
            holder = os.read(handle, 200).decode(errors="replace")
            taken = os.fstat(handle).st_nlink
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if taken:
            raise Refused(
                f"{output}: one run at a time may pack to it, got another, {holder or 'unnamed'}; "
                "wait for it, or name another output with -o."
            )


def _held(handle: int) -> bool:
    """Take the lock of a file, where there are locks; False if another process has it."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
    return True


def _remove(folder: Path) -> None:
    """Remove the folder; its lock goes last, so that no other run finds it half empty."""
    for path in (*folder.glob("*.*"), folder / "lock"):
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(OSError):  # something else is in it
        folder.rmdir()
