"""Any dataset of two folders, for training and for test, with a folder of pictures per class.

    anywhere/Training/Apple/1.jpg        anywhere/Test/Apple/7.jpg
    anywhere/Training/Banana/1.jpg       anywhere/Test/Banana/3.png

They are decoded once, and then lie in the cache, from where they are mapped.
"""

import hashlib
import json
import os
from collections.abc import Container
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL

from pipelines.data import pictures
from pipelines.data.cache import Create, cached
from pipelines.data.dataset import (
    DataError,
    Dataset,
    Progress,
    Split,
    check_limit,
    split_training,
)
from pipelines.data.parallel import in_parallel
from pipelines.data.pictures import Unreadable, read_picture
from pipelines.data.trees import LAYOUT, Tree, read_tree, some

SIDE = 100
_FEW_UNREADABLE, _SHARE_UNREADABLE = 10, 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class _Files:
    """The files to decode, in the order of the rows: training, validation, test."""

    root: Path
    classes: tuple[str, ...]
    paths: list[Path]
    labels: np.ndarray
    ends: tuple[int, int, int]
    whole: bool  # no training picture is left out

    @property
    def parts(self) -> dict[str, slice]:
        train, validation, test = self.ends
        return {
            "training": slice(0, train),
            "validation": slice(train, validation),
            "test": slice(validation, test),
        }


def load(
    data_dir: Path | None,
    progress: Progress | None = None,
    limit: int | None = None,
    *,
    name: str = "folder",
) -> Dataset:
    """Read a tree of class folders; its pictures are decoded once and then kept in the cache.

    Args:
        data_dir: The folder with both Training (or Train) and Test (or Testing), whatever their
            case, or one up to four levels above it.
        progress: Told how many pictures are decoded.
        limit: Decode only this many training pictures, the first after the fixed shuffle.
        name: What the dataset is called.

    Returns:
        The dataset, `SIDE` by `SIDE` pixels, its classes in the order of their folders' names. The
        images are mapped from the cache and take no memory of their own.

    Raises:
        DataError: There is no such tree, it is ambiguous, its two halves have not the same
            classes, or too many of its pictures cannot be read.
    """
    if data_dir is None:
        raise DataError(f"--data {name} needs --data-dir, a folder that holds {LAYOUT}")
    files = _chosen(read_tree(data_dir), limit, name=name)
    arrays = cached("pictures", _key(files), lambda create: _decode(files, create, progress))
    reasons = dict(json.loads(arrays["unreadable"].tobytes()))
    return _dataset(files, arrays["images"], reasons, name=name)


def _chosen(tree: Tree, limit: int | None, *, name: str) -> _Files:
    paths, labels = _flat(tree.training)
    training, held_out = split_training(len(paths), origin=str(tree.root))
    check_limit(limit, len(training), name=name)
    order = np.concatenate([training[:limit], held_out])
    test_paths, test_labels = _flat(tree.test)
    return _Files(
        root=tree.root,
        classes=tuple(tree.training),
        paths=[paths[index] for index in order] + test_paths,
        labels=np.concatenate([labels[order], test_labels]),
        ends=(len(order) - len(held_out), len(order), len(order) + len(test_paths)),
        whole=limit in (None, len(training)),
    )


def _flat(classes: dict[str, list[Path]]) -> tuple[list[Path], np.ndarray]:
    """Return all files, class by class, and their labels."""
    sizes = [len(paths) for paths in classes.values()]
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return [path for paths in classes.values() for path in paths], labels


def _key(files: _Files) -> dict[str, object]:
    """Return what decides the rows: the files as they are now, and the code that decodes them."""
    listing, code = hashlib.sha256(), hashlib.sha256()
    for path in files.paths:
        name = os.fsencode(path.relative_to(files.root))
        try:
            status = path.stat()
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # a dead link
            stamp = ""
        listing.update(name + b"\0" + stamp.encode() + b"\n")
    for source in (pictures.__file__, __file__):
        code.update(Path(source).read_bytes())
    return {
        "root": os.fsencode(files.root.resolve()).hex(),
        "files": listing.hexdigest(),
        "ends": files.ends,
        "side": SIDE,
        "code": code.hexdigest(),
        "pillow": PIL.__version__,
    }


def _decode(files: _Files, create: Create, progress: Progress | None) -> None:
    """Fill `images` without gaps, and `unreadable`: JSON pairs of a file's index and the reason."""
    count, row = len(files.paths), 0
    # Rows of files that cannot be read are left over at the end.
    images = create("images", (count, SIDE, SIDE, 3), np.uint8)
    reasons: dict[int, str] = {}
    decode = partial(_read, files.paths)
    for _, (good, bad) in in_parallel(decode, count, label="pictures", progress=progress):
        images[row : row + len(good)] = good
        row += len(good)
        reasons |= bad
    _refuse_damaged(files, reasons)
    encoded = np.frombuffer(json.dumps(list(reasons.items())).encode(), np.uint8)
    create("unreadable", encoded.shape, np.uint8)[:] = encoded


def _read(paths: list[Path], part: slice) -> tuple[np.ndarray, dict[int, str]]:
    """Return the pictures that can be read, and index -> reason of those that cannot."""
    images, reasons = np.empty((part.stop - part.start, SIDE, SIDE, 3), np.uint8), {}
    for index in range(part.start, part.stop):
        try:
            images[index - part.start - len(reasons)] = read_picture(paths[index], SIDE)
        except Unreadable as error:
            reasons[index] = error.reason
    return images[: len(images) - len(reasons)], reasons


def _refuse_damaged(files: _Files, reasons: dict[int, str]) -> None:
    count = len(files.paths)
    if len(reasons) > max(_FEW_UNREADABLE, _SHARE_UNREADABLE * count):
        first = " | ".join(_skipped(files, reasons)[:3])
        raise DataError(
            f"{files.root}: {len(reasons)} of {count} pictures cannot be read, such as"
            f" {first}; replace them, or take them away"
        )
    for part, rows in files.parts.items():
        wanted, kept = files.labels[rows], _labels(files, rows, reasons)
        if not len(kept):
            raise DataError(
                f"{files.root}: none of its {len(wanted)} {part} pictures can be read, such as"
                f" {_skipped(files, reasons)[0]}; replace them"
            )
        # A class need not be among the few pictures of a limit, nor in validation.
        lost = [files.classes[label] for label in np.setdiff1d(wanted, kept)]
        if lost and (part == "test" or (part == "training" and files.whole)):
            raise DataError(
                f"{files.root}: no {part} picture can be read of {some(lost)}; replace them, or"
                " take the class away"
            )


def _labels(files: _Files, rows: slice, reasons: Container[int]) -> np.ndarray:
    """Return the labels of those that can be read."""
    readable = [index not in reasons for index in range(rows.start, rows.stop)]
    return files.labels[rows][readable]


def _skipped(files: _Files, reasons: dict[int, str]) -> tuple[str, ...]:
    names = ((files.paths[index].relative_to(files.root), reasons[index]) for index in reasons)
    return tuple(" ".join(f"{name}: {reason}".split()) for name, reason in names)


def _dataset(files: _Files, images: np.ndarray, reasons: dict[int, str], *, name: str) -> Dataset:
    splits, row = {}, 0
    for part, rows in files.parts.items():
        labels = _labels(files, rows, reasons)
        splits[part] = Split(images=images[row : row + len(labels)], labels=labels)
        row += len(labels)
    return Dataset(
        name=name,
        source=str(files.root),
        classes=files.classes,
        train=splits["training"],
        validation=splits["validation"],
        test=splits["test"],
        skipped=_skipped(files, reasons),
    )
