"""Bytes of a file, found when its header was read, and read when they are wanted."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcompress.artifact.regular import open_regular
from jaxcompress.errors import ArtifactError
from jaxcompress.oneshot.sources import SAMPLE_BYTES

Stamp = tuple[int, ...]
"""What changes with a file on the disk."""


class Extent(NamedTuple):
    """Some bytes of a file.

    Attributes:
        path: of the file.
        start: of the bytes.
        size: how many.
        stamp: of the file when they were found.
    """

    path: Path
    start: int
    size: int
    stamp: Stamp

    def read(self, name: str) -> np.ndarray:
        """Read the bytes.

        Args:
            name: of the tensor, for errors.

        Raises:
            ArtifactError: the file has changed.
        """
        with open_regular(self.path) as file:
            raw = np.fromfile(file, np.uint8, self.size, offset=self.start)
            if stamp_of(file.fileno()) != self.stamp or raw.size != self.size:
                raise ArtifactError(
                    "the file changed while it was read", file=str(self.path), tensor=name
                )
        return raw

    def sample(self, name: str) -> bytes:
        """Read no more than the first bytes, which tell a tensor from most others."""
        return self._replace(size=min(self.size, SAMPLE_BYTES)).read(name).tobytes()


def stamp_of(handle: int) -> Stamp:
    """Return the stamp of an open file."""
    found = os.fstat(handle)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
