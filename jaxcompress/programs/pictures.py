"""Picture files as arrays, with the extra `pictures`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.extras import library
from jaxcompress.programs._preprocessing import prepared
from jaxcompress.trace.inputs import first_line

_MOST_PIXELS = 1 << 26


def read_pictures(paths: Sequence[Path], steps: Mapping[str, Any]) -> np.ndarray:
    """Return pictures as a network takes them: turned upright, resized, and as `steps` say.

    Args:
        paths: of JPEG, PNG and other files that Pillow reads.
        steps: of the file of the network.

    Raises:
        MissingLibraryError: Pillow is not installed.
        ValueError: a file is no picture, or has more than 64 million pixels.
    """
    image = library("PIL.Image", "reading pictures", extra="pictures")
    ops = library("PIL.ImageOps", "reading pictures", extra="pictures")
    height, width = steps["size"]
    found = []
    for path in paths:
        try:
            with image.open(path) as file:
                if file.width * file.height > _MOST_PIXELS:
                    raise ValueError(f"{file.width} x {file.height} pixels are too many")
                upright = ops.exif_transpose(file).convert("RGB")
                sized = upright.resize((width, height), image.Resampling.BILINEAR)
        except Exception as error:  # a damaged picture raises nearly anything
            raise ValueError(
                f"{path}: must be a picture, got {first_line(error)}; replace it."
            ) from None
        found.append(np.asarray(sized))
    return prepared(np.stack(found), steps)
