"""Trees of class folders: where the two halves lie, and which files are of which class."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.dataset import DataError, reading
from pipelines.data.pictures import SUFFIXES

LAYOUT = "folders Training and Test side by side, and in each one folder of pictures per class"

_TRAINING = ("training", "train")
_TEST = ("test", "testing")
_DEPTH = 4  # how far below the given folder the two may lie
_MOST_FOLDERS = 20_000  # to look into; a home folder has more


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The files of a dataset, by half and class; both halves have the same classes.

    Attributes:
        root: The folder in which both halves lie.
        training: Class name -> its files; classes and files sorted by name.
        test: The same of the other half.
    """

    root: Path
    training: dict[str, list[Path]]
    test: dict[str, list[Path]]


def read_tree(data_dir: Path) -> Tree:
    """Find the one tree at a folder or up to four levels below it, and list its files.

    Links are followed. What is hidden is passed over, and so are files without the suffix of a
    picture, folders inside class folders, and any third half such as Validation.

    Args:
        data_dir: The folder with both Training (or Train) and Test (or Testing), whatever their
            case, or one above it.

    Raises:
        DataError: There is none or more than one, it has less than two classes, a class without
            files, or a class in one half only.
    """
    with reading(data_dir):
        training, test = _pair(data_dir)
        tree = Tree(root=training.parent, training=_classes(training), test=_classes(test))
    for have, lack, folder in (
        (tree.training, tree.test, test),
        (tree.test, tree.training, training),
    ):
        if missing := sorted(have.keys() - lack.keys()):
            raise DataError(
                f"{folder}: lacks {some(missing)}; both halves need a folder for every class"
            )
    if len(tree.training) < 2:
        raise DataError(
            f"{training}: must have at least 2 class folders, got {len(tree.training)}; pass a"
            f" folder that holds {LAYOUT}, as --data-dir"
        )
    return tree


def some(names: list[str]) -> str:
    """Return the first three names, and how many more there are."""
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + rest


def _pair(data_dir: Path) -> tuple[Path, Path]:
    if not data_dir.is_dir():
        what = "is not a folder" if data_dir.exists() else "does not exist"
        raise DataError(f"{data_dir}: {what}; pass one that holds {LAYOUT}, as --data-dir")
    pairs = list(_pairs(data_dir))
    if not pairs:
        raise DataError(
            f"{data_dir}: must hold, at most {_DEPTH} levels down, {LAYOUT}; found no such pair:"
            " pass another folder as --data-dir"
        )
    if len(pairs) > 1:
        first, second = (f"{training} with {test.name}" for training, test in pairs[:2])
        raise DataError(
            f"{data_dir}: holds {len(pairs)} pairs of training and test folders, {first} and"
            f" {second} among them; pass the folder of the one that is meant as --data-dir"
        )
    training, test = pairs[0]
    if training.resolve() == test.resolve():
        raise DataError(f"{test}: is the same folder as {training.name}; give it other pictures")
    return training, test


def _pairs(top: Path) -> Iterator[tuple[Path, Path]]:
    """Look for pairs, level by level; a folder that links lead to twice is looked into once."""
    level, seen = [top], {top.resolve()}
    for _ in range(_DEPTH + 1):
        below = []
        for folder in level:
            children = _subfolders(folder)
            training = [path for path in children if path.name.lower() in _TRAINING]
            test = [path for path in children if path.name.lower() in _TEST]
            yield from ((a, b) for a in training for b in test)
            if training and test:  # what lies in these is classes
                children = [path for path in children if path not in (*training, *test)]
            for child in children:
                if (place := child.resolve()) not in seen:
                    seen.add(place)
                    below.append(child)
            if len(seen) > _MOST_FOLDERS:
                raise DataError(
                    f"{top}: has more than {_MOST_FOLDERS} folders to look for {LAYOUT}; pass the"
                    " folder of these two as --data-dir"
                )
        level = below


def _subfolders(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except PermissionError:
        return []
    return [path for path in paths if _is_open_folder(path)]


def _is_open_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not path.name.startswith(".")
    except PermissionError:  # somebody else's folder is no reason to stop looking
        return False


def _classes(folder: Path) -> dict[str, list[Path]]:
    above = {folder.resolve(), *folder.resolve().parents}
    paths = (path for path in folder.iterdir() if _is_open_folder(path))
    names = sorted(path.name for path in paths if path.resolve() not in above)
    if strange := [name for name in names if not name.isprintable()]:
        raise DataError(
            f"{folder}: names of class folders must be printable, got {some(strange)}; rename them"
        )
    classes = {name: _pictures(folder / name) for name in names}
    if empty := [name for name, paths in classes.items() if not paths]:
        raise DataError(
            f"{folder}: no pictures ({', '.join(SUFFIXES)}) lie in {some(empty)}; add some, or take"
            " the folder away"
        )
    return classes


def _pictures(folder: Path) -> list[Path]:
    """Return what is named like a picture, dead links too: they count as unreadable."""
    names = (name for name in sorted(os.listdir(folder)) if name.lower().endswith(SUFFIXES))
    return [path for name in names if name[0] != "." and not (path := folder / name).is_dir()]
