"""Datasets for the pipelines, as plain NumPy arrays: CIFAR-10, Fashion-MNIST, digits."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from pipelines.data import cifar10, digits, fashion_mnist
from pipelines.data.dataset import DataError, Dataset, Progress, Split
from pipelines.data.download import Unavailable

__all__ = ["DATASETS", "DataError", "Dataset", "load"]

DATASETS: dict[str, Callable[[Path | None, Progress | None], Dataset]] = {
    "cifar10": cifar10.load,
    "fashion_mnist": fashion_mnist.load,
    "digits": digits.load,
}

_PROBE_S = 0.8  # `auto` must not keep anybody waiting who has no network


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load a dataset with its fixed split into training, validation and test images.

    `auto` is CIFAR-10 from disk, else from its website, else digits with a loud `notice`. It
    stands digits in for what cannot be fetched, never for what is there but damaged.

    Args:
        name: One of `DATASETS`, or `auto`.
        data_dir: Where to look, and then nowhere else. None means the usual folders, then the
            network.
        limit: Keep only this many training images, the first after the fixed shuffle.
        progress: Called as `progress(label, done_bytes, total_bytes)` during a download.

    Returns:
        The dataset.

    Raises:
        DataError: It cannot be had; the message is one line and names the remedy.
    """
    if name != "auto" and name not in DATASETS:
        raise DataError(f"data must be one of {', '.join(['auto', *DATASETS])}, got {name!r}")
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1 training image, got {limit}")
    loader = _auto if name == "auto" else DATASETS[name]
    dataset = loader(data_dir.expanduser() if data_dir else None, progress)
    return dataset if limit is None else _limited(dataset, limit)


def _auto(data_dir: Path | None, progress: Progress | None) -> Dataset:
    try:
        return cifar10.load(data_dir, progress, patience_s=_PROBE_S)
    except Unavailable as failure:
        return dataclasses.replace(
            digits.load(None),
            notice=(
                f"CIFAR-10 was not found and {failure.reason}: using scikit-learn's digits"
                " (1 797 real 8x8 images enlarged to 32x32x3). These are NOT CIFAR-10 results."
            ),
        )


def _limited(dataset: Dataset, limit: int) -> Dataset:
    train = dataset.train
    if limit > len(train):
        raise DataError(
            f"limit must be at most the {len(train)} training images of {dataset.name}, got {limit}"
        )
    kept = Split(images=train.images[:limit], labels=train.labels[:limit])
    return dataclasses.replace(dataset, train=kept)
