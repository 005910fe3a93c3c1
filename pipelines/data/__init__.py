"""Datasets for the pipelines, as plain NumPy arrays."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pipelines.data import cifar10, digits, fashion_mnist, folders, fruits360, rendered
from pipelines.data.dataset import DataError, Dataset, Progress, Split, check_limit
from pipelines.data.download import Unavailable, expanded

__all__ = ["DATASETS", "PREFERRED", "DataError", "Dataset", "load"]

Loader = Callable[[Path | None, Progress | None, int | None], Dataset]
"""`loader(data_dir, progress, limit)`; `limit` is the number of training images, None for all."""


def _cut(loader: Callable[[Path | None, Progress | None], Dataset]) -> Loader:
    """Return a loader that reads everything and keeps the first after the fixed shuffle."""

    def load(data_dir: Path | None, progress: Progress | None, limit: int | None) -> Dataset:
        dataset = loader(data_dir, progress)
        train = dataset.train
        check_limit(limit, len(train), name=dataset.name)
        kept = Split(images=train.images[:limit], labels=train.labels[:limit])
        return dataclasses.replace(dataset, train=kept)

    return load


DATASETS: dict[str, Loader] = {
    "cifar10": _cut(cifar10.load),
    "fashion_mnist": _cut(fashion_mnist.load),
    "digits": _cut(digits.load),
    "fruits360": fruits360.load,
    "folder": folders.load,
    "rendered_fruits": rendered.load,
}


def _folder_or_archive(
    data_dir: Path | None, progress: Progress | None, limit: int | None
) -> Dataset:
    """Read any class folders, or Fruits-360 as Kaggle packs it."""
    return folders.load(data_dir and fruits360.at_100_pixels(data_dir), progress, limit)


_PROBE_S = 0.8  # `auto` must not keep anybody waiting who has no network


class Preference(NamedTuple):
    """What `auto` means to a model made for a dataset.

    Attributes:
        title: of that dataset.
        given: reads it, or what is like it, from a folder that the user gave.
        found: reads it from the usual places or the network, without patience.
        stand_in: reads what to use if it cannot be had.
        notice: what the stand-in is.
    """

    title: str
    given: Loader
    found: Loader
    stand_in: Loader
    notice: str


PREFERRED: dict[str, Preference] = {
    "cifar10": Preference(
        "CIFAR-10",
        DATASETS["cifar10"],
        _cut(partial(cifar10.load, patience_s=_PROBE_S)),
        DATASETS["digits"],
        "scikit-learn's digits (1 797 real 8x8 images enlarged to 32x32x3). These are NOT CIFAR-10"
        " results.",
    ),
    "fruits360": Preference(
        "Fruits-360",
        _folder_or_archive,
        partial(fruits360.load, patience_s=_PROBE_S),
        DATASETS["rendered_fruits"],
        f"a {rendered.NOTICE}.",
    ),
}


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    preferred: str = "cifar10",
) -> Dataset:
    """Load a dataset with its fixed split into training, validation and test images.

    `auto` is what a model prefers, from disk, else from its website, else a stand-in with a loud
    `notice`. It stands in for what cannot be fetched, never for what is there but damaged.

    Args:
        name: One of `DATASETS`, or `auto`.
        data_dir: Where to look, and then nowhere else. None means the usual folders, then the
            network.
        limit: Keep only this many training images, the first after the fixed shuffle.
        progress: Called as `progress(label, done, total)` during what takes long.
        preferred: What `auto` looks for, one of `PREFERRED`.

    Returns:
        The dataset.

    Raises:
        DataError: It cannot be had; the message is one line and names the remedy.
    """
    if name != "auto" and name not in DATASETS:
        raise DataError(f"data must be one of {', '.join(['auto', *DATASETS])}, got {name!r}")
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1 training image, got {limit}")
    folder = expanded(data_dir) if data_dir else None
    if name == "auto":
        return _auto(PREFERRED[preferred], folder, progress, limit)
    return DATASETS[name](folder, progress, limit)


def _auto(
    wanted: Preference, data_dir: Path | None, progress: Progress | None, limit: int | None
) -> Dataset:
    if data_dir is not None:
        return wanted.given(data_dir, progress, limit)
    try:
        return wanted.found(None, progress, limit)
    except Unavailable as failure:
        return dataclasses.replace(
            wanted.stand_in(None, progress, limit),
            notice=f"{wanted.title} was not found and {failure.reason}: using {wanted.notice}",
        )
