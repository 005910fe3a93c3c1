"""The files that stages wrote: whether they are as they were, and how they come back."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxcompress.artifact.atomic import write_atomically
from jaxcompress.artifact.errors import ArtifactError
from jaxcompress.artifact.regular import open_regular
from pipelines.folder import FolderError
from pipelines.row import Row


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def fault_of(path: Path, row: Row) -> str:
    """Return what is wrong with the file of a stage that is done; empty if nothing."""
    try:
        return "" if digest_of(path) == row.sha256 else "is damaged"
    except FileNotFoundError:
        return "is missing"
    except (ArtifactError, IsADirectoryError) as error:
        raise FolderError(f"{error}; take it away, or pass another --out.") from None
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def mend(
    files: Sequence[Path],
    rows: Sequence[Row],
    write_last: Callable[[], None] | None,
    say: Callable[[str], None],
) -> bool:
    """Bring the files of stages that are done back to what they were, where that is possible.

    Args:
        files: of each stage that is done.
        rows: of the same stages.
        write_last: writes the file of the last of them again; None if the stage must run for that.
        say: is told about each file that was not as it was.

    Returns:
        Whether all files are as they were.
    """
    known = list(zip(files, rows, strict=True))
    faults = {file: fault for file, row in known if (fault := fault_of(file, row))}
    if files and files[-1] in faults and write_last is not None:
        write_last()
    sound = {row.sha256: file for file, row in known if not fault_of(file, row)}
    for file, row in known:
        if fault_of(file, row) and row.sha256 in sound:
            write_atomically(file, sound[row.sha256].read_bytes())
    left = {file for file, row in known if fault_of(file, row)}
    for file, fault in faults.items():
        then = "its stage must run again" if file in left else "written again, the same bytes"
        say(f"{file} {fault}; {then}")
    return not left
