"""The files of stages: whether they are unchanged, and how they are restored."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxcompress.artifact import open_regular, write_atomically
from jaxcompress.errors import ArtifactError
from pipelines.run.folder import FolderError
from pipelines.run.row import Row


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault_of(path: Path, row: Row) -> str:
    """Return the fault of the file of a finished stage; empty if it has none."""
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
    """Restore the files of finished stages, where that is possible.

    Args:
        files: of each finished stage.
        rows: of the same stages.
        write_last: writes the file of the last stage again; None if the stage must run for that.
        say: called for each file that was changed.

    Returns:
        Whether all files are as the stages wrote them.
    """
    known = dict(zip(files, rows, strict=True))
    faults = {file: fault for file, row in known.items() if (fault := fault_of(file, row))}
    if files and files[-1] in faults and write_last is not None:
        write_last()
    left = {file for file in faults if fault_of(file, known[file])}
    sound = {row.sha256: file for file, row in known.items() if file not in left}
    for file in [file for file, row in known.items() if file in left and row.sha256 in sound]:
        write_atomically(file, sound[known[file].sha256].read_bytes())
        if not fault_of(file, known[file]):
            left.remove(file)
    for file, fault in faults.items():
        then = "its stage must run again" if file in left else "written again, the same bytes"
        say(f"{file} {fault}; {then}")
    return not left
