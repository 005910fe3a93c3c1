"""The weights inside of a `.keras` file: a zip with `model.weights.h5` in it, not compressed."""

import io
import zipfile
from pathlib import Path
from typing import BinaryIO

from jaxcompress.artifact.reading import reading
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError

_WEIGHTS = "model.weights.h5"
_LOCAL_HEADER_BYTES = 30


class Window(io.RawIOBase):
    """Some bytes of an open file, as a file that can be read."""

    def __init__(self, file: BinaryIO, begin: int, size: int) -> None:
        """Take where they begin, and how many they are."""
        self._file, self._begin, self._size, self._at = file, begin, size, 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it has positions."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Read as much as fits, and is there."""
        view = memoryview(buffer)
        view = view[: max(min(len(view), self._size - self._at), 0)]
        self._file.seek(self._begin + self._at)
        count = self._file.readinto(view)  # type: ignore[attr-defined]
        self._at += count
        return count


def weights_of(path: Path, file: BinaryIO) -> Window:
    """Return the weights inside of an open `.keras` file.

    Raises:
        Refused: there are none, or they are compressed.
        ArtifactError: the zip is damaged.
    """
    with reading(path):
        members = [i for i in zipfile.ZipFile(file).infolist() if i.filename == _WEIGHTS]
        if len(members) > 1:
            raise ArtifactError("names of members must be unique", found=_WEIGHTS)
    stored = [i for i in members if i.compress_type == zipfile.ZIP_STORED and not i.flag_bits & 1]
    if not stored:
        found = "a compressed one" if members else "none"
        raise Refused(
            f"{path}: must hold {_WEIGHTS} as Keras writes it, got {found}; unzip the file, and "
            "name its .weights.h5."
        )
    file.seek(stored[0].header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    lengths = [int.from_bytes(header[at : at + 2], "little") for at in (26, 28)]
    begin = stored[0].header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
    return Window(file, begin, stored[0].file_size)
