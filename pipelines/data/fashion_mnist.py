"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 70 000 grey 28x28 photographs of clothes."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from pipelines.data.dataset import (
    DAMAGED,
    IMAGE_SHAPE,
    DataError,
    Dataset,
    Progress,
    Split,
    check,
    reading,
    split_training,
)
from pipelines.data.download import Remote, cache_dir, fetch

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist

_SITE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_BY_HAND = "`apt-get install dataset-fashion-mnist`"
FILES = {
    name: Remote(
        url=f"{_SITE}/{name}.gz", size_bytes=size_bytes, sha256=sha256, alternative=_BY_HAND
    )
    for name, size_bytes, sha256 in (
        (
            "train-images-idx3-ubyte",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        (
            "train-labels-idx1-ubyte",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        (
            "t10k-images-idx3-ubyte",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        (
            "t10k-labels-idx1-ubyte",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    )
}

_SIDE = 28
_MAX_COUNT = 1_000_000  # keeps a lying header from asking for terabytes


def load(data_dir: Path | None, progress: Progress | None = None) -> Dataset:
    """Read Fashion-MNIST from `data_dir`, else Debian's package, else cache, else website.

    Images are centred on a black 32x32 ground and repeated over three channels.

    Args:
        data_dir: The folder of the four IDX files, gzipped or not.
        progress: Told about the download.

    Raises:
        DataError: A file is missing or damaged.
        Unavailable: Nothing was found and the download failed.
    """
    folder = _folder(data_dir, progress)
    part, test = _read(folder, "train"), _read(folder, "t10k")
    training, validation = split_training(len(part), origin=str(folder))
    return Dataset(
        name="fashion_mnist",
        source=str(folder),
        classes=CLASSES,
        # Chosen first and padded after: padding makes them four times as large.
        train=Split(images=_pad(part.images[training]), labels=part.labels[training]),
        validation=Split(images=_pad(part.images[validation]), labels=part.labels[validation]),
        test=Split(images=_pad(test.images), labels=test.labels),
    )


def _folder(data_dir: Path | None, progress: Progress | None) -> Path:
    if data_dir is not None:
        return data_dir
    with reading(SYSTEM_FOLDER):
        if any(_find(SYSTEM_FOLDER, name) for name in FILES):
            return SYSTEM_FOLDER
    folder = cache_dir() / "fashion-mnist"  # MNIST's own files bear the same names
    for name, remote in FILES.items():
        if _find(folder, name) is None:
            fetch(remote, folder, progress)
    return folder


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}.gz", folder / name)
    return next((path for path in candidates if path.is_file()), None)


def _read(folder: Path, part: str) -> Split:
    images = _read_idx(folder, f"{part}-images-idx3-ubyte", shape=(_SIDE, _SIDE))
    labels = _read_idx(folder, f"{part}-labels-idx1-ubyte", shape=())
    return check(images, labels, origin=f"{folder}: {part}", shape=(_SIDE, _SIDE))


def _read_idx(folder: Path, name: str, *, shape: tuple[int, ...]) -> np.ndarray:
    """Read one IDX file of bytes: 0 0 8 ndim, the big-endian sizes, the values."""
    with reading(folder):
        path = _find(folder, name)
    if path is None:
        raise DataError(
            f"{folder}: lacks {name}.gz; {_BY_HAND}, or pass the folder with the four files of"
            f" {_SITE} as --data-dir"
        )
    expected = (8 << 8 | 1 + len(shape), *shape)
    with reading(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        header = stream.read(8 + 4 * len(shape))
        if len(header) < 8 + 4 * len(shape):
            raise DataError(f"{path}: ends inside its header; {DAMAGED}")
        magic, count, *sizes = struct.unpack(f">{2 + len(shape)}I", header)
        if (magic, *sizes) != expected or count > _MAX_COUNT:
            raise DataError(
                f"{path}: magic number and sizes must be {expected}, got {(magic, *sizes)} with"
                f" {count} items; {DAMAGED}"
            )
        size_bytes = count * math.prod(shape)
        payload = stream.read(size_bytes + 1)  # one more, to reach the end and its checksum
    if len(payload) != size_bytes:
        found = "more" if len(payload) > size_bytes else len(payload)
        raise DataError(f"{path}: must hold {size_bytes} bytes of values, got {found}; {DAMAGED}")
    return np.frombuffer(payload, np.uint8).reshape(count, *shape)


def _pad(images: np.ndarray) -> np.ndarray:
    padded = np.zeros((len(images), *IMAGE_SHAPE), np.uint8)
    edge = (IMAGE_SHAPE[0] - _SIDE) // 2
    padded[:, edge:-edge, edge:-edge] = images[..., None]
    return padded
