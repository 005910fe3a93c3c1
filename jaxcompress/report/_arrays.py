"""Plain arrays of numpy in a file, by name."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxcompress.artifact import open_regular


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` of numpy.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
    """
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (EOFError, ValueError, AttributeError, zlib.error, zipfile.BadZipFile) as error:
        what = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path}: must be arrays of numpy, got {what}; make it again.") from None
