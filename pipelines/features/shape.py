"""Shape of an object as a vector: measures of its outer contour."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

_MEASURES = ("area", "perimeter", "circularity", "solidity", "aspect_ratio", "extent")

NAMES = (*_MEASURES, *(f"hu_{number}" for number in range(1, 8)))

_LONGEST = 4.0  # perimeters of the picture; only ragged noise has more
_LEAST_HU = 1e-10  # at 100x100 pixels, what is below comes from the pixels and not the object
_MOST_LOG = -math.log10(_LEAST_HU)


def vectors(contours: Sequence[np.ndarray | None], size: tuple[int, ...]) -> np.ndarray:
    """Measure contours, as polygons through the centres of their pixels.

    With area `A` and perimeter `P`:

    - area and perimeter relative to those of the picture, the second at most 4;
    - circularity `4 pi A / P^2`: 1 for a circle, some 0.9 for one drawn in pixels;
    - solidity: `A` over the area of the convex hull;
    - aspect ratio: short over long side of the smallest rectangle around it, at any angle;
    - extent: `A` over the area of the smallest upright rectangle around it;
    - Hu's seven moments as `sign(h) max(0, log10(|h| / 1e-10))`, within -10..10, so that what is
      lost in the pixels is 0. They stay the same when the object moves, turns or grows; a mirror
      changes the sign of the last.

    What has no area, such as a line or a single pixel, has zeros for all that divides by one.

    Args:
        contours: One for each picture, int32 `[points, 1, 2]`; None stands for a vector of zeros.
        size: Height and width of the pictures in pixels, each at least 2.

    Returns:
        float32 `[n, len(NAMES)]`, in the order of `NAMES`.

    Source: Hu, "Visual pattern recognition by moment invariants", IRE Transactions on Information
        Theory 8 (2), 1962.
    """
    result = np.zeros((len(contours), len(NAMES)), np.float32)
    for row, contour in zip(result, contours, strict=True):
        if contour is not None:
            row[:] = _measures(contour, size) + _hu(contour)
    return result


def _measures(contour: np.ndarray, size: tuple[int, ...]) -> list[float]:
    height, width = (pixels - 1 for pixels in size)  # between centres, as in the contour
    area = cv2.contourArea(contour)
    perimeter = cv2.arcLength(contour, closed=True)
    hull = cv2.contourArea(cv2.convexHull(contour))
    _, sides, _ = cv2.minAreaRect(contour)
    _, _, columns, rows = cv2.boundingRect(contour)
    return [
        area / (height * width),
        min(perimeter / (2 * (height + width)), _LONGEST),
        _fraction(4 * math.pi * area, perimeter**2),
        _fraction(area, hull),
        _fraction(min(sides), max(sides)),
        _fraction(area, (rows - 1) * (columns - 1)),
    ]


def _fraction(part: float, whole: float) -> float:
    return min(part / whole, 1.0) if whole > 0 else 0.0


def _hu(contour: np.ndarray) -> list[float]:
    moments = cv2.HuMoments(cv2.moments(contour)).ravel().tolist()
    return [_logarithm(moment) for moment in moments]


def _logarithm(moment: float) -> float:
    """Return `sign(h) log10(|h| / 1e-10)`, bounded: thin lines have moments as large as 1e30."""
    if abs(moment) <= _LEAST_HU:
        return 0.0
    return math.copysign(min(math.log10(abs(moment) / _LEAST_HU), _MOST_LOG), moment)
