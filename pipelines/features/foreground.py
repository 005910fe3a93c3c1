"""Where the object is: what differs from the white ground."""

from typing import NamedTuple

import cv2
import numpy as np

_FROM_WHITE = 20  # levels; at JPEG's quality 90, ripples beside a contour stay below 15
_WHITE_BORDER = 0.1  # fraction of white in the border of a picture on white


class Objects(NamedTuple):
    """Objects of a batch of pictures.

    Attributes:
        masks: uint8 `[n, h, w]`, 255 on the object and 0 elsewhere.
        contours: For each picture the outer contour of its object, int32 `[points, 1, 2]` as x and
            y of pixels; None without an object.
    """

    masks: np.ndarray
    contours: list[np.ndarray | None]


def objects(pictures: np.ndarray) -> Objects:
    """Find the object of each picture: its largest connected part that is not white, filled.

    A pixel is not white if one of its channels is more than 20 levels below 255. An entirely white
    picture has no object. A picture whose border is white by less than a tenth is not on a white
    ground: the whole of it is the object. (Crops often touch the border, even on three sides.)

    Args:
        pictures: RGB, uint8 `[n, h, w, 3]`.
    """
    masks = np.zeros(pictures.shape[:3], np.uint8)
    contours = []
    for picture, mask in zip(pictures, masks, strict=True):
        contour = _contour(picture)
        contours.append(contour)
        if contour is not None:
            cv2.drawContours(mask, [contour], 0, 255, cv2.FILLED)
    return Objects(masks, contours)


def _contour(picture: np.ndarray) -> np.ndarray | None:
    darkest_white = (255 - _FROM_WHITE,) * 3
    white = cv2.inRange(picture, darkest_white, (255, 255, 255))
    border = np.concatenate([white[0], white[-1], white[1:-1, 0], white[1:-1, -1]])
    if np.count_nonzero(border) < _WHITE_BORDER * border.size:
        right, bottom = white.shape[1] - 1, white.shape[0] - 1
        return np.array([[[0, 0]], [[0, bottom]], [[right, bottom]], [[right, 0]]], np.int32)
    found, _ = cv2.findContours(cv2.bitwise_not(white), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return max(found, key=cv2.contourArea, default=None)
