"""The results and errors of all readers of datasets, and their common rules."""

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipelines.data.augment import Augment, unchanged

Progress = Callable[[str, int, int], None]
"""Called as `progress(label, done, total)` while something takes long; the label says of what."""

IMAGE_SHAPE = (32, 32, 3)
NUM_CLASSES = 10
DAMAGED = "the copy is damaged or of another dataset: replace it"

_SPLIT_SEED = 20_090_408
_MAX_VALIDATION = 5_000

# Errors of the standard library and NumPy for a damaged, truncated or foreign file.
_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    MemoryError,
    OverflowError,
    RuntimeError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)


class DataError(Exception):
    """A dataset cannot be had; the message is one line: what, which rule, the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Images uint8 `[n, h, w, 3]` and their labels int32 `[n]`."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over dtype, shape and bytes of both arrays."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Three disjoint splits, and where they come from.

    Attributes:
        name: Its name in `pipelines.data.DATASETS`.
        source: One line for the report: the file, folder or package that was read.
        notice: One loud line if this is a stand-in for what was asked, else empty.
        nature: A notice to show with every figure and file, or empty; unlike `notice` it does not
            depend on the reason for the choice of the dataset.
        augment: Of training images.
        skipped: Files that could not be read, each with the reason.
        classes: The class names; label `i` means `classes[i]`.
        train: For training.
        validation: For choices.
        test: For the report, used once.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notice: str = ""
    nature: str = ""
    augment: Augment = unchanged
    skipped: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over all splits.

        A resumed run compares it with the first run's and refuses other data.
        """
        splits = (self.train, self.validation, self.test)
        return hashlib.sha256("".join(s.fingerprint for s in splits).encode()).hexdigest()


def shuffled(count: int) -> np.ndarray:
    """The one permutation of `range(count)` that every split is cut from.

    The seed is a constant of this file, not the user's, so that two runs are always measured on
    the same images. `RandomState` is used because NumPy promises that its stream never changes,
    which it does not promise for `default_rng`.
    """
    return np.random.RandomState(_SPLIT_SEED).permutation(count)


def split_training(count: int, *, origin: str) -> tuple[np.ndarray, np.ndarray]:
    """Divide an official training part into training and validation.

    Args:
        count: The number of images in the part.
        origin: The file or folder to name in the error.

    Returns:
        Two arrays of indices. Validation is a tenth of the part, at least 1 and at most 5 000.

    Raises:
        DataError: There are too few images for both.
    """
    if count < 2:
        raise DataError(f"{origin}: needs at least 2 training images, got {count}; {DAMAGED}")
    held_out = min(max(count // 10, 1), _MAX_VALIDATION)
    order = shuffled(count)
    return order[held_out:], order[:held_out]


def check_limit(limit: int | None, available: int, *, name: str) -> None:
    """Refuse a limit above the training images that a dataset has.

    Raises:
        DataError: Naming both numbers.
    """
    if limit is not None and limit > available:
        raise DataError(
            f"limit must be at most the {available} training images of {name}, got {limit}"
        )


def check(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    origin: str,
    shape: tuple[int, ...] = IMAGE_SHAPE,
) -> Split:
    """Refuse arrays that cannot be a split; return others contiguous, labels as int32.

    Args:
        images: Should be uint8 `[n, *shape]`.
        labels: Should be integers `[n]` in `[0, 10)`.
        origin: The file or folder to name in the error.
        shape: The shape of one image.

    Raises:
        DataError: A kind, a shape, a count or a label is wrong.
    """
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        expected = "x".join(map(str, shape))
        found = f"{images.dtype} of shape {images.shape}"
        raise DataError(f"{origin}: images must be uint8 [n] of {expected}, got {found}; {DAMAGED}")
    if not len(images):
        raise DataError(f"{origin}: holds no images; {DAMAGED}")
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        found = f"{labels.dtype} of shape {labels.shape}"
        raise DataError(f"{origin}: labels must be integers of shape [n], got {found}; {DAMAGED}")
    if len(images) != len(labels):
        found = f"{len(images)} images and {len(labels)} labels"
        raise DataError(f"{origin}: every image needs one label, got {found}; {DAMAGED}")
    if outside := labels[(labels < 0) | (labels >= NUM_CLASSES)].tolist():
        raise DataError(
            f"{origin}: labels must be in [0, {NUM_CLASSES}), got {outside[0]}; {DAMAGED}"
        )
    return Split(images=np.ascontiguousarray(images), labels=labels.astype(np.int32))


def check_regular(*paths: Path) -> None:
    """Refuse anything but a regular file: opening a pipe would wait for its other end.

    Raises:
        DataError: Naming the first of them.
    """
    for path in paths:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: must be a regular file; replace it")


@contextmanager
def reading(origin: Path | str) -> Iterator[None]:
    """Turn all errors of reading a damaged or foreign file into a `DataError`."""
    try:
        yield
    except _READ_ERRORS as error:
        raise DataError(
            f"{origin}: cannot be read ({type(error).__name__}: {error}); {DAMAGED}"
        ) from error
