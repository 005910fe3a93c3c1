"""What a classifier of objects on a white ground may look at, beside the picture itself.

Texture and edges are images; shape and colour are vectors of the object alone. Every function takes
a batch, keeps nothing between calls, and computes each picture by itself: the same picture gives
the same bytes in any batch and in any thread. OpenCV and XLA do the work, outside Python's lock.
"""

import cv2
import numpy as np

from pipelines.features import colour, edges, foreground, shape, texture
from pipelines.features.resize import resized

__all__ = ["VECTOR_SIZES", "extract"]

VECTOR_SIZES = {"shape": len(shape.NAMES), "colour": len(colour.NAMES)}


def extract(pictures: np.ndarray, side: int) -> dict[str, np.ndarray]:
    """Compute all inputs of a multi-modal classifier.

    Everything is computed at full size. Images are then shrunk by averaging over areas, so that
    each pixel of a shrunk texture or edge map is a local mean of codes or of edges.

    Args:
        pictures: RGB, uint8 `[n, h, w, 3]`, on a white ground; `n` may be 0.
        side: Height and width of the images returned, in pixels.

    Returns:
        By name: `picture` uint8 `[n, side, side, 3]`; `texture` and
        `edges` uint8 `[n, side, side, 1]`; `shape` and `colour` float32 `[n, VECTOR_SIZES[name]]`.

    Raises:
        TypeError: The pictures are not uint8.
        ValueError: They are not `[n, h, w, 3]`, less than 2x2 in size, or `side` is less than 1.
    """
    _check(pictures, side)
    pictures = np.ascontiguousarray(pictures)
    grey = _grey(pictures)
    objects = foreground.objects(pictures)
    return {
        "picture": resized(pictures, side),
        "texture": resized(texture.codes(grey)[..., None], side),
        "edges": resized(edges.maps(grey)[..., None], side),
        "shape": shape.vectors(objects.contours, pictures.shape[1:3]),
        "colour": colour.vectors(pictures, objects.masks),
    }


def _check(pictures: np.ndarray, side: int) -> None:
    if pictures.dtype != np.uint8:
        raise TypeError(f"pictures must be uint8, got {pictures.dtype}; scale them to 0..255")
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or min(pictures.shape[1:3]) < 2:
        raise ValueError(
            f"pictures must be RGB [n, h, w, 3] of at least 2x2, got {list(pictures.shape)};"
            " a single picture needs a batch axis: picture[None]"
        )
    if side < 1:
        raise ValueError(f"side must be at least 1 pixel, got {side}")


def _grey(pictures: np.ndarray) -> np.ndarray:
    """Return brightness, `0.299 R + 0.587 G + 0.114 B`, as uint8 `[n, h, w]`."""
    grey = np.empty(pictures.shape[:3], np.uint8)
    for place, picture in enumerate(pictures):
        grey[place] = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return grey
