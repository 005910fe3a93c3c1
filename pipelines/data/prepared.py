"""CIFAR-10 as others have prepared it: one .npz, or a copy made by tensorflow-datasets."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.dataset import DAMAGED, DataError, Split, check, check_regular, reading

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> tuple[Split, Split]:
    """Read `x_train`, `y_train`, `x_test`, `y_test`: images `[n, 32, 32, 3]`, labels `[n]`.

    Labels may also be `[n, 1]`, as Keras has them. Nothing in the file is unpickled.

    Raises:
        DataError: The file is damaged, or an array is missing or wrong.
    """
    check_regular(path)
    with reading(path), path.open("rb") as file:  # which np.load would leave open on an error
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: must be an .npz archive, got a bare array; {DAMAGED}")
        with archive:
            if missing := [name for name in _ARRAYS if name not in archive.files]:
                raise DataError(f"{path}: lacks the array {missing[0]}; it needs {_ARRAYS}")
            x_train, y_train, x_test, y_test = (archive[name] for name in _ARRAYS)
    return (
        check(x_train, _flat(y_train), origin=f"{path}: train"),
        check(x_test, _flat(y_test), origin=f"{path}: test"),
    )


def _flat(labels: np.ndarray) -> np.ndarray:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def is_readable(folder: Path) -> bool:
    """Return whether a prepared copy is in the form that needs no TensorFlow."""
    return any(folder.glob("*.array_record*"))


def read_tfds(folder: Path) -> tuple[Split, Split]:
    """Read a copy that tensorflow-datasets has prepared; TensorFlow itself is not needed.

    Args:
        folder: The version folder, such as `cifar10/3.0.2`, with `dataset_info.json` in it.

    Raises:
        DataError: The copy is not in the array_record form, is damaged, or cannot be read because
            a package is missing.
    """
    if not is_readable(folder):
        raise DataError(
            f"{folder}: only the array_record form can be read without TensorFlow; prepare it"
            " again with file_format='array_record', or pass another copy as --data-dir"
        )
    check_regular(*(path for path in folder.glob("*") if not path.is_dir()))
    try:
        tfds = importlib.import_module("tensorflow_datasets")
        builder = tfds.builder_from_directory(folder, file_format="array_record")
        train, test = (_stack(builder.as_data_source(split=part)) for part in ("train", "test"))
    except ImportError as error:
        raise DataError(f"{folder}: {error}; install it with: pip install -e '.[data]'") from error
    except Exception as error:  # another package's reader, which documents no exceptions
        raise DataError(f"{folder}: cannot be read ({error}); {DAMAGED}") from error
    return (
        check(*train, origin=f"{folder}: train"),
        check(*test, origin=f"{folder}: test"),
    )


def _stack(examples: Any) -> tuple[np.ndarray, np.ndarray]:
    rows = [examples[index] for index in range(len(examples))]
    return np.stack([row["image"] for row in rows]), np.asarray([row["label"] for row in rows])
