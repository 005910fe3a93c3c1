"""Arrays as members of a zip file that numpy reads, written atomically; no trees, no meaning."""

import contextlib
import io
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_EPOCH = (1980, 1, 1, 0, 0, 0)  # no clock in the file: same input, same bytes


class ArtifactError(ValueError):
    """A file that is not what it should be: says which, where and what was found."""


def write_members(members: dict[str, np.ndarray]) -> bytes:
    """Return the bytes of an `.npz` file with these members; same input, same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in members.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, content.getvalue(), compresslevel=9)
    return buffer.getvalue()


def read_members(data: bytes) -> dict[str, np.ndarray]:
    """Return all members of an `.npz` file by name.

    Raises:
        ArtifactError: a name twice, or a member that is not one array of one axis.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if len(set(names)) != len(names):
            raise ArtifactError(f"members must be unique, found {sorted(names)}")
        return {name.removesuffix(".npy"): read_member(archive, name) for name in names}


def read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return one member, read to its end so that its checksum is compared.

    Raises:
        ArtifactError: it is not one array of one axis.
    """
    with archive.open(name) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise ArtifactError(f"{name}: bytes after the array")
    if array.ndim != 1:
        raise ArtifactError(f"{name}: expected one axis, found {array.ndim}")
    return array


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever a damaged file raises into one kind of error that names the file."""
    try:
        yield
    except (
        *(ArtifactError, zipfile.BadZipFile, EOFError, KeyError, ValueError, TypeError),
        *(NotImplementedError, RecursionError, OverflowError, zlib.error, RuntimeError),
    ) as error:
        reason = str(error) if isinstance(error, ArtifactError) else f"not readable: {error}"
        raise ArtifactError(f"{os.fspath(path)}: {reason}") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, or leave it as it was.

    Raises:
        OSError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # the rename itself reaches the disk with its folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
