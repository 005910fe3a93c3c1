"""Augmentation: training images changed a little in every pass, against overfitting."""

from collections.abc import Callable

import numpy as np

Augment = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""From images uint8 `[n, h, w, c]` to changed ones of the same shape."""

_MOST_SHIFT = 2  # pixels


def unchanged(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    """Return the images unchanged."""
    del rng
    return images


def shifted(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    """Move each image by up to two pixels each way; its edge fills the gap."""
    count, height, width, _ = images.shape
    margin = (_MOST_SHIFT, _MOST_SHIFT)
    padded = np.pad(images, ((0, 0), margin, margin, (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    rows, columns = rng.integers(0, 2 * _MOST_SHIFT + 1, (2, count))
    return np.moveaxis(windows[np.arange(count), rows, columns], 1, -1)


def shifted_and_mirrored(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    """Shift each image, and turn half of them left to right."""
    moved = shifted(rng, images)
    mirror = rng.random(len(moved)) < 0.5
    return np.where(mirror[:, None, None, None], moved[:, :, ::-1], moved)
