"""Picture files as arrays, with the extra `pictures`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.extras import library
from jaxcompress.programs._preprocessing import PADDED, STRETCHED, prepared
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
                upright = _in_colour(image, ops.exif_transpose(file))
                sized = _sized(image, upright, (width, height), steps.get("fit", STRETCHED))
        except Exception as error:  # a damaged picture raises nearly anything
            raise ValueError(
                f"{path}: must be a picture, got {first_line(error)}; replace it."
            ) from None
        found.append(np.asarray(sized))
    return prepared(np.stack(found), steps)


def _in_colour(image: Any, picture: Any) -> Any:
    """Return a picture in RGB, on white where it is transparent, of 8 bits."""
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        values = np.clip(np.asarray(picture, np.int64), 0, (1 << 16) - 1)
        picture = image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        ground = image.new("RGBA", picture.size, "white")
        picture = image.alpha_composite(ground, picture.convert("RGBA"))
    return picture.convert("RGB")


def _sized(image: Any, picture: Any, size: tuple[int, int], fit: str) -> Any:
    """Return a picture of a size, width and height: stretched, or in proportion on white."""
    inner = size
    if fit == PADDED:
        factor = min(n / m for n, m in zip(size, picture.size, strict=True))
        inner = tuple(max(1, round(m * factor)) for m in picture.size)
    if inner != picture.size:
        shrinks = max(inner) < max(picture.size)
        way = image.Resampling.HAMMING if shrinks else image.Resampling.BILINEAR
        picture = picture.resize(inner, way)
    if inner == size:
        return picture
    ground = image.new("RGB", size, "white")
    ground.paste(picture, tuple((n - m) // 2 for n, m in zip(size, inner, strict=True)))
    return ground
