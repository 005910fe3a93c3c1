"""Fruits-360 (Mureşan and Oltean, 2018): fruits and vegetables on white, 100x100, from Kaggle.

Its pictures are frames of turning fruit. Validation is a random part of the training frames and so
holds near-duplicates of them; the test half shows other angles of the same fruit.
"""

import contextlib
import importlib
import logging
import os
import sys
from pathlib import Path

from pipelines.data import download, folders
from pipelines.data.dataset import Dataset, Progress
from pipelines.data.download import Unavailable

VERSION = 11
HANDLE = f"moltean/fruits/versions/{VERSION}"
PAGE = "https://www.kaggle.com/datasets/moltean/fruits"

_SITE = "https://www.kaggle.com"
_BY_HAND = f"download version {VERSION} by hand, unpack it, and pass its folder as --data-dir"


def load(
    data_dir: Path | None,
    progress: Progress | None = None,
    limit: int | None = None,
    *,
    patience_s: float = 5.0,
) -> Dataset:
    """Read Fruits-360 from `data_dir`, else from kagglehub's cache, else from Kaggle.

    Args:
        data_dir: The folder with Training and Test, or one above it.
        progress: Told how many pictures are decoded; kagglehub shows its download itself.
        limit: Decode only this many training pictures, the first after the fixed shuffle.
        patience_s: How long Kaggle may take to accept a connection, in seconds.

    Raises:
        DataError: What was found is not Fruits-360, or too many pictures cannot be read.
        Unavailable: Nothing was found and the download failed.
    """
    folder = data_dir or _cached() or _downloaded(patience_s)
    return folders.load(at_100_pixels(folder), progress, limit, name="fruits360")


def at_100_pixels(folder: Path) -> Path:
    """Return the part to use of an unpacked archive, which has other sizes and tasks beside it."""
    parts = sorted(folder.glob("fruits-360*100x100")) if folder.is_dir() else []
    return parts[0] if len(parts) == 1 else folder


def _cached() -> Path | None:
    """Return what kagglehub has unpacked earlier; it marks what is complete.

    Looking there ourselves needs neither a network nor kagglehub.
    """
    root = Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))
    dataset = root / "datasets" / "moltean" / "fruits"
    folder = dataset / "versions" / str(VERSION)
    complete = (dataset / f"{VERSION}.complete").exists() and folder.is_dir()
    return folder if complete else None


def _downloaded(patience_s: float) -> Path:
    # Inside a Kaggle notebook, kagglehub mounts datasets, and the site need not be reachable.
    mounted = "KAGGLE_KERNEL_RUN_TYPE" in os.environ
    if not mounted and (silence := download.probe(_SITE, patience_s=patience_s)):
        raise Unavailable(PAGE, silence, remedy=_BY_HAND)
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError as error:
        remedy = f"install it with: pip install -e '.[run]', or {_BY_HAND}"
        raise Unavailable(PAGE, f"needs kagglehub ({error})", remedy=remedy) from error
    logging.getLogger("kagglehub").setLevel(logging.WARNING)  # its bar says enough
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where it may ask for its own update
            return Path(kagglehub.dataset_download(HANDLE))
    except Exception as error:  # kagglehub documents no exceptions
        reason = f"the download failed ({str(error) or type(error).__name__})"
        raise Unavailable(PAGE, reason, remedy=_BY_HAND) from error
