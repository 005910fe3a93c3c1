"""Images of one size from images of another."""

import cv2
import numpy as np


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Return images uint8 `[n, h, w, c]` as `[n, side, side, c]`.

    Shrinking averages over areas, enlarging is bilinear; images of that size are unchanged.
    """
    count, height, width, channels = images.shape
    if (height, width) == (side, side):
        return images
    shrinks = max(height, width) > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    result = np.empty((count, side, side, channels), np.uint8)
    for place, image in enumerate(images):
        other = cv2.resize(image, (side, side), interpolation=method)
        result[place] = other.reshape(side, side, channels)  # OpenCV drops an axis of one channel
    return result
