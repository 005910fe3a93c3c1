"""Folders that orbax writes: which of them is the one tree that is meant.

A tree is a folder with `_METADATA`. A step holds trees by name, and a manager of checkpoints keeps
steps by number.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from jaxcompress.artifact.regular import check_regular
from jaxcompress.cli import screen
from jaxcompress.cli.formats.inside import is_inside
from jaxcompress.cli.status import Refused
from jaxcompress.text import shortened
from jaxcompress.trees import some_of

_TREE, _STEP = "_METADATA", "_CHECKPOINT_METADATA"
_NUMBERED = re.compile(r"(?P<prefix>.*_)?(?P<number>[0-9]{1,18})", re.DOTALL)
"""Names of finished steps; those of others end in `.orbax-checkpoint-tmp-` and a time."""


def is_orbax(folder: Path) -> bool:
    """Return whether a folder is a tree, a step, or the root of a manager of checkpoints."""
    return bool(_trees(folder) or _steps(folder))


def tree_folder(folder: Path) -> Path:
    """Return the folder of the tree that is meant: of a root that of the newest finished step.

    Raises:
        Refused: a step of several trees, steps of several names, or links that lead out of it.
    """
    steps, step = _steps(folder), folder
    if steps:
        prefixes = sorted({prefix for prefix, _ in steps})
        if len(prefixes) > 1:
            raise Refused(
                f"{folder}: steps must have one name, got {_listed(prefixes)}; name the folder of "
                "one step."
            )
        newest = max(steps, key=lambda key: key[1])
        step = steps[newest]
    trees = _trees(step)
    if len(trees) != 1:
        raise Refused(
            f"{step}: a step must hold one tree, got {_listed([tree.name for tree in trees])}; "
            "name the folder of one of them."
        )
    _check_inside(folder, trees[0])
    if len(steps) > 1:
        screen.note(
            f"{folder}: {shortened(step.name)} is read, the newest of {len(steps)} steps; name the "
            "folder of another to read that."
        )
    return trees[0].resolve()


def _trees(folder: Path) -> list[Path]:
    """Return the trees of a step, or the folder itself if it is one."""
    if (folder / _TREE).is_file():
        return [folder]
    found = _folders(folder)
    is_step = (folder / _STEP).is_file()
    return [
        child
        for child in found
        if (child / _TREE).is_file() and (is_step or not _NUMBERED.fullmatch(child.name))
    ]


def _steps(folder: Path) -> dict[tuple[str, int], Path]:
    """Return the finished steps in the root of a manager, by the start of the name and number."""
    if any((folder / name).is_file() for name in (_TREE, _STEP)):
        return {}
    steps = {}
    for child in _folders(folder):
        match = _NUMBERED.fullmatch(child.name)
        if match and ((child / _STEP).is_file() or _trees(child)):
            steps[match["prefix"] or "", int(match["number"])] = child
    return steps


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir())


def _check_inside(folder: Path, tree: Path) -> None:
    """Refuse pipes and devices, for which orbax would wait, and links out of the folder."""
    for parent, folders, names in os.walk(tree):
        for name in (*folders, *names):
            place = Path(parent) / name
            if not is_inside(folder, place):
                raise Refused(
                    f"{place}: a file of a folder must lie in it, got a link to "
                    f"{os.path.realpath(place)}; copy it into the folder."
                )
        for name in names:
            check_regular(Path(parent) / name)


def _listed(names: Sequence[str]) -> str:
    return some_of([shortened(name) or "none" for name in names]) or "none"
