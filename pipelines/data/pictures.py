"""Pictures from files of the common forms, as squares of one size.

Read by Pillow, which raises over a file that breaks off; OpenCV returns the half that it has.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pipelines.data.dataset import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")

# The first bytes decide, not the suffix. The readers are called themselves, not through
# `Image.open`: that tries every format it has, and warns about large pictures, process-wide,
# before anybody can look at the size.
_READERS: dict[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"BM": BmpImageFile,
    b"GIF8": GifImageFile,
    b"RIFF": WebPImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
}
_MOST_PIXELS = 64_000_000  # a picture of a few bytes may declare any size
_ORIENTATION = 0x0112  # of EXIF: which way up the camera was held
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_REPLACE = "replace it or take it away"


class Unreadable(DataError):
    """A file holds no picture that can be read; `reason` says why, without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = " ".join(reason.split())
        super().__init__(f"{path}: {self.reason}")


def read_picture(path: Path, side: int) -> np.ndarray:
    """Read a picture, turned upright, on white where it is transparent, as a square.

    The longer edge becomes `side`, the shorter one in proportion; what is missing to a square is
    white, half on either side. A picture that is `side` by `side` keeps every pixel. 16-bit greys
    are scaled to 8 bits; of several frames, the first is read.

    Args:
        path: A JPEG, PNG, BMP, GIF, WebP or TIFF file, whatever its name.
        side: Height and width of the result, in pixels.

    Returns:
        uint8 `[side, side, 3]`, RGB.

    Raises:
        Unreadable: There is no such file, it is damaged, or it declares more than 64 million
            pixels; the last is found out before anything is decoded.
    """
    try:
        return _squared(_decoded(path), side)
    except Unreadable:
        raise
    except Exception as error:  # a damaged picture raises nearly anything
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreadable(path, f"cannot be read ({said}); {_REPLACE}") from error


def _decoded(path: Path) -> Image.Image:
    if not path.is_file():  # to open a named pipe is to wait for its other end
        what = "is no file" if path.exists() else "does not exist"
        raise Unreadable(path, f"{what}; pass the path of a picture")
    with path.open("rb") as file:
        start = file.read(max(map(len, _READERS)))
        reader = next((_READERS[magic] for magic in _READERS if start.startswith(magic)), None)
        if reader is None:
            what = "is no JPEG, PNG, BMP, GIF, WebP or TIFF" if start else "is empty"
            raise Unreadable(path, f"{what}; {_REPLACE}")
        file.seek(0)
        picture = reader(file)  # reads the header only
        if (pixels := picture.width * picture.height) > _MOST_PIXELS:
            raise Unreadable(
                path,
                f"must have at most {_MOST_PIXELS} pixels, got {pixels}; make the picture smaller",
            )
        picture.load()
        return _in_colour(_upright(picture))


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return picture
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _in_colour(picture: Image.Image) -> Image.Image:
    """Return the picture in RGB, composited on white."""
    if picture.mode.startswith("I"):
        picture = _eight_bit(picture)
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if picture.has_transparency_data:
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture.convert("RGBA"))
    return picture.convert("RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Scale greys from 0..65535 to 0..255; Pillow would cut them off at 255."""
    values = np.array(picture, np.int32)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"greys must be in 0..65535, got {values.min()}..{values.max()}")
    if (transparent := picture.info.get("transparency")) is not None:
        values[values == transparent] = 65535
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _squared(picture: Image.Image, side: int) -> np.ndarray:
    longest = max(picture.size)
    if longest != side:
        width, height = (max(1, round(edge * side / longest)) for edge in picture.size)
        # Shrinking averages all that falls into a pixel. Of Pillow's filters, BOX takes pixels
        # whole or not at all, which shifts edges where the ratio is no integer, and LANCZOS
        # overshoots at the edge of a white ground; HAMMING does neither.
        shrinks, grows = Image.Resampling.HAMMING, Image.Resampling.BILINEAR
        picture = picture.resize((width, height), shrinks if longest > side else grows)
    if picture.size != (side, side):
        ground = Image.new("RGB", (side, side), "white")
        ground.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        picture = ground
    return np.array(picture)
