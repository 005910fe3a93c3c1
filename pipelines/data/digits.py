"""Digits (Alpaydin and Kaynak, 1998): 1 797 handwritten 8x8 digits inside scikit-learn.

Small, real, and there when the network is not; no measure of anything made for CIFAR-10.
"""

from pathlib import Path

import numpy as np

from pipelines.data.augment import shifted
from pipelines.data.dataset import DataError, Dataset, Progress, Split, check, shuffled

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_SMALL, _LARGE = 8, 32
_MAX_VALUE = 16
_TRAINING, _VALIDATION = 1_077, 180  # the other 540 of the 1 797 are the test part


def load(data_dir: Path | None, progress: Progress | None = None) -> Dataset:
    """Read the digits that scikit-learn carries, enlarged to 32x32 on three channels.

    Args:
        data_dir: Must be None; there is nothing to read from a folder.
        progress: Not called; there is nothing to download.

    Raises:
        DataError: A folder was given, or scikit-learn is missing.
    """
    del progress
    if data_dir is not None:
        raise DataError(f"{data_dir}: digits come with scikit-learn; leave out --data-dir")
    small, labels = _embedded()
    whole = check(enlarge(small), labels, origin="scikit-learn's digits")
    parts = np.split(shuffled(len(whole)), [_TRAINING, _TRAINING + _VALIDATION])
    train, validation, test = (
        Split(images=whole.images[part], labels=whole.labels[part]) for part in parts
    )
    return Dataset(
        name="digits",
        source="embedded in scikit-learn",
        classes=CLASSES,
        train=train,
        validation=validation,
        test=test,
        augment=shifted,
    )


def enlarge(images: np.ndarray) -> np.ndarray:
    """Enlarge digits bilinearly, pixel centres aligned at the half pixel.

    Weights are multiples of 1/8, so the whole runs in integers and rounds alike everywhere.

    Args:
        images: Integers `[n, 8, 8]` in 0..16.

    Returns:
        uint8 `[n, 32, 32, 3]`; 16 has become 255, and the three channels are equal.
    """
    weights = _weights_in_eighths()
    enlarged = weights @ images.astype(np.int64) @ weights.T  # 64 times too large
    largest = 64 * _MAX_VALUE
    scaled = (enlarged * 255 + largest // 2) // largest
    return np.repeat(scaled.astype(np.uint8)[..., None], 3, axis=-1)


def _weights_in_eighths() -> np.ndarray:
    """The `[32, 8]` matrix of one axis: output `i` lies at input `(i + 1/2) / 4 - 1/2`."""
    eighths = np.clip(2 * np.arange(_LARGE) - 3, 0, 8 * (_SMALL - 1))
    distance = np.abs(eighths[:, None] - 8 * np.arange(_SMALL))
    return np.maximum(8 - distance, 0)


def _embedded() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            f"digits need scikit-learn ({error}); install it with: pip install -e '.[run]'"
        ) from error
    values, labels = load_digits(return_X_y=True)
    return np.asarray(values).reshape(-1, _SMALL, _SMALL), np.asarray(labels)
