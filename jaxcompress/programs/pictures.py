"""Picture files as arrays, with the extra `pictures`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.extras import library
from jaxcompress.programs._preprocessing import PADDED, STRETCHED, prepared
from jaxcompress.trace.inputs import first_line

_MOST_PIXELS = 1 << 26
_GREYS = (1 << 16) - 1
_ORIENTATION = 0x0112  # of EXIF: which way up the camera was held
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def read_pictures(paths: Sequence[Path], steps: Mapping[str, Any]) -> np.ndarray:
    """Return pictures as a network takes them: turned upright, on white, and as `steps` say.

    Damaged EXIF is passed over; greys of 16 bits are scaled to 8; of several frames the first
    counts.

    Args:
        paths: of JPEG, PNG and other files that Pillow reads.
        steps: of the file of the network.

    Raises:
        MissingLibraryError: Pillow is not installed.
        ValueError: a file is no picture, has more than 64 million pixels, pixels in floating point,
            or greys outside of 0 to 65535.
    """
    image = library("PIL.Image", "reading pictures", extra="pictures")
    height, width = steps["size"]
    found = []
    for path in paths:
        try:
            with image.open(path) as file:
                if file.width * file.height > _MOST_PIXELS:
                    raise ValueError(f"{file.width} x {file.height} pixels are too many")
                fit = steps.get("fit", STRETCHED)
                found.append(_fitted(image, file, (height, width), fit))
        except Exception as error:  # a damaged picture raises nearly anything
            raise ValueError(
                f"{path}: must be a picture, got {first_line(error)}; replace it."
            ) from None
    return prepared(np.stack(found), steps)


def _fitted(image: Any, picture: Any, size: tuple[int, int], fit: str) -> np.ndarray:
    """Return a picture as uint8 `[height, width, 3]`, turned upright, on white, of a size.

    `run.py` makes its squares in the same way, by code that needs nothing of this package: a test
    holds both together.
    """
    height, width = size
    coloured = _in_colour(image, _upright(image, picture))
    return np.array(_sized(image, coloured, (width, height), fit))


def _upright(image: Any, picture: Any) -> Any:
    try:
        orientation = picture.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return picture
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(image.Transpose[turn])


def _in_colour(image: Any, picture: Any) -> Any:
    """Return a picture in RGB, on white where it is transparent, of 8 bits."""
    if picture.mode.startswith("I"):
        picture = _of_eight_bits(image, picture)
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if picture.has_transparency_data:
        ground = image.new("RGBA", picture.size, "white")
        picture = image.alpha_composite(ground, picture.convert("RGBA"))
    return picture.convert("RGB")


def _of_eight_bits(image: Any, picture: Any) -> Any:
    """Scale greys of 16 bits, which Pillow would cut off at 255."""
    values = np.array(picture, np.int32)
    if values.min() < 0 or values.max() > _GREYS:
        raise ValueError(f"greys must be in 0..{_GREYS}, got {values.min()}..{values.max()}")
    if (transparent := picture.info.get("transparency")) is not None:
        values[values == transparent] = _GREYS
    return image.fromarray(((values + 128) // 257).astype(np.uint8))


def _sized(image: Any, picture: Any, size: tuple[int, int], fit: str) -> Any:
    """Return a picture of a size, width and height: stretched, or in proportion on white."""
    inner = size
    if fit == PADDED:
        n, m = min(zip(size, picture.size, strict=True), key=lambda pair: pair[0] / pair[1])
        inner = tuple(max(1, round(edge * n / m)) for edge in picture.size)
    if inner != picture.size:
        # Shrinking averages all that falls into a pixel. Of Pillow's filters, BOX takes pixels
        # whole or not at all, which shifts edges where the ratio is no integer, and LANCZOS
        # overshoots at the edge of a white ground; HAMMING does neither.
        shrinks = max(inner) < max(picture.size)
        way = image.Resampling.HAMMING if shrinks else image.Resampling.BILINEAR
        picture = picture.resize(inner, way)
    if inner == size:
        return picture
    ground = image.new("RGB", size, "white")
    ground.paste(picture, tuple((n - m) // 2 for n, m in zip(size, inner, strict=True)))
    return ground
