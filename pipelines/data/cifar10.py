"""CIFAR-10 (Krizhevsky, 2009): 60 000 colour photographs of 32x32 in ten classes."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.data.augment import shifted_and_mirrored
from pipelines.data.batches import FOLDERS, is_batch_folder, read_folder, read_tar
from pipelines.data.dataset import DataError, Dataset, Progress, Split, reading, split_training
from pipelines.data.download import Remote, cache_dir, fetch
from pipelines.data.prepared import is_readable, read_npz, read_tfds

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ARCHIVE = Remote(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    size_bytes=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)


def load(
    data_dir: Path | None, progress: Progress | None = None, *, patience_s: float = 5.0
) -> Dataset:
    """Read CIFAR-10 from `data_dir`, else from the usual folders, else from its website.

    Args:
        data_dir: A folder holding any known form of CIFAR-10, or one such file or folder itself.
        progress: Told about the download.
        patience_s: How long the website may take to accept a connection, in seconds.

    Raises:
        DataError: `data_dir` holds no CIFAR-10, or what was found is damaged.
        Unavailable: Nothing was found and the download failed.
    """
    path = _usual() if data_dir is None else _given(data_dir)
    if path is None:
        path = fetch(ARCHIVE, cache_dir(), progress, patience_s=patience_s)
    part, test = _read(path)
    training, validation = split_training(len(part), origin=str(path))
    return Dataset(
        name="cifar10",
        source=str(path),
        classes=CLASSES,
        train=Split(images=part.images[training], labels=part.labels[training]),
        validation=Split(images=part.images[validation], labels=part.labels[validation]),
        test=test,
        augment=shifted_and_mirrored,
    )


def _read(path: Path) -> tuple[Split, Split]:
    if _is_tfds(path):
        return read_tfds(path)
    if path.suffix == ".npz":
        return read_npz(path)
    return read_folder(path) if path.is_dir() else read_tar(path)


def _is_tfds(path: Path) -> bool:
    return (path / "dataset_info.json").is_file()


def _known(folder: Path) -> Iterator[Path]:
    """Every place in a folder where CIFAR-10 may lie, the quickest to read first."""
    names = (*FOLDERS, "cifar10.npz", "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
    yield from (path for name in names if (path := folder / name).exists())
    for versions in ("cifar10/3.*", "3.*") if folder.name == "cifar10" else ("cifar10/3.*",):
        yield from (info.parent for info in sorted(folder.glob(f"{versions}/dataset_info.json")))


def _usual() -> Path | None:
    for folder in (cache_dir(), Path.home() / "tensorflow_datasets"):
        with reading(folder):
            # A copy that only TensorFlow can read is no reason to stop where nobody pointed at it.
            usable = (path for path in _known(folder) if not _is_tfds(path) or is_readable(path))
            if found := next(usable, None):
                return found
    return None


def _given(data_dir: Path) -> Path:
    """What to read from a path the user gave, which is never passed over in silence."""
    with reading(data_dir):
        if data_dir.is_file() and data_dir.name.endswith((".npz", ".tar.gz", ".tgz")):
            return data_dir
        if is_batch_folder(data_dir) or _is_tfds(data_dir):
            return data_dir
        if found := next(_known(data_dir), None):
            return found
        if len(archives := list(data_dir.glob("*.npz"))) == 1:
            return archives[0]
        what = "holds no CIFAR-10" if data_dir.exists() else "does not exist"
    raise DataError(
        f"{data_dir}: {what}; put {ARCHIVE.name} there (from {ARCHIVE.url}, sha256"
        f" {ARCHIVE.sha256}), or pass the folder or file that has it as --data-dir"
    )
