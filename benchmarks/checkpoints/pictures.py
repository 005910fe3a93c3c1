"""Pictures: rendered lines of text, and crops of photographs that packages bring along."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def tight(text: str, height: int) -> np.ndarray:
    """Return a line of black text on white, `uint8[height, as wide as the text]`."""
    font = ImageFont.truetype(str(FONT), round(height * 0.6))
    size = (round(font.getlength(text)) + height // 2, height)
    picture = Image.new("L", size, 255)
    ImageDraw.Draw(picture).text((height // 4, height // 8), text, font=font, fill=0)
    return np.asarray(picture)


@cache
def line(text: str, height: int, width: int) -> np.ndarray:
    """Return a line of black text on white, `uint8[height, width]`, padded to the right."""
    picture = Image.fromarray(tight(text, height))
    if picture.width > width:
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    found = np.full((height, width), 255, np.uint8)
    found[:, : picture.width] = np.asarray(picture)
    return found


def page(texts: Sequence[str], size: int, height: int) -> np.ndarray:
    """Return lines of text one below another on white, `uint8[size, size]`."""
    found = np.full((size, size), 255, np.uint8)
    for row, text in enumerate(texts[: size // (2 * height)]):
        top = 2 * height * row + height // 2
        found[top : top + height] = line(text, height, size)
    return found


def crops(count: int, size: int) -> np.ndarray:
    """Return squares of two photographs, at random places and scales, `uint8[n, size, size, 3]`."""
    random = np.random.default_rng(0)
    photographs = load_sample_images().images
    found = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        side = int(random.integers(320, 420))
        top, left = (int(random.integers(0, edge - side)) for edge in photograph.shape[:2])
        crop = Image.fromarray(photograph[top : top + side, left : left + side])
        found.append(np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(found)
