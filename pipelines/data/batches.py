"""CIFAR-10 as its authors publish it: six batches in a folder or in a tar.gz.

Binary batches are records of 3 073 bytes: a label, then 1 024 red, 1 024 green and 1 024 blue
values, row by row. Python batches are pickled dicts: `data`, uint8 `[n, 3072]` in that same order,
and `labels`, a list of ints.
"""

import gzip
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from pipelines.data.dataset import DAMAGED, DataError, Split, check, check_regular, reading
from pipelines.data.pickles import load_batch

_PIXELS = 3 * 32 * 32
_MAX_BATCH_BYTES = 32 * 2**20  # a genuine batch of either kind is just under 30 MiB
_TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))


def _decode_binary(payload: bytes, *, origin: str) -> Split:
    if len(payload) % (1 + _PIXELS):
        raise DataError(
            f"{origin}: must be whole records of {1 + _PIXELS} bytes, got {len(payload)} bytes;"
            f" {DAMAGED}"
        )
    records = np.frombuffer(payload, np.uint8).reshape(-1, 1 + _PIXELS)
    return check(_channels_last(records[:, 1:]), records[:, 0], origin=origin)


def _decode_python(payload: bytes, *, origin: str) -> Split:
    batch = load_batch(payload, origin=origin)
    if missing := {"data", "labels"} - batch.keys():
        raise DataError(f"{origin}: lacks the entry {min(missing)!r}; {DAMAGED}")
    data = batch["data"]
    if not isinstance(data, np.ndarray) or data.shape[1:] != (_PIXELS,):
        found = getattr(data, "shape", type(data).__name__)
        raise DataError(f"{origin}: data must be an array [n, {_PIXELS}], got {found}")
    with reading(origin):  # a ragged list of labels is a ValueError
        labels = np.asarray(batch["labels"])
    return check(_channels_last(data), labels, origin=origin)


def _channels_last(planes: np.ndarray) -> np.ndarray:
    return planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """One of the two forms: its folder, its files (the last is the test batch), its decoder."""

    folder: str
    files: tuple[str, ...]
    decode: Callable[..., Split]


_FORMS = (
    _Form(
        folder="cifar-10-batches-bin",
        files=tuple(f"{name}.bin" for name in (*_TRAINING, "test_batch")),
        decode=_decode_binary,
    ),
    _Form(
        folder="cifar-10-batches-py",
        files=(*_TRAINING, "test_batch"),
        decode=_decode_python,
    ),
)
FOLDERS = tuple(form.folder for form in _FORMS)


def is_batch_folder(path: Path) -> bool:
    """Whether the folder is one of the two published ones, by its name or by what it holds."""
    return path.is_dir() and _form_of(path) is not None


def read_folder(path: Path) -> tuple[Split, Split]:
    """Read the training and the test part from an extracted folder.

    Raises:
        DataError: A batch is missing, unreadable, or does not hold what it should.
    """
    form = _form_of(path) or _FORMS[0]
    payloads = {}
    for file in (path / name for name in form.files):
        with reading(file):
            if file.is_file():
                _refuse_large(file.stat().st_size, origin=str(file))
                payloads[file.name] = file.read_bytes()
    return _decode(form, payloads, origin=str(path))


def read_tar(path: Path) -> tuple[Split, Split]:
    """Read the training and the test part from a tar.gz, without extracting it.

    Raises:
        DataError: As `read_folder`.
    """
    check_regular(path)
    payloads: dict[_Form, dict[str, bytes]] = {form: {} for form in _FORMS}
    with reading(path), gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            inside = PurePosixPath(member.name)
            for form in _FORMS:
                wanted = inside.parent.name == form.folder and inside.name in form.files
                if wanted and member.isreg() and (file := tar.extractfile(member)):
                    _refuse_large(member.size, origin=f"{path}: {inside.name}")
                    payloads[form][inside.name] = file.read()
        while stream.read(2**20):  # gzip compares its checksum only at the very end
            pass
    form = max(_FORMS, key=lambda form: len(payloads[form]))
    return _decode(form, payloads[form], origin=str(path))


def _form_of(folder: Path) -> _Form | None:
    for form in _FORMS:
        if folder.name == form.folder or any((folder / name).is_file() for name in form.files):
            return form
    return None


def _refuse_large(size_bytes: int, *, origin: str) -> None:
    if size_bytes > _MAX_BATCH_BYTES:
        raise DataError(
            f"{origin}: a batch has at most {_MAX_BATCH_BYTES} bytes, got {size_bytes}; {DAMAGED}"
        )


def _decode(form: _Form, payloads: dict[str, bytes], *, origin: str) -> tuple[Split, Split]:
    if missing := [name for name in form.files if name not in payloads]:
        raise DataError(f"{origin}: lacks {form.folder}/{missing[0]}; {DAMAGED}")
    *training, test = (
        form.decode(payloads.pop(name), origin=f"{origin}: {name}") for name in form.files
    )
    images = np.concatenate([split.images for split in training])
    labels = np.concatenate([split.labels for split in training])
    return Split(images=images, labels=labels), test
