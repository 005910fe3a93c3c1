"""A file that is read piece by piece."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from jaxcompress.artifact.regular import open_regular
from jaxcompress.errors import ArtifactError


class Source:
    """A regular file, read piece by piece."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._written = self._last_written()

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on.

        Raises:
            ArtifactError: they are outside of the file, or it has changed since it was opened.
        """
        if self._last_written() != self._written:
            raise ArtifactError("the file has changed since it was opened; open it again")
        if start < 0 or start + count > self.size:
            raise ArtifactError("cut short", expected=f">= {start + count}", found=self.size)
        self._file.seek(start)
        data = self._file.read(count)
        if len(data) != count:
            raise ArtifactError("cut short while it was read")
        return data

    def _last_written(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns


class Buffer(Source):
    """The bytes of a file that is not written."""

    def __init__(self, data: bytes) -> None:
        self.size, self._file = len(data), io.BytesIO(data)
        self._written = self._last_written()

    def _last_written(self) -> tuple[int, int]:
        return self.size, 0


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a file for reading, without waiting for the other end of a pipe.

    Raises:
        ArtifactError: it is not a regular file.
        OSError: it cannot be opened.
    """
    with open_regular(path) as file:
        yield Source(file)
